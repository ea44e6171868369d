//! Whatever three writers do to one id, in whatever order the ops come: the same beads, and nothing unseen.

use crate::world::{Host, Op, bead, field, id};
use beads::{BeadState, Shadow, Shown, Unit, Write, canonical_hash, create_writes, diff};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use types::Dot;

#[derive(Clone, Debug)]
struct Step {
    host: usize,
    action: u8,
    arg: u8,
    ms: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3usize, 0..20u8, 0..4u8, 0..6u64).prop_map(|(host, action, arg, ms)| Step { host, action, arg, ms });
    proptest::collection::vec(step, 1..40)
}

fn line(arg: u8, ms: u64) -> beads::Bead {
    let tombstone = if arg == 3 { r#","status":"tombstone","deleted_at":"2025-01-01T00:00:00Z""# } else { "" };
    bead(&format!(
        r#""title":"t{}","created_at":"2025-01-0{}T00:00:00Z","updated_at":"2025-02-0{}T00:00:00Z","notes":"n{ms}","labels":["l{arg}"]{tombstone}"#,
        arg / 2,
        1 + arg % 2,
        1 + ms
    ))
}

/// What the lines of one file could have been before.
fn ancestors(arg: u8) -> impl Fn(&Unit) -> Vec<u64> {
    move |unit| match unit {
        Unit::Field(name) if name == "notes" => {
            (0..arg).map(|n| canonical_hash(unit, Some(&json!(format!("n{n}"))))).collect()
        }
        _ => Vec::new(),
    }
}

fn edge(arg: u8, ms: u64) -> Map<String, Value> {
    let kind = if arg.is_multiple_of(2) { "blocks" } else { "related" };
    json!({"type": kind, "created_at": format!("2025-01-01T00:00:0{ms}Z"), "created_by": format!("p{arg}")})
        .as_object()
        .unwrap()
        .clone()
}

fn change(bead: &mut beads::Bead, step: &Step) {
    let Step { action, arg, ms, .. } = *step;
    match action {
        0..=2 => drop(bead.set("title", Some(json!(format!("t{arg}"))))),
        3 => drop(bead.set("notes", (arg > 0).then(|| json!(format!("n{arg}"))))),
        4 => drop(bead.set("status", Some(json!(if arg % 2 == 0 { "open" } else { "closed" })))),
        5 | 6 => bead.set_label(&format!("l{arg}"), ms % 2 == 0),
        7 => bead.set_dependency("d", (arg > 0).then(|| edge(arg, ms))),
        8 => bead.add_comment("me", &format!("c{arg}"), "2025-01-01T00:00:00Z"),
        9 => drop(bead.set("x", (arg > 0).then(|| json!({"a": [arg, 1.0]})))),
        _ => {
            let at = format!("2025-03-0{}T00:00:00Z", 1 + ms);
            if bead.text("updated_at") < at.as_str() {
                bead.set("updated_at", Some(json!(at)));
            }
            bead.set("created_at", Some(json!(format!("2024-12-0{}T00:00:00Z", 1 + arg))));
        }
    }
}

fn act(hosts: &mut [Host], step: &Step) {
    let from = hosts[usize::from(step.arg) % 3].clone();
    let host = &mut hosts[step.host];
    let shown = host.state.shown();
    let one = shown.get(usize::from(step.arg) % shown.len().max(1));
    let writes: Vec<Write> = match (step.action, one) {
        (11 | 12, _) => {
            host.sync(&from);
            return;
        }
        (13, _) => create_writes(&line(step.arg, step.ms), Some(&ancestors(step.arg))),
        (_, None) => create_writes(&line(step.arg, step.ms), None),
        (14, Some(shown)) => vec![beads::delete_write(shown, Map::new())],
        (15, Some(shown)) => beads::undelete_write(shown).into_iter().collect(),
        (16, Some(shown)) => {
            let value = Some(json!(format!("t{}", step.arg)));
            beads::resolve_write(shown, &field("title"), value).into_iter().collect()
        }
        (17, Some(shown)) => {
            let conflict = shown.conflicts.first().filter(|c| matches!(c.unit, Unit::Field(_)));
            let resolve = |c: &beads::Conflict| beads::resolve_write(shown, &c.unit, c.values[1].value.clone());
            conflict.and_then(resolve).into_iter().collect()
        }
        (18 | 19, Some(shown)) => {
            let other = host.state.births().into_iter().next_back().unwrap();
            let word = [Some(true), Some(false), None, Some(false)][usize::from(step.arg)];
            beads::relation_write(&host.state, shown.birth, other, word).into_iter().collect()
        }
        (_, Some(shown)) => {
            let mut bead = shown.bead.clone();
            change(&mut bead, step);
            diff(&Shadow::of(shown), &bead).writes
        }
    };
    host.write(step.ms, writes);
}

/// Every op of a run, each once, and the hosts as they ended.
fn run(steps: &[Step]) -> (Vec<Op>, Vec<Host>) {
    let mut hosts: Vec<Host> = (1..=3).map(Host::new).collect();
    for step in steps {
        act(&mut hosts, step);
    }
    let mut ops: BTreeMap<Dot, Op> = BTreeMap::new();
    for op in hosts.iter().flat_map(|h| &h.ops) {
        ops.insert(op.stamp.dot, op.clone());
    }
    (ops.into_values().collect(), hosts)
}

fn fold<'a>(ops: impl Iterator<Item = &'a Op>) -> (BeadState, BTreeSet<Dot>) {
    let mut state = BeadState::new(id());
    let mut seen = BTreeSet::new();
    for op in ops {
        for write in &op.writes {
            state.apply(&op.stamp, write, &|dot| seen.contains(dot)).unwrap();
        }
        seen.insert(op.stamp.dot);
    }
    (state, seen)
}

