//! Beads files: what counts as an edit, what does not, and that nothing is lost on the way.

use crate::rig::{DIR, Rig, line};
use engine::{Command, SpaceRef};
use serde_json::json;

#[test]
fn a_file_becomes_beads_and_edits_go_both_ways() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({"notes": "n"})), line("a-2", 1, json!({}))]);
    assert_eq!(rig.space()["beads"], 2);
    assert_eq!(rig.writes, 0, "what the file says already is not written again");
    rig.set("a-1", "title", json!("from the mesh"));
    assert_eq!(rig.line("a-1")["title"], "from the mesh");
    let mut edited = rig.line("a-1");
    edited["notes"] = json!("from the file");
    rig.edit_file(&[edited]);
    rig.look(false);
    let shown = rig.show("a-1").unwrap();
    assert_eq!((&shown["bead"]["title"], &shown["bead"]["notes"]), (&json!("from the mesh"), &json!("from the file")));
    assert_eq!(shown["conflicts"], json!([]));
    let ops = rig.ops();
    rig.look(false);
    rig.restart();
    assert_eq!(rig.ops(), ops, "looking again is no edit");
}

#[test]
fn a_new_line_is_a_new_bead_and_a_new_bead_a_new_line() {
    let mut rig = Rig::with_file(&[]);
    rig.edit_file(&[line("a-7", 5, json!({"labels": ["x"]}))]);
    rig.look(false);
    assert_eq!(rig.show("a-7").unwrap()["bead"]["labels"], json!(["x"]));
    let add = Command::Add {
        at: SpaceRef::default(),
        title: "made here".to_owned(),
        id: None,
        prefix: None,
        change: Default::default(),
    };
    let id = rig.ask(add).unwrap()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("a-"), "{id}: the prefix of the others");
    assert_eq!(rig.line(&id)["title"], "made here");
}

#[test]
fn an_old_version_of_the_file_reverts_nothing() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    let old = rig.file.clone();
    rig.set("a-1", "title", json!("newer"));
    rig.set("a-2", "title", json!("newer too"));
    let (ops, current) = (rig.ops(), rig.file.clone());
    rig.file = old;
    rig.look(false);
    assert_eq!(rig.ops(), ops);
    assert_eq!(rig.file, current, "the file shows the present again");
}

#[test]
fn an_old_line_among_others_reverts_nothing() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    let old = rig.line("a-1");
    rig.set("a-1", "title", json!("newer"));
    let mut other = rig.line("a-2");
    other["notes"] = json!("a real edit");
    other["updated_at"] = json!("2027-06-01T00:00:00Z");
    rig.edit_file(&[old, other]);
    rig.look(false);
    assert_eq!(rig.show("a-1").unwrap()["bead"]["title"], "newer");
    assert_eq!(rig.line("a-1")["title"], "newer");
    assert_eq!(rig.show("a-2").unwrap()["bead"]["notes"], "a real edit");
}

#[test]
fn an_edit_under_a_slow_clock_is_kept_and_listed() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({}))]);
    rig.set("a-1", "title", json!("stamped 2027"));
    let mut slow = rig.line("a-1");
    slow["title"] = json!("written with a clock that is behind");
    slow["updated_at"] = json!("2026-01-01T00:30:00Z");
    rig.edit_file(&[slow]);
    rig.look(false);
    let shown = rig.show("a-1").unwrap();
    assert_eq!(shown["bead"]["title"], "stamped 2027");
    let values = shown["conflicts"][0]["values"].as_array().unwrap();
    assert!(values.iter().any(|v| v["value"] == "written with a clock that is behind"), "{shown}");
    assert_eq!(rig.line("a-1")["title"], "stamped 2027");
}

