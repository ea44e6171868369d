//! Two real bd databases on two nodes. Without a bd (`scripts/install-bd`, `TOWNMESH_BD`) these tests say `skipped`.

mod faults;
mod storm;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testnet::bd::{Mode, alike, at, create_at, modes, still, towns};

/// The real bd, or a word that there is none.
fn real() -> Option<PathBuf> {
    let found = testnet::bd::real();
    if found.is_none() {
        println!("skipped: no bd; scripts/install-bd keeps one, or set TOWNMESH_BD");
    }
    found
}

#[test]
fn what_bd_does_on_one_machine_is_in_the_other_ones_database() {
    let Some(program) = real() else { return };
    for mode in modes() {
        println!("{}", mode.name());
        everything_once(&program, &mode);
    }
}

fn everything_once(program: &Path, mode: &Mode) {
    let net = towns(program, mode, &["first", "second", "third"]).unwrap();
    let kinds: Vec<Value> =
        net.nodes().iter().map(|n| n.json(&["space", "show"]).unwrap()["workspaces"][0]["kind"].clone()).collect();
    assert_eq!(kinds, [json!("bd"), json!("bd")], "a directory with a database is coupled by it");
    let both = alike(&net).unwrap();
    assert_eq!(both.len(), 3);
    let ids: Vec<String> = both.keys().cloned().collect();
    let (one, two, three) = (ids[0].as_str(), ids[1].as_str(), ids[2].as_str());

    let made = create_at(&net[1], "from b").unwrap();
    at(&net[0], &["update", one, "--priority", "0", "--notes", "from a"]).unwrap();
    at(&net[1], &["label", "add", two, "ux"]).unwrap();
    at(&net[0], &["dep", "add", three, one]).unwrap();
    at(&net[1], &["comments", "add", three, "seen on b"]).unwrap();
    let both = alike(&net).unwrap();
    assert_eq!(both[&made]["title"], "from b");
    assert_eq!((&both[one]["notes"], &both[one]["priority"]), (&json!("from a"), &json!(0)));
    assert_eq!(both[two]["labels"], json!(["ux"]));
    assert_eq!(both[three]["dependencies"][0]["depends_on_id"], one);
    assert_eq!(both[three]["comments"][0]["text"], "seen on b");

    at(&net[0], &["label", "remove", two, "ux"]).unwrap();
    at(&net[0], &["dep", "remove", three, one]).unwrap();
    at(&net[1], &["close", one, "--reason", "done on b"]).unwrap();
    at(&net[0], &["delete", &made, "--force"]).unwrap();
    let both = alike(&net).unwrap();
    assert!(both[two]["labels"].is_null(), "a removed label stays removed: {}", both[two]);
    assert!(both[three]["dependencies"].is_null(), "{}", both[three]);
    assert_eq!((&both[one]["status"], &both[one]["close_reason"]), (&json!("closed"), &json!("done on b")));
    assert!(!both.contains_key(&made), "a deleted issue stays deleted");
    at(&net[1], &["reopen", one]).unwrap();
    assert_eq!(alike(&net).unwrap()[one]["status"], "open");
    still(&net).unwrap();
}