fn form(state: &BeadState) -> String {
    format!("{:?} {:?}", state.shown(), state.contribution())
}

/// The live writes by their definition: those that no other write of their unit replaces.
fn live(ops: &[Op]) -> BTreeSet<(Unit, Dot)> {
    let covers = |w: &Write| w.unit == Unit::Delete && w.value.is_some();
    let retracts = |w: &Write| w.value.is_none() && matches!(w.unit, Unit::Label(_) | Unit::Delete | Unit::Relation(_));
    let writes = || ops.iter().flat_map(|op| op.writes.iter().map(move |w| (op.stamp.dot, w)));
    let dead: BTreeSet<(Unit, Dot)> = writes()
        .filter(|(_, w)| !covers(w))
        .flat_map(|(_, w)| w.replaces.iter().map(move |dot| (w.unit.clone(), *dot)))
        .collect();
    writes().filter(|(_, w)| !retracts(w)).map(|(dot, w)| (w.unit.clone(), dot)).filter(|w| !dead.contains(w)).collect()
}

fn is_visible(shown: &[Shown], unit: &Unit, dot: &Dot) -> bool {
    let in_units = |s: &Shown| s.units.get(unit).is_some_and(|u| u.dots.contains(dot));
    let in_conflicts =
        |s: &Shown| s.conflicts.iter().any(|c| c.unit == *unit && c.values.iter().any(|v| v.dots.contains(dot)));
    // What is decided about births shows in how they are grouped.
    matches!(unit, Unit::Relation(_)) || shown.iter().any(|s| in_units(s) || in_conflicts(s))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_order_of_ops_means_nothing(steps in steps(), order in any::<u64>()) {
        let (ops, _) = run(&steps);
        let (first, seen) = fold(ops.iter());
        let mut shuffled: Vec<&Op> = ops.iter().collect();
        shuffle(&mut shuffled, order);
        let (mut second, _) = fold(shuffled.into_iter());
        prop_assert_eq!(&first, &second);
        prop_assert_eq!(form(&first), form(&second));
        prop_assert_eq!(first.encode(), second.encode());
        // Twice changes nothing.
        for op in &ops {
            for write in &op.writes {
                second.apply(&op.stamp, write, &|dot| seen.contains(dot)).unwrap();
            }
        }
        prop_assert_eq!(first, second);
    }

    #[test]
    fn live_is_what_nobody_replaced_and_all_of_it_is_visible(steps in steps(), order in any::<u64>()) {
        let (mut ops, _) = run(&steps);
        shuffle(&mut ops, order);
        let (state, _) = fold(ops.iter());
        let expected = live(&ops);
        prop_assert_eq!(state.live_writes(), expected.len());
        let shown = state.shown();
        for (unit, dot) in &expected {
            prop_assert!(is_visible(&shown, unit, dot), "{} {:?}", unit, dot);
            if let (Unit::Label(label), false) = (unit, shown.iter().all(|s| s.hidden)) {
                prop_assert!(shown.iter().any(|s| s.bead.labels().any(|l| l == label)));
            }
        }
    }

    #[test]
    fn kept_states_and_lines_come_back(steps in steps()) {
        let (_, hosts) = run(&steps);
        for host in &hosts {
            let again = BeadState::decode(&host.state.encode()).unwrap();
            prop_assert_eq!(&again, &host.state);
            for shown in again.shown() {
                let beads::Parsed::Issue(read) = beads::parse_line(&shown.bead.to_line()).unwrap() else { panic!() };
                prop_assert!(read.same(&shown.bead));
                let shadow = Shadow::of(&shown);
                prop_assert_eq!(diff(&shadow, &read), beads::Diff::default());
                prop_assert_eq!(Shadow::decode(&shadow.encode()), Ok(shadow));
            }
        }
    }

    #[test]
    fn a_delete_hides_exactly_what_it_saw(steps in steps()) {
        let (ops, _) = run(&steps);
        let (state, _) = fold(ops.iter());
        let live = live(&ops);
        for shown in state.shown() {
            let mine = |unit: &Unit, dot: &Dot| shown.units.get(unit).is_some_and(|u| u.live.contains(dot));
            let deletes: Vec<&Write> = ops.iter()
                .flat_map(|op| op.writes.iter().map(move |w| (op.stamp.dot, w)))
                .filter(|(dot, w)| w.unit == Unit::Delete && live.contains(&(Unit::Delete, *dot)) && mine(&w.unit, dot))
                .map(|(_, w)| w).collect();
            let substance: Vec<&Dot> = live.iter()
                .filter(|(unit, dot)| !unit.is_companion() && mine(unit, dot)).map(|(_, dot)| dot).collect();
            let hidden = deletes.iter().any(|d| substance.iter().all(|dot| d.replaces.contains(dot)));
            prop_assert_eq!(shown.hidden, hidden);
            let listed = shown.conflicts.iter().any(|c| c.unit == Unit::Delete);
            prop_assert_eq!(listed, !hidden && !deletes.is_empty());
        }
    }

    #[test]
    fn one_unapplied_write_shows_in_the_state_digest(steps in steps(), left_out in any::<prop::sample::Index>()) {
        let (ops, _) = run(&steps);
        prop_assume!(!ops.is_empty());
        let (all, _) = fold(ops.iter());
        let without = left_out.index(ops.len());
        let (less, _) = fold(ops.iter().enumerate().filter(|(i, _)| *i != without).map(|(_, op)| op));
        let op = &ops[without];
        let matters = op.writes.iter().any(|w| live(&ops).contains(&(w.unit.clone(), op.stamp.dot)));
        if matters {
            prop_assert_ne!(all.contribution().state_digest, less.contribution().state_digest);
        }
    }
}

/// Fisher and Yates with a seeded xorshift: the same seed, the same order.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, (state % (i as u64 + 1)) as usize);
    }
}