#[test]
fn edits_on_both_sides_at_once_are_both_kept() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({}))]);
    // The tool writes before our own edit reaches the file: it never saw it.
    let mut edited = rig.line("a-1");
    edited["title"] = json!("by the tool");
    edited["notes"] = json!("n");
    edited["updated_at"] = json!("2027-06-01T00:00:00Z");
    rig.edit_file(&[edited]);
    rig.set("a-1", "title", json!("by command"));
    rig.set("a-1", "priority", json!(0));
    assert_eq!(rig.line("a-1")["priority"], 0, "the file still follows");
    let shown = rig.show("a-1").unwrap();
    let titles: Vec<_> =
        shown["conflicts"][0]["values"].as_array().unwrap().iter().map(|v| v["value"].clone()).collect();
    assert!(titles.contains(&json!("by the tool")) && titles.contains(&json!("by command")), "{shown}");
    assert_eq!(shown["bead"]["notes"], "n");
    assert_eq!(rig.line("a-1")["title"], shown["bead"]["title"]);
}

#[test]
fn a_few_vanished_lines_are_deletes_and_many_are_a_question() {
    let lines: Vec<_> = (0..60).map(|n| line(&format!("a-{n}"), 1, json!({}))).collect();
    let mut rig = Rig::with_file(&lines);
    rig.file.remove("a-1");
    rig.look(false);
    assert_eq!(rig.space()["beads"], 59);
    assert!(rig.show("a-1").is_err());
    let before = rig.file.clone();
    rig.file.retain(|id, _| id.len() == 3);
    rig.look(false);
    assert_eq!(rig.space()["beads"], 59, "50 at once: nothing happens before somebody says so");
    let show = Command::SpaceShow { at: SpaceRef::default() };
    assert_eq!(rig.ask(show).unwrap()["workspaces"][0]["vanished_lines"].as_array().unwrap().len(), 50);
    rig.ask(Command::SpaceDeletes { dir: DIR.to_owned(), accept: false }).unwrap();
    assert_eq!(rig.file, before);
    rig.file.retain(|id, _| id.len() == 3);
    rig.look(false);
    rig.ask(Command::SpaceDeletes { dir: DIR.to_owned(), accept: true }).unwrap();
    assert_eq!(rig.space()["beads"], 9);
}

#[test]
fn an_edit_that_did_not_know_of_the_delete_brings_the_bead_back() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    rig.commits = false;
    rig.set("a-1", "notes", json!("not in the file yet"));
    rig.file.remove("a-1");
    rig.look(false);
    rig.commits = true;
    let shown = rig.show("a-1").unwrap();
    assert_eq!(shown["bead"]["notes"], "not in the file yet");
    assert!(shown["conflicts"].as_array().unwrap().iter().any(|c| c["unit"] == "delete"), "{shown}");
}

#[test]
fn broken_lines_keep_the_file_from_being_written_until_they_are_mended() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    rig.broken = vec![(3, "conflict marker".to_owned())];
    rig.file.remove("a-2");
    let mut edited = rig.line("a-1");
    edited["title"] = json!("still an edit");
    edited["updated_at"] = json!("2026-02-01T00:00:00Z");
    rig.edit_file(&[edited]);
    rig.look(false);
    assert_eq!(rig.show("a-1").unwrap()["bead"]["title"], "still an edit");
    assert_eq!(rig.space()["beads"], 2, "a broken file says nothing about deletes");
    let writes = rig.writes;
    rig.set("a-2", "title", json!("waits"));
    assert_eq!(rig.writes, writes);
    rig.broken.clear();
    rig.file.insert("a-3".to_owned(), line("a-3", 2, json!({})).to_string());
    rig.look(false);
    assert_eq!(rig.line("a-2")["title"], "waits");
}

#[test]
fn a_crash_around_the_files_commit_makes_no_edits_of_its_own() {
    for committed in [false, true] {
        let mut rig = Rig::with_file(&[line("a-1", 1, json!({}))]);
        rig.commits = false;
        rig.set("a-1", "title", json!("one"));
        if committed {
            // The new file is visible, and the machine dies before anybody is told.
            let id = "a-1".to_owned();
            let (_, lines) = rig.prepared.take().unwrap();
            rig.file.insert(id, lines[0].1.clone().unwrap());
        }
        rig.set("a-1", "title", json!("two"));
        let ops = rig.ops();
        rig.commits = true;
        rig.restart();
        assert_eq!(rig.ops(), ops, "committed: {committed}");
        assert_eq!(rig.show("a-1").unwrap()["conflicts"], json!([]));
        assert_eq!(rig.line("a-1")["title"], "two");
    }
}
