//! Beads files: what counts as an edit, what does not, and that nothing is lost on the way.

use crate::rig::{DIR, Rig, boot, line};
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

#[test]
fn lost_records_begin_a_new_incarnation_before_anything_is_written() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({}))]);
    let before = rig.ask(Command::Status {}).unwrap();
    assert!(before["records_lost"].is_null());
    // The store as it was before an edit that the file shows already.
    let older = rig.store.clone();
    rig.set("a-1", "notes", json!("seen by the file"));
    assert_eq!(rig.line("a-1")["notes"], "seen by the file");
    rig.store = older;
    let (engine, _) = boot(&rig.store, &mut rig.entropy, rig.now, 7);
    rig.engine = engine;
    rig.input(engine::Input::RecordsLost { what: "all but a few".to_owned() });
    rig.look(true);
    let after = rig.ask(Command::Status {}).unwrap();
    assert_ne!(after["incarnation"], before["incarnation"]);
    assert_eq!(after["records_lost"], "all but a few");
    // What the file still shows is taken in again, under the new number.
    assert_eq!(rig.show("a-1").unwrap()["bead"]["notes"], "seen by the file");
    rig.restart();
    let later = rig.ask(Command::Status {}).unwrap();
    assert_eq!(later["incarnation"], after["incarnation"]);
    assert!(later["records_lost"].is_null());
}

#[test]
fn a_tool_that_read_the_file_before_a_line_appeared_does_not_delete_it() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    let add = |id: &str| Command::Add {
        at: SpaceRef::default(),
        title: "from the mesh".to_owned(),
        id: Some(id.to_owned()),
        prefix: None,
        change: engine::BeadChange::default(),
    };
    rig.ask(add("b-1")).unwrap();
    assert_eq!(rig.line("b-1")["title"], "from the mesh");
    // It has just appeared; the tool writes what it read before, with an edit of its own.
    rig.file.remove("b-1");
    rig.file.remove("a-2");
    rig.edit_file(&[line("a-1", 9, json!({"notes": "by the tool"}))]);
    rig.look(false);
    assert_eq!(rig.line("a-1")["notes"], "by the tool");
    assert_eq!(rig.line("b-1")["title"], "from the mesh", "it is in the file again");
    assert_eq!(rig.line("a-2")["title"], "title of a-2", "an older file deletes nothing");
    assert_eq!(rig.space()["beads"], 3);
    // Later it is known to everybody: leaving it out deletes it.
    rig.now += 60_000;
    rig.file.remove("b-1");
    rig.look(false);
    assert_eq!(rig.space()["beads"], 2);
    // A line that appeared right before a crash is as young at the start, also when nothing was under way any more.
    rig.ask(add("b-3")).unwrap();
    rig.file.remove("b-3");
    rig.edit_file(&[line("a-1", 11, json!({"notes": "meanwhile"}))]);
    rig.restart();
    assert_eq!(rig.line("b-3")["title"], "from the mesh");
    rig.commits = false;
    rig.ask(add("b-2")).unwrap();
    let (_, lines) = rig.prepared.clone().unwrap();
    for (id, text) in lines {
        rig.file.insert(id, text.unwrap());
    }
    rig.commits = true;
    rig.restart();
    rig.file.remove("b-2");
    rig.edit_file(&[line("a-1", 12, json!({"notes": "by the tool again"}))]);
    rig.look(false);
    assert_eq!(rig.line("b-2")["title"], "from the mesh");
}

#[test]
fn a_tool_that_read_a_line_before_we_wrote_it_reverts_nothing_though_its_time_is_the_same() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    let label = |rig: &mut Rig, label: &str| {
        let change = engine::BeadChange { add_labels: vec![label.to_owned()], ..Default::default() };
        // The same moment for both: what another host's op, stamped earlier and arriving later, does to the time.
        rig.now -= 1_000;
        rig.ask(Command::Set { at: SpaceRef::default(), id: "a-1".to_owned(), change }).unwrap();
    };
    label(&mut rig, "one");
    let read_before = rig.line("a-1");
    label(&mut rig, "two");
    assert_eq!(rig.line("a-1")["updated_at"], read_before["updated_at"]);
    rig.edit_file(&[read_before.clone(), line("a-2", 9, json!({"notes": "by the tool"}))]);
    rig.look(false);
    assert_eq!(rig.line("a-1")["labels"], json!(["one", "two"]));
    assert_eq!(rig.line("a-2")["notes"], "by the tool");
    // Whoever undoes it later has seen it.
    rig.now += 60_000;
    rig.edit_file(&[read_before, line("a-2", 10, json!({"notes": "by the tool again"}))]);
    rig.look(false);
    assert_eq!(rig.line("a-1")["labels"], json!(["one"]));
}

