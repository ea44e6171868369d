//! Concurrent edits, sets, times and baselines.

use crate::world::{Host, bead, conflict, dot, field, sync_all};
use beads::{Unit, canonical_hash, create_writes, resolve_write};
use serde_json::{Value, json};

fn pair() -> (Host, Host) {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.create(
        1,
        r#""title":"t","created_at":"2025-01-01T00:00:00Z","updated_at":"2025-01-01T00:00:00Z","labels":["l"]"#,
    );
    b.sync(&a);
    (a, b)
}

#[test]
fn edits_of_different_units_all_stay() {
    let (mut a, mut b) = pair();
    a.set(2, "notes", "from a");
    b.set(3, "status", "closed");
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.shown();
    assert_eq!((shown.bead.text("notes"), shown.bead.text("status")), ("from a", "closed"));
    assert!(shown.conflicts.is_empty(), "{:?}", shown.conflicts);
}

#[test]
fn of_two_edits_the_later_is_shown_and_the_other_listed_until_resolved() {
    let (mut a, mut b) = pair();
    a.set(20, "title", "late");
    b.set(10, "title", "early");
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.text("title"), "late");
    assert_eq!(conflict(&a.shown(), &field("title")), [Some(json!("late")), Some(json!("early"))]);
    // An edit by somebody who was shown one value replaces that one only.
    b.set(30, "title", "later still");
    assert_eq!(conflict(&b.shown(), &field("title")), [Some(json!("later still")), Some(json!("early"))]);
    let resolve = resolve_write(&b.shown(), &field("title"), Some(json!("early"))).unwrap();
    b.write(1, vec![resolve]);
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.text("title"), "early");
    assert!(a.shown().conflicts.is_empty());
}

#[test]
fn equal_edits_do_not_conflict() {
    let (mut a, mut b) = pair();
    a.set(2, "due_at", "2025-06-01T12:00:00Z");
    b.set(3, "due_at", "2025-06-01T14:00:00+02:00");
    sync_all(&mut [&mut a, &mut b]);
    assert!(a.shown().conflicts.is_empty());
    assert_eq!(a.shown().units[&field("due_at")].dots.len(), 2);
    assert_eq!(a.shown().bead.text("due_at"), "2025-06-01T14:00:00+02:00");
}

#[test]
fn clearing_and_changing_at_once_is_a_conflict() {
    let (mut a, mut b) = pair();
    a.set(2, "assignee", "x");
    b.sync(&a);
    a.set(10, "assignee", Value::Null);
    b.set(9, "assignee", "y");
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.get("assignee"), None);
    assert_eq!(conflict(&a.shown(), &field("assignee")), [None, Some(json!("y"))]);
}

#[test]
fn a_label_stays_when_somebody_adds_it_who_did_not_see_its_removal() {
    let (mut a, mut b) = pair();
    a.edit(2, |bead| bead.set_label("l", false));
    assert_eq!(a.shown().bead.labels().count(), 0);
    b.edit(3, |bead| bead.set_label("l", false));
    b.edit(4, |bead| bead.set_label("l", true));
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.labels().collect::<Vec<_>>(), ["l"]);
    // Who saw it can remove it.
    a.edit(1, |bead| bead.set_label("l", false));
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(b.shown().bead.labels().count(), 0);
}

fn edge(kind: &str, at: &str, by: &str) -> serde_json::Map<String, Value> {
    json!({"type": kind, "created_at": at, "created_by": by}).as_object().unwrap().clone()
}

#[test]
fn equal_edges_show_the_earliest_companions_and_never_conflict() {
    let (mut a, mut b) = pair();
    a.edit(9, |bead| bead.set_dependency("x", Some(edge("blocks", "2025-01-03T00:00:00Z", "late"))));
    b.edit(2, |bead| bead.set_dependency("x", Some(edge("blocks", "2025-01-02T00:00:00Z", "early"))));
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.shown();
    assert!(shown.conflicts.is_empty());
    assert_eq!(shown.bead.dependencies().next().unwrap().1["created_by"], json!("early"));
    // The same when the earliest is the one of highest rank already.
    let (mut a, mut b) = pair();
    a.edit(2, |bead| bead.set_dependency("x", Some(edge("blocks", "2025-01-03T00:00:00Z", "late"))));
    b.edit(9, |bead| bead.set_dependency("x", Some(edge("blocks", "2025-01-02T00:00:00Z", "early"))));
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.dependencies().next().unwrap().1["created_by"], json!("early"));
}

#[test]
fn an_edge_s_type_conflicts_with_its_removal() {
    let (mut a, mut b) = pair();
    a.edit(2, |bead| bead.set_dependency("x", Some(edge("blocks", "2025-01-02T00:00:00Z", "a"))));
    b.sync(&a);
    a.edit(3, |bead| bead.set_dependency("x", Some(edge("related", "2025-01-02T00:00:00Z", "a"))));
    b.edit(4, |bead| bead.set_dependency("x", None));
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.dependencies().count(), 0);
    let values = conflict(&a.shown(), &Unit::Dep("x".into()));
    assert_eq!(values.len(), 2);
    assert_eq!(values[1].as_ref().unwrap()["type"], json!("related"));
}

