//! One id, several births.

use crate::world::{Host, bead, sync_all};
use beads::{Birth, Write, WriteError, create_writes, relation_write};
use serde_json::json;

fn two(first: &str, second: &str) -> (Host, Host) {
    let (mut a, mut b) = (Host::new(1), Host::new(2));
    a.create(1, first);
    b.create(1, second);
    sync_all(&mut [&mut a, &mut b]);
    (a, b)
}

const EARLY: &str = r#""title":"one","created_at":"2025-01-01T00:00:00Z""#;
const LATE: &str = r#""title":"two","created_at":"2025-01-02T00:00:00Z""#;

#[test]
fn different_things_of_one_id_are_both_shown() {
    let (a, _) = two(LATE, EARLY);
    let shown = a.state.shown();
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].shown_id.as_str(), shown[0].bead.text("title")), ("app-x1", "one"));
    let suffix = &shown[1].birth.to_string()[..4];
    assert_eq!((shown[1].shown_id.as_str(), shown[1].bead.text("title")), (&*format!("app-x1~{suffix}"), "two"));
    assert!(shown.iter().all(|s| s.conflicts.is_empty()));
    assert_eq!(a.state.contribution().beads, 2);
}

#[test]
fn a_title_that_two_files_changed_is_one_bead_with_a_conflict() {
    let (a, _) = two(EARLY, r#""title":"other","created_at":"2025-01-01T01:00:00.25+01:00""#);
    let shown = a.state.shown();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].births.len(), 2);
    assert_eq!(shown[0].conflicts.len(), 1);
}

#[test]
fn same_and_split_decide() {
    let (mut a, _) = two(EARLY, LATE);
    let births: Vec<Birth> = a.state.births().into_iter().collect();
    let relate = |a: &Host, same| relation_write(&a.state, births[1], births[0], same).unwrap();
    let same = relate(&a, Some(true));
    a.write(5, vec![same]);
    assert_eq!(a.state.shown().len(), 1);
    let split = relate(&a, Some(false));
    a.write(6, vec![split]);
    assert_eq!(a.state.shown().len(), 2);
    let back = relate(&a, None);
    a.write(7, vec![back]);
    assert_eq!(a.state.shown().len(), 2);
    let (mut c, _) = two(EARLY, r#""title":"one","created_at":"2025-01-03T00:00:00Z""#);
    let births: Vec<Birth> = c.state.births().into_iter().collect();
    assert_eq!(c.state.shown().len(), 1);
    let split = relation_write(&c.state, births[0], births[1], Some(false)).unwrap();
    c.write(6, vec![split]);
    assert_eq!(c.state.shown().len(), 2);
    assert_eq!(relation_write(&c.state, births[0], births[0], None), None);
}

#[test]
fn two_opinions_about_a_pair_are_a_conflict() {
    let (mut a, mut b) = two(EARLY, LATE);
    let births: Vec<Birth> = a.state.births().into_iter().collect();
    let same = relation_write(&a.state, births[0], births[1], Some(true)).unwrap();
    let split = relation_write(&b.state, births[0], births[1], Some(false)).unwrap();
    a.write(5, vec![same]);
    b.write(6, vec![split]);
    sync_all(&mut [&mut a, &mut b]);
    let shown = a.state.shown();
    assert_eq!(shown.len(), 2);
    let conflicts: Vec<_> = shown.iter().flat_map(|s| &s.conflicts).map(|c| (c.birth, c.values.len())).collect();
    assert_eq!(conflicts, [(births[0], 2)]);
    let with = shown.iter().find(|s| !s.conflicts.is_empty()).unwrap();
    let settle = beads::resolve_write(with, &with.conflicts[0].unit, Some(json!("same"))).unwrap();
    a.write(7, vec![settle]);
    assert_eq!(a.state.shown().len(), 1);
    // Now the two are one bead, with two titles, and nothing else is open.
    let units: Vec<String> = a.state.shown()[0].conflicts.iter().map(|c| c.unit.to_string()).collect();
    assert_eq!(units, ["field:title"]);
}

#[test]
fn a_word_about_unknown_births_makes_no_bead() {
    let mut a = Host::new(1);
    let write = relation_write(&a.state, Birth([1; 8]), Birth([2; 8]), Some(true)).unwrap();
    a.write(1, vec![write]);
    assert!(a.state.shown().is_empty());
    assert_eq!(a.state.contribution().beads, 0);
    assert_eq!(beads::BeadState::decode(&a.state.encode()).unwrap(), a.state);
}

#[test]
fn writes_that_cannot_be_are_refused_and_change_nothing() {
    let mut host = Host::new(1);
    host.create(1, EARLY);
    let before = host.state.clone();
    let good = create_writes(&bead(EARLY), None).remove(0);
    let unit = |text: &str| text.parse().unwrap();
    let bad = [
        Write { birth: Birth([0; 8]), ..good.clone() },
        Write { value: Some(json!({"created": 1, "title": "x"})), ..good.clone() },
        Write { value: Some(json!({"created": "1", "title": "x"})), ..good.clone() },
        Write { value: None, ..good.clone() },
        Write { id: "other".parse().unwrap(), ..good.clone() },
        Write { unit: beads::Unit::Field("status".into()), ..good.clone() },
        Write { unit: unit("field:title"), value: Some(json!(1)), ..good.clone() },
        Write { unit: unit("field:x"), value: Some(json!("x".repeat(17_000))), ..good.clone() },
        Write { unit: unit("lifecycle"), value: Some(json!({"title": "x"})), ..good.clone() },
        Write { unit: unit("lifecycle"), value: Some(json!({"closed_at": "soon"})), ..good.clone() },
        Write { unit: unit("label:x"), value: Some(json!("x")), ..good.clone() },
        Write { unit: unit("dep:x"), value: Some(json!({"issue_id": "y"})), ..good.clone() },
        Write { unit: beads::Unit::Comment([0; 16]), value: Some(json!({"text": "y"})), ..good.clone() },
        Write { unit: beads::Unit::Comment([0; 16]), value: None, ..good.clone() },
        Write { unit: beads::Unit::Relation(Birth([0; 8])), value: Some(json!("same")), ..good.clone() },
        Write { unit: beads::Unit::Relation(Birth([255; 8])), value: Some(json!("maybe")), ..good.clone() },
        Write { unit: unit("delete"), value: Some(json!(1)), ..good.clone() },
        Write { replaces: vec![crate::world::dot(9, 1); beads::REPLACES_MAX + 1], ..good.clone() },
        Write { replaces: vec![crate::world::dot(9, 9)], ..good.clone() },
    ];
    let stamp = beads::Stamp { dot: crate::world::dot(9, 9), hlc: types::Hlc::default() };
    for write in bad {
        let err: WriteError = host.state.apply(&stamp, &write, &|_| false).unwrap_err();
        assert!(!err.to_string().is_empty());
        assert_eq!(host.state, before, "{write:?}");
    }
}
