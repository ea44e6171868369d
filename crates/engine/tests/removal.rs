//! A member loses the right to write: what it wrote behind the cut-off has no effect, wherever it had been applied.

use crate::second::{INCARNATION, World, at};
use engine::{BeadChange, Command};
use identity::{Cutoff, Removed, Role};
use serde_json::{Value, json};
use types::Table;

#[test]
fn ops_behind_the_cut_off_lose_their_effect_and_stay_out() {
    let mut world = World::new();
    let owners = world.owners_dot();
    let (one, _) = world.writes("b1", vec![owners]);
    let first = world.last;
    let before = world.line();
    let (two, second) = world.writes("b2", vec![one]);
    let (_, third) = world.writes("b3", vec![two]);
    assert_eq!(world.titles(), ["b3"]);
    world.cut_off(first);
    assert_eq!(world.titles(), ["b1"]);
    assert_eq!(world.line(), before, "as if the later ops had never come");
    let evidence: Vec<Vec<u8>> = world.records(Table::Evidence).into_values().collect();
    assert!(evidence.contains(&second.to_json()) && evidence.contains(&third.to_json()), "kept aside");
    for event in [&second, &third] {
        world.give(event);
    }
    assert_eq!(world.counters()["after_cutoff"], 2);
    assert_eq!((world.titles(), world.line()), (vec!["b1".to_owned()], before));
}

#[test]
fn what_was_overwritten_behind_the_cut_off_lives_again_beside_later_edits() {
    let mut world = World::new();
    let owners = world.owners_dot();
    world.writes("b1", vec![owners]);
    let change = BeadChange { fields: [("title".to_owned(), json!("o2"))].into(), ..Default::default() };
    world.rig.ask(Command::Set { at: at(), id: "a-1".to_owned(), change }).unwrap();
    assert_eq!(world.titles(), ["o2"]);
    world.cut_off(None);
    // The owner's second title replaced the member's, which never counted; so both of the owner's are live.
    assert_eq!(world.titles(), ["o2", "t"]);
    let resolve = Command::Resolve {
        at: at(),
        id: Some("a-1".to_owned()),
        unit: Some("title".to_owned()),
        choice: engine::Choice::Shown,
        baseline: false,
    };
    world.rig.ask(resolve).unwrap();
    assert_eq!(world.titles(), ["o2"]);
}

#[test]
fn the_other_side_of_a_fork_at_the_cut_off_does_not_count() {
    let mut world = World::new();
    let owners = world.owners_dot();
    let (_, left) = world.op("left", vec![owners]);
    let (_, right) = world.op("right", vec![owners]);
    for event in [&left, &right] {
        world.give(event);
    }
    let mut both = world.titles();
    both.sort();
    assert_eq!(both, ["left", "right"]);
    world.cut_off(Some((1, right.id())));
    assert_eq!(world.titles(), ["right"]);
    world.give(&left);
    assert_eq!(world.titles(), ["right"]);
    assert_eq!(world.counters()["other_than_cutoff"], 1);
}

#[test]
fn whoever_comes_back_writes_on_from_the_last_op_that_counts() {
    let mut world = World::new();
    let owners = world.owners_dot();
    let (one, _) = world.writes("b1", vec![owners]);
    let first = world.last;
    world.writes("b2", vec![one]);
    world.cut_off(first);
    world.enrol(Role::Writer);
    assert_eq!(world.titles(), ["b1"], "what was cut off stays cut off");
    world.last = first;
    world.writes("b2 again", vec![one]);
    assert_eq!(world.titles(), ["b2 again"]);
    assert_eq!(world.counters()["fork"], Value::Null, "the op that was cut off is no side of a fork");
}

#[test]
fn a_reader_that_was_a_writer_writes_no_more() {
    let mut world = World::new();
    let owners = world.owners_dot();
    world.writes("b1", vec![owners]);
    let last = world.last.map(|(seq, id)| Cutoff { incarnation: INCARNATION, seq, id: Some(id) });
    let npub = world.member.npub();
    world.amend(|draft| {
        draft.members.iter_mut().filter(|m| m.npub == npub).for_each(|m| m.roles = vec![Role::Reader]);
        draft.removed.push(Removed { npub, cutoffs: last.into_iter().collect() });
    });
    world.writes("b2", Vec::new());
    assert_eq!(world.titles(), ["b1"]);
    assert_eq!(world.counters()["not_a_writer"], 1);
}
