//! Deleting, and what brings a bead back.

use crate::world::{Host, conflict, field, sync_all};
use beads::{Unit, delete_write, resolve_write, undelete_write};
use serde_json::{Map, Value, json};

fn note() -> Map<String, Value> {
    json!({"by": "ann"}).as_object().unwrap().clone()
}

fn pair() -> (Host, Host) {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.create(1, r#""title":"t","updated_at":"2025-01-01T00:00:00Z","labels":["l"]"#);
    b.sync(&a);
    (a, b)
}

#[test]
fn a_delete_hides_and_can_be_taken_back() {
    let (mut a, _) = pair();
    let delete = delete_write(&a.shown(), note());
    a.write(2, vec![delete]);
    assert!(a.shown().hidden);
    assert_eq!(a.state.contribution().beads, 0);
    let undelete = undelete_write(&a.shown()).unwrap();
    a.write(3, vec![undelete]);
    assert!(!a.shown().hidden);
    assert!(a.shown().conflicts.is_empty());
    assert_eq!(undelete_write(&a.shown()), None);
}

#[test]
fn an_edit_that_did_not_know_of_the_delete_brings_the_bead_back() {
    let (mut a, mut b) = pair();
    let delete = delete_write(&a.shown(), note());
    a.write(9, vec![delete]);
    b.set(2, "notes", "still needed");
    sync_all(&mut [&mut a, &mut b]);
    assert!(!a.shown().hidden);
    assert_eq!(conflict(&a.shown(), &Unit::Delete), [Some(json!({"by": "ann"}))]);
    assert_eq!(a.state.contribution().conflicts, 1);
    // Settled either way.
    let (mut kept, mut gone) = (a.clone(), a.clone());
    let keep = resolve_write(&kept.shown(), &Unit::Delete, None).unwrap();
    kept.write(10, vec![keep]);
    assert!(!kept.shown().hidden && kept.shown().conflicts.is_empty());
    let again = resolve_write(&gone.shown(), &Unit::Delete, Some(json!({}))).unwrap();
    gone.write(10, vec![again]);
    assert!(gone.shown().hidden && gone.shown().conflicts.is_empty());
}

#[test]
fn a_time_alone_does_not_bring_it_back() {
    let (mut a, mut b) = pair();
    let delete = delete_write(&a.shown(), note());
    a.write(2, vec![delete]);
    b.set(3, "updated_at", "2025-02-01T00:00:00Z");
    sync_all(&mut [&mut a, &mut b]);
    assert!(a.shown().hidden);
}

#[test]
fn replacing_what_the_delete_saw_brings_it_back() {
    let (mut a, mut b) = pair();
    let delete = delete_write(&a.shown(), note());
    a.write(2, vec![delete]);
    b.set(3, "title", "t2");
    sync_all(&mut [&mut a, &mut b]);
    assert!(!a.shown().hidden);
    assert_eq!(a.shown().bead.text("title"), "t2");
    assert_eq!(a.shown().units[&field("title")].live.len(), 1);
}

#[test]
fn removing_a_label_at_the_same_time_does_not() {
    let (mut a, mut b) = pair();
    let delete = delete_write(&a.shown(), note());
    a.write(2, vec![delete]);
    b.edit(3, |bead| bead.set_label("l", false));
    sync_all(&mut [&mut a, &mut b]);
    assert!(a.shown().hidden);
}

#[test]
fn of_two_deletes_one_that_saw_everything_is_enough() {
    let (mut a, mut b) = pair();
    let early = delete_write(&a.shown(), note());
    a.write(2, vec![early]);
    b.set(3, "notes", "n");
    let late = delete_write(&b.shown(), note());
    b.write(4, vec![late]);
    sync_all(&mut [&mut a, &mut b]);
    assert!(a.shown().hidden);
    assert!(a.shown().conflicts.is_empty());
}
