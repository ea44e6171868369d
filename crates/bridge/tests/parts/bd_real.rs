//! The coupling with the real bd.

use super::bd_support::{DEADLINE, Desk, Town, changed, options, real, stand_in};
use bridge::bd::Options;
use bridge::{ApplyError, Snapshot};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const T: &str = "2026-01-01T00:00:00Z";

fn issue(id: &str, more: Value) -> Value {
    let mut line = json!({"id": id, "title": format!("title of {id}"), "status": "open", "priority": 2,
        "issue_type": "task", "created_at": T, "updated_at": T});
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn lines(issues: &[&Value]) -> Vec<(String, Option<String>)> {
    issues.iter().map(|issue| (issue["id"].as_str().unwrap().to_owned(), Some(issue.to_string()))).collect()
}

/// Writes lines on top of a snapshot, and expects to hear nothing but what was written.
async fn write(desk: &mut Desk, at: &Snapshot, lines: Vec<(String, Option<String>)>) -> Snapshot {
    let applied = desk.handle.apply(at.generation, lines.clone()).await.unwrap();
    for (id, text) in lines {
        let wanted: Option<Value> = text.map(|text| serde_json::from_str(&text).unwrap());
        assert_eq!(desk.line(&id).await, wanted, "{id} reads as it was written");
    }
    Snapshot { generation: applied.generation, ..Snapshot::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_in_bd_is_reported() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let first = desk.snapshot().await;
    assert!(first.first && first.changed.is_empty());
    town.bd(&["create", "One", "--id", "tt-1", "--labels", "a", "--due", "2030-01-01T00:00:00Z"]);
    let one = changed(&desk.snapshot().await);
    assert_eq!((&one["tt-1"]["title"], &one["tt-1"]["labels"]), (&json!("One"), &json!(["a"])));
    assert_eq!(one["tt-1"].get("_type"), None);
    // None of these touches `updated_at`.
    let mut seen = std::collections::BTreeSet::new();
    for command in [["label", "add", "tt-1", "b"], ["label", "remove", "tt-1", "b"], ["comments", "add", "tt-1", "hi"]]
    {
        town.bd(&command);
        let snapshot = desk.snapshot().await;
        assert!(seen.insert(snapshot.generation), "no version is ever met twice");
        assert_eq!(changed(&snapshot).len(), 1, "{command:?}");
    }
    town.bd(&["remember", "a secret", "--key", "k"]);
    town.bd(&["create", "private", "--ephemeral"]);
    town.bd(&["create", "Two", "--id", "tt-2", "--deps", "blocks:tt-1"]);
    let mut two = changed(&desk.snapshot().await);
    while !two.contains_key("tt-2") {
        two.extend(changed(&desk.snapshot().await));
    }
    assert!(two.keys().all(|id| id == "tt-1" || id == "tt-2"), "{two:?}");
    town.bd(&["delete", "tt-1", "--force"]);
    // What is linked to it changes first.
    let gone = loop {
        let snapshot = desk.snapshot().await;
        if !snapshot.missing.is_empty() {
            break snapshot.missing;
        }
    };
    assert_eq!(gone, ["tt-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_reads_as_it_was_written() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let at = desk.snapshot().await;
    let full = issue(
        "tt-f",
        json!({"description": "d\n<&>é", "design": "ds", "acceptance_criteria": "ac", "notes": "n",
        "spec_id": "sp", "status": "in_progress", "priority": 0, "issue_type": "bug", "assignee": "ann", "owner": "o",
        "estimated_minutes": 30, "created_at": "2026-01-01T10:00:00.9-08:00", "created_by": "cb",
        "updated_at": "2026-02-01T10:00:00.9Z", "started_at": "2026-01-02T00:00:00.5Z", "closed_by_session": "s",
        "due_at": "2026-03-01T00:00:00.7Z", "defer_until": "2026-04-01T00:00:00Z", "external_ref": "gh-1",
        "source_system": "sys", "metadata": {"b": 1.5, "big": 12_345_678_901_234_567_890_u64}, "labels": ["z", "a,b", "q\"q"],
        "dependencies": [{"issue_id": "tt-f", "depends_on_id": "tt-t", "type": "waits-for", "created_by": "x",
            "created_at": "2026-01-01T00:00:00.5Z", "metadata": "{\"gate\":\"any-children\"}", "thread_id": "th"},
            {"issue_id": "tt-f", "depends_on_id": "tt-nowhere", "type": "blocks"}],
        "comments": [{"id": "7", "author": "ann", "text": "hi", "created_at": "2026-01-01T00:00:00.6Z"}],
        "pinned": true, "bonded_from": [{"source_id": "p", "bond_type": "sequential"}], "mol_type": "swarm",
        "source_formula": "sf", "await_type": "human", "await_id": "aw", "timeout": 5_000_000_000_i64,
        "waiters": ["w"], "unknown_x": {"q": 1}, "hook_bead": "hb"}),
    );
    let target = issue("tt-t", json!({}));
    let at = write(&mut desk, &at, lines(&[&target, &full])).await;
    let has = &town.export()["tt-f"];
    assert_eq!((&has["labels"], &has["comments"][0]["created_at"]), (&json!(["a,b", "q\"q", "z"]), &json!(T)));
    assert_eq!((has.get("unknown_x"), &has["pinned"]), (None, &json!(true)));

    // Everything once more, with other values, and with much of it gone.
    let next = issue(
        "tt-f",
        json!({"title": "other", "status": "deferred", "priority": 4, "owner": "p", "due_at": T,
        "spec_id": "sp2", "updated_at": "2026-03-01T00:00:00Z", "labels": ["z"], "metadata": {"n": 1}, "pinned": false,
        "created_at": "2026-01-01T10:00:00.9-08:00", "created_by": "cb", "unknown_x": 2,
        "dependencies": [{"issue_id": "tt-f", "depends_on_id": "tt-t", "type": "related", "created_by": "y"}],
        "comments": [full["comments"][0], {"author": "bob", "text": "ho", "created_at": T}]}),
    );
    let at = write(&mut desk, &at, lines(&[&next])).await;
    let has = &town.export()["tt-f"];
    let said = [&has["title"], &has["status"], &has["labels"], &has["spec_id"], &has["due_at"], &has["metadata"]];
    assert_eq!(said, [&json!("other"), &json!("deferred"), &json!(["z"]), &json!("sp2"), &json!(T), &json!({"n": 1})]);
    assert_eq!((has.get("defer_until"), has.get("notes")), (None, None));
    assert_eq!(has["dependencies"].as_array().unwrap().len(), 1);
    assert_eq!(has["dependencies"][0]["type"], "related");
    assert_eq!(has["comments"].as_array().unwrap().len(), 2, "no comment twice");

    // An edit by hand changes what it changes; what bd cannot hold stays, over a restart too.
    drop(desk);
    let mut desk = town.couple();
    let first = changed(&desk.snapshot().await);
    assert_eq!(first["tt-f"], next, "after a restart it reads as it was written");
    town.bd(&["update", "tt-f", "--title", "by hand", "--remove-label", "z"]);
    let seen = &changed(&desk.snapshot().await)["tt-f"];
    assert_eq!((&seen["title"], seen.get("labels"), &seen["owner"]), (&json!("by hand"), None, &json!("p")));
    assert_eq!((&seen["unknown_x"], &seen["created_at"]), (&json!(2), &next["created_at"]));
    drop(at);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_when_nothing_changed() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let at = desk.snapshot().await;
    let mut line = issue("tt-1", json!({"labels": ["x"], "zeal": 1}));
    let at = write(&mut desk, &at, lines(&[&line])).await;
    let root = town.root();
    let at = write(&mut desk, &at, lines(&[&line])).await;
    // What bd cannot hold changes beside it.
    line["zeal"] = json!(2);
    line["updated_at"] = json!("2026-05-01T00:00:00Z");
    write(&mut desk, &at, lines(&[&line])).await;
    assert_eq!(town.root(), root, "bd was not written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_take_their_edges_and_nothing_else() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let at = desk.snapshot().await;
    let edge = json!({"description": "see tt-x", "dependencies": [{"issue_id": "tt-d", "depends_on_id": "tt-x", "type": "blocks"}]});
    let (gone, child, stays) = (issue("tt-x", json!({})), issue("tt-x.1", json!({})), issue("tt-d", edge));
    let at = write(&mut desk, &at, lines(&[&gone, &child, &stays])).await;
    let at = write(&mut desk, &at, vec![("tt-x".into(), None)]).await;
    let has = town.export();
    assert_eq!(has.keys().collect::<Vec<_>>(), ["tt-d", "tt-x.1"]);
    assert_eq!(has["tt-d"]["description"], "see tt-x", "bd rewrites no text for a deletion of ours");
    assert_eq!(desk.line("tt-d").await, Some(stays.clone()), "its edge is the mesh's to remove");
    // It comes back.
    write(&mut desk, &at, lines(&[&gone, &stays])).await;
    assert_eq!(town.export()["tt-d"]["dependencies"][0]["depends_on_id"], "tt-x");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_came_between_is_kept() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let at = desk.snapshot().await;
    let mut line = issue("tt-1", json!({}));
    let at = write(&mut desk, &at, lines(&[&line])).await;
    line["notes"] = json!("from afar");
    let prepared = desk.handle.prepare(at.generation, lines(&[&line])).await.unwrap();
    town.bd(&["update", "tt-1", "--title", "by hand"]);
    assert_eq!(desk.handle.commit(prepared).await, Err(ApplyError::Changed));
    let snapshot = desk.snapshot().await;
    let mut seen = changed(&snapshot)["tt-1"].clone();
    assert_eq!((&seen["title"], seen.get("notes")), (&json!("by hand"), None));
    seen["notes"] = json!("from afar");
    write(&mut desk, &snapshot, lines(&[&seen])).await;
    let has = &town.export()["tt-1"];
    assert_eq!((&has["title"], &has["notes"]), (&json!("by hand"), &json!("from afar")));
}

/// The real bd, but somebody's edit comes right before our import: after everything was read.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_the_last_moment_is_kept() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let real = bd.display();
    let aside = tempfile::tempdir().unwrap();
    let strike = aside.path().join("strike");
    let script = format!(
        "case \"$*\" in *import*) if rm '{strike}' 2>/dev/null; then
             '{real}' update tt-1 --title 'by hand' --remove-label old >/dev/null 2>&1; fi;; esac
         exec '{real}' \"$@\"",
        strike = strike.display()
    );
    let program = stand_in(aside.path(), &script);
    let mut desk = Desk::open(town.dir.path(), Options { program, ..options() });
    let at = desk.snapshot().await;
    let mut line = issue("tt-1", json!({"labels": ["old", "stays"]}));
    let at = write(&mut desk, &at, lines(&[&line])).await;
    (line["notes"], line["labels"]) = (json!("from afar"), json!(["old", "stays", "new"]));
    line["updated_at"] = json!("2026-04-01T00:00:00Z");
    std::fs::write(&strike, "").unwrap();
    desk.handle.apply(at.generation, lines(&[&line])).await.unwrap();
    assert!(!strike.exists(), "the edit came between");
    let seen = &changed(&desk.snapshot().await)["tt-1"];
    assert_eq!((&seen["title"], &seen["notes"]), (&json!("by hand"), &json!("from afar")));
    assert_eq!(seen["labels"], json!(["stays", "new"]));
    let has = &town.export()["tt-1"];
    assert_eq!((&has["title"], &has["notes"]), (&json!("by hand"), &json!("from afar")));
    assert_eq!(has["labels"], json!(["new", "stays"]), "a label that was removed stays removed");
}

/// The real bd, but it deletes nothing for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_fails_brings_nothing_back() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let aside = tempfile::tempdir().unwrap();
    let refuse = aside.path().join("refuse");
    let script = format!(
        "case \"$*\" in *delete*) if [ -f '{}' ]; then echo no >&2; exit 1; fi;; esac; exec '{}' \"$@\"",
        refuse.display(),
        bd.display()
    );
    let mut desk = Desk::open(town.dir.path(), Options { program: stand_in(aside.path(), &script), ..options() });
    let at = desk.snapshot().await;
    let at = write(&mut desk, &at, lines(&[&issue("tt-1", json!({}))])).await;
    std::fs::write(&refuse, "").unwrap();
    let gone = vec![("tt-1".to_owned(), None)];
    let error = desk.handle.apply(at.generation, gone.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "bd delete failed: tt-1 is still there");
    let snapshot = desk.snapshot().await;
    assert!(snapshot.changed.is_empty() && snapshot.missing.is_empty(), "nobody did anything: {snapshot:?}");
    std::fs::remove_file(&refuse).unwrap();
    write(&mut desk, &snapshot, gone).await;
    assert!(town.export().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bd_refuses_does_not_hold_up_the_rest() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let mut desk = town.couple();
    let at = desk.snapshot().await;
    let good: Vec<Value> = (0..5).map(|n| issue(&format!("tt-{n}"), json!({}))).collect();
    let odd = issue("tt-odd", json!({"status": "hovering"}));
    let orphan = issue("tt-none.1", json!({}));
    let private = issue("tt-p", json!({"ephemeral": true}));
    let mut all: Vec<&Value> = good.iter().collect();
    all.extend([&odd, &orphan, &private]);
    let at = write(&mut desk, &at, lines(&all)).await;
    assert_eq!(town.export().len(), 5);
    let mut bad = good[0].clone();
    (bad["status"], bad["notes"]) = (json!("hovering"), json!("n"));
    write(&mut desk, &at, lines(&[&bad])).await;
    assert_eq!(town.export()["tt-0"]["status"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bd_refused_is_offered_again() {
    let Some(bd) = real() else { return };
    let town = Town::new(&bd);
    let soon = Duration::from_secs(1);
    let mut desk =
        Desk::open(town.dir.path(), Options { program: bd.clone(), compare: soon, refused: soon, ..options() });
    let at = desk.snapshot().await;
    let child = issue("tt-late.1", json!({}));
    write(&mut desk, &at, lines(&[&child])).await;
    assert!(town.export().is_empty(), "a child without its parent is refused");
    // The parent comes by another way; nobody writes the child again.
    town.bd(&["create", "parent", "--id", "tt-late", "--force"]);
    let until = Instant::now() + DEADLINE;
    while !town.export().contains_key("tt-late.1") {
        assert!(Instant::now() < until, "{:?}", town.export());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
