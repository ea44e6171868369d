//! One daemon: its lock, its end, its promises on disk.

use super::{in_files, started};
use testnet::{Net, PATIENCE, fixture, wait_until};

#[test]
fn a_second_daemon_on_one_home_is_refused_and_changes_nothing() {
    let mut net = started(1, 5).unwrap();
    let pid = net[0].child.as_ref().unwrap().id().to_string();
    let before = net[0].space().unwrap();
    let (exit, error) = net[0].fails(&["up"]).unwrap();
    assert_eq!((exit, &error["code"]), (1, &"home_locked".into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains(&pid), "{error}");
    assert_eq!(net[0].space().unwrap(), before);
    assert_eq!(net[0].ended().unwrap(), None);
}

#[test]
fn sigterm_ends_cleanly_and_nothing_is_lost() {
    let mut net = started(1, 20).unwrap();
    let before = net[0].space().unwrap();
    assert_eq!(net[0].term().unwrap().code(), Some(0));
    assert_eq!(net[0].fails(&["status"]).unwrap().0, 3);
    assert!(!net[0].home.join("control.sock").exists());
    net[0].up().unwrap();
    assert_eq!(net[0].space().unwrap(), before);
}

#[test]
fn what_was_accepted_survives_kill_9() {
    let mut net = started(1, 5).unwrap();
    let mut accepted = Vec::new();
    for round in 0..4 {
        for at in 0..5 {
            let id = format!("kept-{round}-{at}");
            net[0].json(&["beads", "add", "accepted means kept", "--id", &id]).unwrap();
            accepted.push(id);
        }
        net[0].kill().unwrap();
        net[0].up().unwrap();
    }
    let beads = net[0].export().unwrap();
    let lost: Vec<_> = accepted.iter().filter(|id| !beads.contains_key(*id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let status = net[0].json(&["status"]).unwrap();
    assert_eq!(status["spaces"][0]["beads"], 25, "{status}");
}

#[test]
fn a_copied_home_forks_nothing() {
    let mut net = started(2, 5).unwrap();
    let first = net[0].json(&["status"]).unwrap()["incarnation"].clone();
    net[0].term().unwrap();
    let copy = net[0].home.with_file_name("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(&net[0].home).arg(&copy).status().unwrap();
    assert!(copied.success());
    let original = std::mem::replace(&mut net[0].home, copy);
    net[0].up().unwrap();
    assert_ne!(net[0].json(&["status"]).unwrap()["incarnation"], first);
    net[0].json(&["beads", "set", &fixture::id(1), "notes=by the copy"]).unwrap();
    in_files(&net, &fixture::id(1), "notes", "by the copy").unwrap();
    assert_ne!(original, net[0].home);
    net.converged().unwrap();
}

#[test]
fn readable_keys_and_unknown_settings_stop_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut net = Net::new(1).unwrap();
    assert_eq!(net[0].fails(&["up"]).unwrap().1["code"], "not_initialised");
    net.found().unwrap();
    net[0].term().unwrap();
    let key = net[0].home.join("keys/host.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (exit, error) = net[0].fails(&["up"]).unwrap();
    assert_eq!((exit, &error["code"]), (1, &"key_permissions".into()));
    assert!(error["hints"][0].as_str().unwrap().starts_with("chmod 600"), "{error}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(net[0].home.join("config.toml"), "nmae = \"a\"\n").unwrap();
    let (exit, error) = net[0].fails(&["up"]).unwrap();
    assert_eq!((exit, &error["code"]), (2, &"bad_config".into()), "{error}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let net = started(1, 400).unwrap();
    let script = format!("'{}' beads export | head -n 1", testnet::binary().unwrap().display());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("set -o pipefail; {script}")]).env("TOWNMESH_HOME", &net[0].home);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn peers_find_each_other_again_after_restarts() {
    let mut net = started(2, 5).unwrap();
    for at in [0, 1, 0] {
        net[at].restart().unwrap();
        wait_until("connected again", PATIENCE, || {
            let status = net[at].json(&["status"])?;
            Ok(if status["peers"][0].is_object() { Ok(()) } else { Err(status.to_string()) })
        })
        .unwrap();
    }
    net[0].term().unwrap();
    net[1].restart().unwrap();
    net[0].up().unwrap();
    net[1].json(&["beads", "set", &fixture::id(1), "notes=after both were away"]).unwrap();
    in_files(&net, &fixture::id(1), "notes", "after both were away").unwrap();
}