#[test]
fn what_a_line_has_not_shown_yet_is_not_taken_away_by_its_next_edit() {
    let mut rig = Rig::new();
    let change = engine::BeadChange { add_labels: vec!["made-elsewhere".to_owned()], ..Default::default() };
    let (title, id) = ("title of a-1".to_owned(), Some("a-1".to_owned()));
    rig.ask(Command::Add { at: SpaceRef::default(), title, id, prefix: None, change }).unwrap();
    let known = rig.show("a-1").unwrap()["bead"].clone();
    // The same bead came here another way, and the mesh's label is not in it yet.
    let mut own = line("a-1", 1, json!({"created_at": known["created_at"], "notes": "from here"}));
    rig.edit_file(&[own.clone()]);
    rig.commits = false;
    let (dir, kind) = (DIR.to_owned(), engine::WorkspaceKind::File);
    let (generations, ancestors) = (Vec::new(), Default::default());
    rig.ask(Command::SpaceAttach { at: SpaceRef::default(), dir, kind, generations, ancestors }).unwrap();
    rig.look(true);
    own["title"] = json!("edited before the label came");
    own["updated_at"] = json!("2027-06-01T00:00:00Z");
    rig.edit_file(&[own]);
    rig.commits = true;
    rig.look(false);
    let shown = rig.show("a-1").unwrap()["bead"].clone();
    assert_eq!((&shown["title"], &shown["notes"]), (&json!("edited before the label came"), &json!("from here")));
    assert_eq!(shown["labels"], json!(["made-elsewhere"]));
    assert_eq!(rig.line("a-1")["labels"], json!(["made-elsewhere"]), "and now the line shows it");
}

#[test]
fn a_write_that_was_interrupted_half_way_makes_no_edits_of_its_own() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({})), line("a-2", 1, json!({}))]);
    rig.commits = false;
    rig.set("a-1", "title", json!("one"));
    // The line is there, somebody else's edit of another one, too, and nobody is told before the machine dies.
    let (_, lines) = rig.prepared.take().unwrap();
    rig.file.insert("a-1".to_owned(), lines[0].1.clone().unwrap());
    rig.edit_file(&[line("a-2", 2, json!({"notes": "by hand"}))]);
    rig.set("a-1", "title", json!("two"));
    rig.commits = true;
    rig.restart();
    assert_eq!(rig.line("a-1")["title"], "two", "what we wrote ourselves is no edit");
    let shown = rig.show("a-1").unwrap();
    assert_eq!((&shown["bead"]["title"], &shown["conflicts"]), (&json!("two"), &json!([])));
    assert_eq!(rig.show("a-2").unwrap()["bead"]["notes"], "by hand");
}

#[test]
fn a_line_that_was_written_while_its_bead_was_deleted_goes_again() {
    for noticed in [false, true] {
        let mut rig = Rig::with_file(&[line("a-1", 1, json!({}))]);
        rig.commits = false;
        let id = "a-9".to_owned();
        let add = Command::Add {
            at: SpaceRef::default(),
            title: "short-lived".to_owned(),
            id: Some(id.clone()),
            prefix: None,
            change: Default::default(),
        };
        rig.ask(add).unwrap();
        let (_, lines) = rig.prepared.take().unwrap();
        rig.ask(Command::Delete { at: SpaceRef::default(), ids: vec![id.clone()] }).unwrap();
        rig.file.insert(id.clone(), lines[0].1.clone().unwrap());
        if !noticed {
            // Not as it was to be written, so that nothing says who wrote it.
            rig.edit_file(&[line("a-9", 3, json!({"title": "short-lived"}))]);
        }
        rig.edit_file(&[line("a-1", 2, json!({"notes": "by hand"}))]);
        rig.commits = true;
        rig.restart();
        assert!(!rig.file.contains_key(&id), "noticed: {noticed}: {:?}", rig.file);
        assert!(rig.show(&id).is_err());
    }
}

#[test]
fn what_another_program_made_of_an_interrupted_write_is_no_edit_where_it_agrees() {
    let mut rig = Rig::with_file(&[line("a-1", 1, json!({"notes": "n"}))]);
    rig.commits = false;
    let fields = [("title".to_owned(), json!("one")), ("pinned".to_owned(), json!(true))].into();
    let change = engine::BeadChange { fields, ..Default::default() };
    rig.ask(Command::Set { at: SpaceRef::default(), id: "a-1".to_owned(), change }).unwrap();
    // What keeps the beads knows no `pinned`, has its own times, and somebody was there, too.
    let mut kept = line("a-1", 2, json!({"title": "one", "notes": "by hand"}));
    kept["updated_at"] = json!("2027-06-01T00:00:00Z");
    rig.prepared = None;
    rig.edit_file(&[kept]);
    rig.set("a-1", "title", json!("two"));
    rig.commits = true;
    rig.restart();
    let bead = rig.show("a-1").unwrap()["bead"].clone();
    assert_eq!((&bead["title"], &bead["pinned"], &bead["notes"]), (&json!("two"), &json!(true), &json!("by hand")));
    assert_eq!(rig.line("a-1")["title"], "two");
}
