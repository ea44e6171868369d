//! Logs that a failing disk has damaged after they were synced.

use super::{accepted, assert_everything, lacks, status};
use crate::mesh::{edit, in_files, started};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use testnet::{Net, PATIENCE, fixture, wait_until};

/// The log that is written to: the last one of the store.
fn newest_wal(home: &Path) -> PathBuf {
    let files = std::fs::read_dir(home.join("store/db")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "log")).max().unwrap()
}

fn open(path: &Path) -> (File, u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    (file, len)
}

fn cut(path: &Path, keep: impl Fn(u64) -> u64) {
    let (file, len) = open(path);
    assert!(len > 2_000, "{} has {len} bytes: too little to damage", path.display());
    file.set_len(keep(len)).unwrap();
}

fn flip(path: &Path, at: impl Fn(u64) -> u64) {
    let (file, len) = open(path);
    assert!(len > 2_000, "{} has {len} bytes: too little to damage", path.display());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at(len)).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], at(len)).unwrap();
}

/// What is done to the log, and whether records are lost by it.
type Damage = (&'static str, bool, fn(&Path));

const DAMAGES: &[Damage] = &[
    ("its last bytes are gone", true, |wal| cut(wal, |len| len - 7)),
    ("half of it is gone", true, |wal| cut(wal, |len| len / 2)),
    ("all of it is gone", true, |wal| cut(wal, |_| 0)),
    ("a byte near its end is wrong", true, |wal| flip(wal, |len| len - 20)),
    ("a byte in its middle is wrong", true, |wal| flip(wal, |len| len / 2)),
    ("half a record follows", false, |wal| {
        OpenOptions::new().append(true).open(wal).unwrap().write_all(&[0x5a; 300]).unwrap();
    }),
];

/// Makes beads on the second node; accepted, and known to the first one if there is a way.
fn edits(net: &Net, name: &str) -> Vec<String> {
    (0..8).map(|n| accepted(&net[1], &format!("{name}-{n}")).unwrap()).collect()
}

#[test]
fn after_a_torn_log_the_others_give_back_what_is_missing() {
    let mut net = started(2, 20).unwrap();
    let mut ids = Vec::new();
    for (n, (what, loses, damage)) in DAMAGES.iter().enumerate() {
        println!("{what}");
        ids.extend(edits(&net, &format!("torn-{n}")));
        net.converged().unwrap();
        let before = status(&net[1])["incarnation"].clone();
        net[1].kill().unwrap();
        damage(&newest_wal(&net[1].home));
        net[1].up().unwrap();
        let after = status(&net[1]);
        assert_eq!(after["records_lost"].is_string(), *loses, "{what}: {after}");
        assert_eq!(after["incarnation"] != before, *loses, "{what}: {after}");
        let human = net[1].cli(&["status"]).unwrap().stdout;
        assert_eq!(human.contains("RECORDS LOST"), *loses, "{human}");
        ids.push(accepted(&net[1], &format!("torn-{n}-after")).unwrap());
        wait_until("everything is back", PATIENCE, || {
            let missing = lacks(&net[1], &ids)?;
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{what}: {missing:?}")) })
        })
        .unwrap();
        let space = net.converged().unwrap();
        assert_eq!(space["conflicts"], 0, "{what}: {space}");
        net.files_equal().unwrap();
        assert_everything(&net, &ids);
        for node in net.nodes() {
            let counters = &status(node)["counters"];
            assert!(counters["fork"].is_null(), "{what}: {} saw a fork: {counters}", node.name);
        }
    }
    // A clean restart has nothing to tell.
    net[1].restart().unwrap();
    assert!(status(&net[1])["records_lost"].is_null());
}

#[test]
fn records_lost_while_cut_off_are_told_and_the_file_gives_back_what_it_shows() {
    let mut net = started(2, 10).unwrap();
    net[1].term().unwrap();
    net[1].up_with(&["--offline"]).unwrap();
    let ids = edits(&net, "alone");
    wait_until("the file shows them", PATIENCE, || {
        let file = net[1].file_beads()?;
        Ok(if ids.iter().all(|id| file.contains_key(id)) { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .unwrap();
    net[1].kill().unwrap();
    cut(&newest_wal(&net[1].home), |len| len / 2);
    net[1].up_with(&["--offline"]).unwrap();
    let now = status(&net[1]);
    assert!(now["records_lost"].is_string() && now["counters"]["new_incarnation"] == 1, "{now}");
    wait_until("the file's beads are taken in", PATIENCE, || {
        let missing = lacks(&net[1], &ids)?;
        Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) })
    })
    .unwrap();
    net[1].restart().unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}

#[test]
fn a_store_that_cannot_be_opened_is_replaced_by_joining_again() {
    let mut net = started(2, 10).unwrap();
    let ids = edits(&net, "before");
    net.converged().unwrap();
    net[1].term().unwrap();
    let store = net[1].home.join("store");
    std::fs::write(store.join("db/CURRENT"), "soup\n").unwrap();
    let (exit, error) = net[1].fails(&["up"]).unwrap();
    assert_eq!((exit, &error["code"]), (5, &"store".into()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("store/db"), "{error}");
    // As docs/operations.md says: the keys stay, the store is put aside.
    edit(&net[1], &fixture::id(1), "notes", "written while the store was away").unwrap();
    std::fs::rename(&store, store.with_file_name("store.damaged")).unwrap();
    net.join(1).unwrap();
    wait_until("everything is back", PATIENCE, || {
        let missing = lacks(&net[1], &ids)?;
        Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) })
    })
    .unwrap();
    in_files(&net, &fixture::id(1), "notes", "written while the store was away").unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}
