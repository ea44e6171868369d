//! What is wrong is found, and named with what mends it.

use super::started;
use serde_json::Value;
use testnet::Node;

fn checks(node: &Node, exit: i32) -> Vec<Value> {
    let out = node.cli(&["doctor", "--json"]).unwrap();
    assert_eq!(out.exit, exit, "{}{}", out.stdout, out.stderr);
    let report: Value = serde_json::from_str(&out.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().clone();
    for check in &checks {
        let ok = check["state"] == "ok";
        assert_eq!(ok, check["fix"].as_array().unwrap().is_empty(), "{check}");
    }
    checks
}

fn state(checks: &[Value], about: &str) -> Vec<String> {
    let of = checks.iter().filter(|check| check["about"] == about);
    of.map(|check| check["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut net = started(2, 5).unwrap();
    let well = checks(&net[0], 0);
    assert_eq!(state(&well, "node"), ["ok"]);
    assert_eq!(state(&well, "members"), ["ok"]);
    assert_eq!(state(&well, "clock"), ["ok"], "{well:?}");
    assert_eq!(state(&well, "directory"), ["ok"]);

    let broken = [std::fs::read(net[0].file()).unwrap(), b"{\"id\": \n".to_vec()].concat();
    net[0].write_file(&broken).unwrap();
    net[1].kill().unwrap();
    testnet::wait_until("the broken line and the missing member are told", testnet::PATIENCE, || {
        let out = net[0].cli(&["doctor", "--json"])?;
        let report: Value = serde_json::from_str(&out.stdout)?;
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        let seen = (state(&checks, "directory"), state(&checks, "members"));
        let both = seen.0.contains(&"bad".to_owned()) && seen.1 == ["warn"];
        Ok(if both && out.exit == 1 { Ok(()) } else { Err(format!("{seen:?}")) })
    })
    .unwrap();

    // Without the node, what can be looked at is; keys that others can read are refused.
    let down = checks(&net[1], 1);
    assert_eq!((state(&down, "node"), state(&down, "keys")), (vec!["bad".to_owned()], vec!["ok".to_owned()]));
    let key = net[1].home.join("keys/host.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(state(&checks(&net[1], 1), "keys"), ["bad"]);
}
