use super::*;
use crate::{Parsed, parse_line};
use proptest::prelude::*;
use serde_json::json;

fn bead(value: Value) -> Bead {
    match parse_line(&value.to_string()).unwrap() {
        Parsed::Issue(bead) => bead,
        other => panic!("{other:?}"),
    }
}

fn lines(merged: &Merged) -> Vec<String> {
    merged.beads.iter().map(Bead::to_line).collect()
}

fn m(base: &[Value], ours: &[Value], theirs: &[Value]) -> Merged {
    let of = |v: &[Value]| v.iter().cloned().map(bead).collect::<Vec<_>>();
    let (base, ours, theirs) = (of(base), of(ours), of(theirs));
    let merged = merge3(&base, &ours, &theirs).unwrap();
    laws(&base, &ours, &theirs, &merged);
    merged
}

fn laws(base: &[Bead], ours: &[Bead], theirs: &[Bead], merged: &Merged) {
    let swapped = merge3(base, theirs, ours).unwrap();
    assert_eq!(lines(merged), lines(&swapped));
    assert_eq!(merged.conflicts, swapped.conflicts);
    assert_eq!(merged.settled, swapped.settled);
    for (a, b) in [(&merged.beads[..], theirs), (ours, &merged.beads[..]), (&merged.beads[..], &merged.beads[..])] {
        let again = merge3(base, a, b).unwrap();
        assert_eq!(again.beads.len(), merged.beads.len(), "{:?} {:?}", lines(&again), lines(merged));
        for (x, y) in again.beads.iter().zip(&merged.beads) {
            assert!(x.same(y), "{}\n{}", x.to_line(), y.to_line());
        }
    }
}