#[test]
fn comments_add_up_and_one_comment_is_one() {
    let (mut a, mut b) = pair();
    a.edit(2, |bead| bead.add_comment("ann", "hello", "2025-01-01T00:00:00Z"));
    b.edit(3, |bead| bead.add_comment("ann", "hello", "2025-01-01T01:00:00.7+01:00"));
    b.edit(4, |bead| bead.add_comment("bob", "hello", "2025-01-01T00:00:00Z"));
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.comments().count(), 2);
    assert!(a.shown().conflicts.is_empty());
}

#[test]
fn times_of_creation_and_change_never_conflict() {
    let (mut a, mut b) = pair();
    a.set(2, "updated_at", "2025-01-05T00:00:00Z");
    b.set(3, "updated_at", "2025-01-04T00:00:00Z");
    a.set(4, "created_at", "2024-12-31T00:00:00Z");
    b.set(5, "created_at", "2024-12-30T00:00:00Z");
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.shown();
    assert_eq!(shown.bead.text("updated_at"), "2025-01-05T00:00:00Z");
    assert_eq!(shown.bead.text("created_at"), "2024-12-30T00:00:00Z");
    assert!(shown.conflicts.is_empty());
}

#[test]
fn imports_rank_by_their_line_s_time_and_below_every_edit() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.import(1, r#""title":"t","notes":"old","updated_at":"2025-01-01T00:00:00Z""#);
    b.import(900, r#""title":"t","notes":"new","design":"d","updated_at":"2025-01-02T00:00:00Z""#);
    let (mut a2, mut b2) = (a.clone(), b.clone());
    sync_all(&mut [&mut a2, &mut b2]);
    let shown = a2.shown();
    assert_eq!((shown.bead.text("notes"), shown.bead.text("design")), ("new", "d"));
    assert_eq!(shown.conflicts.len(), 1);
    assert!(shown.conflicts[0].baseline);
    assert_eq!(a2.state.contribution().baseline_conflicts, 1);
    // An edit stands above a baseline of a later clock.
    a.set(2, "notes", "edited");
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.text("notes"), "edited");
    assert!(!a.shown().conflicts[0].baseline);
}

#[test]
fn an_absent_priority_is_a_zero_that_conflicts() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.import(1, r#""title":"t","updated_at":"2025-01-02T00:00:00Z""#);
    b.import(1, r#""title":"t","priority":2,"updated_at":"2025-01-01T00:00:00Z""#);
    sync_all(&mut [&mut a, &mut b]);
    assert_eq!(a.shown().bead.priority(), 0);
    assert_eq!(conflict(&a.shown(), &field("priority")), [Some(json!(0)), Some(json!(2))]);
}

#[test]
fn an_import_without_a_value_makes_no_claim() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.import(1, r#""title":"t","notes":"n","updated_at":"2025-01-01T00:00:00Z""#);
    let mut silent =
        create_writes(&bead(r#""title":"t","notes":"x","updated_at":"2025-01-09T00:00:00Z""#), Some(&|_| vec![]));
    silent.iter_mut().filter(|w| w.unit == field("notes")).for_each(|w| w.value = None);
    b.write(1, silent);
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.shown();
    assert_eq!(shown.bead.text("notes"), "n");
    assert!(shown.conflicts.is_empty());
    // It goes with the first edit, and does not come back as a value.
    assert_eq!(shown.units[&field("notes")].dots, [dot(1, 1), dot(2, 1)]);
    a.set(5, "notes", "edit");
    assert_eq!(a.shown().units[&field("notes")].live, [dot(1, 2)]);
}

/// An import of `notes` whose file once had the given other values.
fn with_history(host: &mut Host, notes: &str, at: &str, history: &[&str]) {
    let bead = bead(&format!("\"title\":\"t\",\"notes\":\"{notes}\",\"updated_at\":\"2025-01-{at}T00:00:00Z\""));
    let ancestors = |unit: &Unit| match unit {
        Unit::Field(name) if name == "notes" => {
            history.iter().map(|old| canonical_hash(unit, Some(&json!(*old)))).collect()
        }
        _ => Vec::new(),
    };
    host.write(1, create_writes(&bead, Some(&ancestors)));
}

#[test]
fn a_value_from_the_other_file_s_history_counts_as_replaced() {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    with_history(&mut a, "old", "09", &[]);
    with_history(&mut b, "new", "01", &["older", "old"]);
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.shown();
    assert_eq!(shown.bead.text("notes"), "new");
    assert!(shown.conflicts.is_empty());
    // Whoever edits now replaces the old value together with the new one.
    assert_eq!(shown.units[&field("notes")].dots, [dot(1, 1), dot(2, 1)]);
    a.set(5, "notes", "edit");
    assert!(a.shown().conflicts.is_empty());
}

#[test]
fn histories_that_contradict_each_other_lose_nothing() {
    let mut hosts: Vec<Host> = (1..=4).map(Host::new).collect();
    with_history(&mut hosts[0], "a", "01", &["b"]);
    with_history(&mut hosts[1], "b", "02", &["c"]);
    with_history(&mut hosts[2], "c", "03", &["a", "d"]);
    with_history(&mut hosts[3], "d", "04", &[]);
    let mut refs: Vec<&mut Host> = hosts.iter_mut().collect();
    sync_all(&mut refs);
    let values = conflict(&hosts[0].shown(), &field("notes"));
    assert_eq!(values, [Some(json!("c")), Some(json!("b")), Some(json!("a"))]);
}
