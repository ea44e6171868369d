//! Two real bd databases on two nodes. Without a bd (`scripts/install-bd`, `TOWNMESH_BD`) these tests say `skipped`.

mod storm;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testnet::{Net, Node, compare, wait_until};

/// A command of bd takes half a second, and several of them stand between an edit and the other database.
const PATIENCE: Duration = Duration::from_secs(180);

/// The real bd, where `scripts/install-bd` and people put it.
fn real() -> Option<PathBuf> {
    let script = testnet::workspace().join("scripts/install-bd");
    let out = Command::new(script).output().ok()?;
    let path = String::from_utf8(out.stdout).ok()?.lines().next_back().map(PathBuf::from);
    let found = path.filter(|path| out.status.success() && path.is_file());
    if found.is_none() {
        println!("skipped: no bd; scripts/install-bd keeps one, or set TOWNMESH_BD");
    }
    found
}

/// What a person in a node's directory does with bd.
fn bd(node: &Node, args: &[&str]) -> Result<String> {
    let program = node.env.get("TOWNMESH_BD").context("no bd")?;
    testnet::bd::bd(Path::new(program), &node.work, &node.name, args)
}

/// Everything that a database has, by id, without `updated_at`: bd sets it when a label, an edge or a delete is written
/// into it by command, so each database has its own (docs/interop.md).
fn all(node: &Node) -> Result<BTreeMap<String, Value>> {
    let mut all = compare::by_id(&bd(node, &["export", "--all"])?)?;
    let twins: Vec<String> = all.keys().filter_map(|id| Some(id.split_once('~')?.0.to_owned())).collect();
    for (id, bead) in &mut all {
        let Some(bead) = bead.as_object_mut() else { continue };
        bead.remove("updated_at");
        if twins.contains(id) {
            // Given twice: bd never changes who made an issue and when, so each database has its own there.
            bead.remove("created_at");
            bead.remove("created_by");
        }
    }
    Ok(all)
}

/// Makes an issue; its id.
fn create(node: &Node, title: &str) -> Result<String> {
    let program = node.env.get("TOWNMESH_BD").context("no bd")?;
    testnet::bd::create(Path::new(program), &node.work, &node.name, title)
}

/// Two nodes whose directories have databases; nothing in the second one.
fn towns(program: &Path, first: &[&str]) -> Result<Net> {
    let mut net = Net::new(2)?;
    net.set_env("TOWNMESH_BD", program.to_str().context("path")?);
    for node in net.nodes() {
        testnet::bd::new_database(program, &node.work, &node.name, &[])?;
    }
    for title in first {
        create(&net[0], title)?;
    }
    net.found()?;
    net.join(1)?;
    Ok(net)
}

/// Waits until both databases say the same.
fn alike(net: &Net) -> Result<BTreeMap<String, Value>> {
    wait_until("equal databases", PATIENCE, || {
        let (a, b) = (all(&net[0])?, all(&net[1])?);
        Ok(match compare::difference(&a, &b) {
            None => Ok(a),
            Some(what) => Err(what),
        })
    })
}

#[test]
fn what_bd_does_on_one_machine_is_in_the_other_ones_database() {
    let Some(program) = real() else { return };
    let net = towns(&program, &["first", "second", "third"]).unwrap();
    let kinds: Vec<Value> =
        net.nodes().iter().map(|n| n.json(&["space", "show"]).unwrap()["workspaces"][0]["kind"].clone()).collect();
    assert_eq!(kinds, [json!("bd"), json!("bd")], "a directory with a database is coupled by it");
    let both = alike(&net).unwrap();
    assert_eq!(both.len(), 3);
    let ids: Vec<String> = both.keys().cloned().collect();
    let (one, two, three) = (ids[0].as_str(), ids[1].as_str(), ids[2].as_str());

    let made = create(&net[1], "from b").unwrap();
    bd(&net[0], &["update", one, "--priority", "0", "--notes", "from a"]).unwrap();
    bd(&net[1], &["label", "add", two, "ux"]).unwrap();
    bd(&net[0], &["dep", "add", three, one]).unwrap();
    bd(&net[1], &["comments", "add", three, "seen on b"]).unwrap();
    let both = alike(&net).unwrap();
    assert_eq!(both[&made]["title"], "from b");
    assert_eq!((&both[one]["notes"], &both[one]["priority"]), (&json!("from a"), &json!(0)));
    assert_eq!(both[two]["labels"], json!(["ux"]));
    assert_eq!(both[three]["dependencies"][0]["depends_on_id"], one);
    assert_eq!(both[three]["comments"][0]["text"], "seen on b");

    bd(&net[0], &["label", "remove", two, "ux"]).unwrap();
    bd(&net[0], &["dep", "remove", three, one]).unwrap();
    bd(&net[1], &["close", one, "--reason", "done on b"]).unwrap();
    bd(&net[0], &["delete", &made, "--force"]).unwrap();
    let both = alike(&net).unwrap();
    assert!(both[two]["labels"].is_null(), "a removed label stays removed: {}", both[two]);
    assert!(both[three]["dependencies"].is_null(), "{}", both[three]);
    assert_eq!((&both[one]["status"], &both[one]["close_reason"]), (&json!("closed"), &json!("done on b")));
    assert!(!both.contains_key(&made), "a deleted issue stays deleted");
    bd(&net[1], &["reopen", one]).unwrap();
    assert_eq!(alike(&net).unwrap()[one]["status"], "open");
    still(&net).unwrap();
}

/// Nobody acts: nothing is written. Two full comparisons of the coupling fit into this time.
fn still(net: &Net) -> Result<()> {
    net.converged()?;
    let ops = |net: &Net| -> Result<Vec<Value>> { net.nodes().iter().map(|n| Ok(n.space()?["ops"].clone())).collect() };
    let (before, until) = (ops(net)?, std::time::Instant::now() + Duration::from_secs(8));
    // What is waited for is that nothing happens: this has to take its time.
    while std::time::Instant::now() < until {
        let now = ops(net)?;
        ensure!(now == before, "ops were written while nobody acted: {before:?}, then {now:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