fn base() -> Value {
    json!({"id": "a", "title": "t", "status": "open", "priority": 2, "labels": ["x"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "comments": [{"id": 1, "author": "p", "text": "hello", "created_at": "2026-01-01T00:00:00Z"}]})
}

fn with(changes: Value) -> Value {
    let mut bead = base();
    for (name, value) in changes.as_object().unwrap() {
        bead[name] = value.clone();
    }
    bead
}

#[test]
fn edits_of_different_units_both_stay() {
    let ours = with(json!({"title": "ours", "updated_at": "2026-01-02T00:00:00Z"}));
    let theirs = with(json!({"priority": 0, "labels": [], "updated_at": "2026-01-03T00:00:00Z"}));
    let merged = m(&[base()], &[ours], &[theirs]);
    let bead = &merged.beads[0];
    assert_eq!((bead.text("title"), bead.priority(), bead.labels().count()), ("ours", 0, 0));
    assert_eq!(bead.text("updated_at"), "2026-01-03T00:00:00Z");
    assert_eq!(bead.comments().next().unwrap()["id"], 1);
    assert!(merged.conflicts.is_empty());
    assert_eq!(merged.settled_by_rule(), BTreeMap::from([("updated_at_max", 1)]));
}

#[test]
fn edits_of_one_unit_are_listed_and_the_later_line_is_shown() {
    let ours = with(json!({"title": "ours", "updated_at": "2026-01-03T00:00:00Z"}));
    let theirs = with(json!({"title": "theirs", "updated_at": "2026-01-02T00:00:00Z"}));
    let merged = m(&[base()], &[ours], &[theirs]);
    assert_eq!(merged.conflicts.len(), 1);
    assert_eq!(merged.conflicts[0].unit, Unit::Field("title".into()));
    assert_eq!(merged.conflicts[0].values, [Some(json!("ours")), Some(json!("theirs"))]);
    assert_eq!(merged.beads[0].text("title"), "ours");
}

#[test]
fn a_delete_wins_over_nothing_but_times() {
    let edited = with(json!({"title": "new", "updated_at": "2026-01-03T00:00:00Z"}));
    let merged = m(&[base()], &[], &[edited]);
    assert_eq!(merged.beads[0].text("title"), "new");
    assert_eq!(merged.conflicts[0].unit, Unit::Delete);
    assert_eq!(merged.conflicts[0].values.len(), 2);
    let touched = with(json!({"updated_at": "2026-01-03T00:00:00Z"}));
    let merged = m(&[base()], &[], &[touched]);
    assert!(merged.beads.is_empty() && merged.conflicts.is_empty());
    assert_eq!(merged.settled_by_rule(), BTreeMap::from([("delete_covers", 1)]));
    assert!(m(&[base()], &[], &[base()]).beads.is_empty());
    assert_eq!(m(&[base()], &[], &[]).settled_by_rule(), BTreeMap::from([("equal_values", 1)]));
}

#[test]
fn two_beads_of_one_new_id_are_both_kept() {
    let one = json!({"id": "a", "title": "one", "created_at": "2026-01-01T00:00:00Z"});
    let two = json!({"id": "a", "title": "two", "created_at": "2026-01-02T00:00:00Z"});
    let merged = m(&[], std::slice::from_ref(&two), std::slice::from_ref(&one));
    let titles: Vec<&str> = merged.beads.iter().map(|b| b.text("title")).collect();
    assert_eq!(titles, ["one", "two"]);
    assert!(merged.beads[1].id.as_str().starts_with("a~"), "{:?}", merged.beads[1].id);
    assert_eq!(merged.settled_by_rule(), BTreeMap::from([("births_split", 1)]));
    let same = json!({"id": "a", "title": "one", "created_at": "2026-01-03T00:00:00Z", "notes": "n"});
    let merged = m(&[], &[one], &[same]);
    assert_eq!((merged.beads.len(), merged.beads[0].text("notes")), (1, "n"));
    assert_eq!(merged.beads[0].text("created_at"), "2026-01-01T00:00:00Z");
}

#[test]
fn a_removed_comment_stays_and_an_earlier_time_does_not_count() {
    let ours = with(json!({"comments": [], "updated_at": "2025-01-01T00:00:00Z"}));
    let merged = m(&[base()], &[ours], &[base()]);
    assert_eq!(merged.beads[0].comments().count(), 1);
    assert_eq!(merged.beads[0].text("updated_at"), "2026-01-01T00:00:00Z");
    assert_eq!(merged.settled_by_rule(), BTreeMap::from([("comments_union", 1), ("updated_at_max", 1)]));
}

#[test]
fn a_repeated_id_is_refused() {
    let twice = [bead(base()), bead(base())];
    assert!(matches!(merge3(&[], &twice, &[]), Err(MergeError::RepeatedId(_))));
}

fn any_bead(id: &'static str) -> impl Strategy<Value = Option<Value>> {
    let time = || {
        prop::sample::select(vec!["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "2026-01-02T00:00:00+01:00"])
    };
    let edge = prop::option::of((prop::sample::select(vec!["blocks", "tracks"]), time()));
    let comments = proptest::collection::vec((0u8..3, prop::option::of(0u8..2)), 0..3);
    let parts = (0u8..3, 0u8..3, prop::option::of(0u8..2), 0u8..8, edge, comments, time(), prop::option::of(time()));
    prop::option::weighted(0.85, parts).prop_map(move |parts| {
        let (title, status, notes, labels, edge, comments, created, updated) = parts?;
        let labels: Vec<String> = (0..3).filter(|i| labels >> i & 1 == 1).map(|i| format!("l{i}")).collect();
        let comments: Vec<Value> = comments
            .into_iter()
            .map(|(text, x)| json!({"id": text, "author": "p", "text": text.to_string(), "x": x}))
            .collect();
        let edges: Vec<Value> = edge
            .into_iter()
            .map(|(kind, at)| json!({"issue_id": id, "depends_on_id": "z", "type": kind, "created_at": at}))
            .collect();
        let status = ["open", "closed", "tombstone"][status as usize];
        Some(json!({"id": id, "title": title.to_string(), "status": status,
            "notes": notes.map(|n| n.to_string()), "labels": labels, "dependencies": edges, "comments": comments,
            "created_at": created, "updated_at": updated}))
    })
}

fn forms(bead: Option<&Bead>) -> BTreeMap<Unit, Vec<u8>> {
    let units = bead.map(Bead::units).unwrap_or_default();
    units.into_iter().filter_map(|(u, v)| Some((u.clone(), crate::canon::canonical(&u, Some(&v))?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn laws_hold_and_nothing_is_lost(
        base in (any_bead("a"), any_bead("b")),
        ours in (any_bead("a"), any_bead("b")),
        theirs in (any_bead("a"), any_bead("b")),
    ) {
        let of = |pair: (Option<Value>, Option<Value>)| -> Vec<Bead> {
            [pair.0, pair.1].into_iter().flatten().map(bead).collect()
        };
        let (base, ours, theirs) = (of(base), of(ours), of(theirs));
        let merged = merge3(&base, &ours, &theirs).unwrap();
        laws(&base, &ours, &theirs, &merged);
        for old in &base {
            let find = |beads: &[Bead]| beads.iter().find(|b| b.id == old.id).cloned();
            let (Some(mine), Some(other)) = (find(&ours), find(&theirs)) else { continue };
            let result = find(&merged.beads).unwrap();
            let (o, x, y, r) = (forms(Some(old)), forms(Some(&mine)), forms(Some(&other)), forms(Some(&result)));
            let units: BTreeSet<&Unit> = o.keys().chain(x.keys()).chain(y.keys()).collect();
            for unit in units {
                let settled = merged.settled.iter().any(|s| s.id == old.id && s.unit == *unit);
                let (vo, vx, vy, vr) = (o.get(unit), x.get(unit), y.get(unit), r.get(unit));
                let listed = merged.conflicts.iter().find(|c| c.id == old.id && c.unit == *unit);
                if vx == vy || vo == vy {
                    prop_assert!(vr == vx || settled, "{unit}");
                    prop_assert!(listed.is_none(), "{unit}");
                } else if vo == vx {
                    prop_assert!(vr == vy || settled, "{unit}");
                    prop_assert!(listed.is_none(), "{unit}");
                } else {
                    let has = |v: Option<&Vec<u8>>| listed.is_some_and(|c| c.values.iter().any(|w|
                        crate::canon::canonical(unit, w.as_ref()).as_ref() == v));
                    prop_assert!(settled || has(vx) && has(vy), "{unit}: {listed:?}");
                }
            }
        }
    }
}
