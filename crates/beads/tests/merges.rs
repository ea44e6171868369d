//! Every merge of the real corpus: no one-sided edit is lost, every other one is listed or settled by a rule.

use beads::{Bead, Merged, Parsed, Unit, canonical_hash, merge3, parse_line};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/beads-merges.jsonl.xz");

fn side(merge: &Value, name: &str) -> Vec<Bead> {
    let lines = merge[name].as_array().unwrap().iter().map(Value::to_string);
    lines
        .map(|line| match parse_line(&line).unwrap() {
            Parsed::Issue(bead) => bead,
            other => panic!("{other:?}"),
        })
        .collect()
}

type Hashes = BTreeMap<(String, Unit), u64>;

fn hashes(beads: &[Bead]) -> Hashes {
    let of = |bead: &Bead| -> Vec<_> {
        let id = bead.id.to_string();
        let units = bead.units().into_iter();
        units.map(|(unit, v)| ((id.clone(), unit.clone()), canonical_hash(&unit, Some(&v)))).collect()
    };
    beads.iter().flat_map(of).collect()
}

/// One-sided edits, two-sided edits, and how many of both are neither in the result, nor listed, nor settled.
fn lost(base: &[Bead], ours: &[Bead], theirs: &[Bead], merged: &Merged) -> [usize; 3] {
    let (b, o, t, r) = (hashes(base), hashes(ours), hashes(theirs), hashes(&merged.beads));
    let settled: BTreeSet<(String, Unit)> = merged.settled.iter().map(|s| (s.id.to_string(), s.unit.clone())).collect();
    let listed: BTreeMap<(String, Unit), Vec<u64>> = (merged.conflicts.iter())
        .map(|c| {
            let values = c.values.iter().map(|v| canonical_hash(&c.unit, v.as_ref())).collect();
            ((c.id.to_string(), c.unit.clone()), values)
        })
        .collect();
    let ids = |beads: &[Bead]| -> BTreeSet<String> { beads.iter().map(|b| b.id.to_string()).collect() };
    let (in_ours, in_theirs, in_result) = (ids(ours), ids(theirs), ids(&merged.beads));
    let split: BTreeSet<String> = (merged.settled.iter().filter(|s| s.unit == Unit::Birth))
        .filter_map(|s| s.id.as_str().split_once('~').map(|(id, _)| id.to_owned()))
        .collect();
    let mut out = [0; 3];
    let keys: BTreeSet<_> = b.keys().chain(o.keys()).chain(t.keys()).collect();
    for key in keys {
        let (vb, vo, vt, vr) = (b.get(key), o.get(key), t.get(key), r.get(key));
        let absent = canonical_hash(&key.1, None);
        let full = |v: Option<&u64>| v.copied().unwrap_or(absent);
        let both = in_ours.contains(&key.0) && in_theirs.contains(&key.0);
        if split.contains(&key.0) {
            continue; // Two beads: each side's must be there whole, see below.
        }
        if !both {
            // A delete, or a bead that only one side has: what was edited must be there, or nothing was.
            let edited = [vo, vt].into_iter().flatten().any(|v| vb != Some(v));
            out[0] += usize::from(edited);
            let there = in_result.contains(&key.0) && vr == vo.or(vt);
            out[2] += usize::from(edited && !there && !settled.contains(key));
        } else if (vo == vb) != (vt == vb) {
            out[0] += 1;
            let wanted = if vo == vb { vt } else { vo };
            out[2] += usize::from(vr != wanted && !settled.contains(key));
        } else if vo != vb && vo != vt {
            out[1] += 1;
            let has = listed.get(key).is_some_and(|l| l.contains(&full(vo)) && l.contains(&full(vt)));
            out[2] += usize::from(!has && !settled.contains(key));
        }
    }
    for bead in ours.iter().chain(theirs).filter(|b| split.contains(b.id.as_str())) {
        let view = format!("{}~", bead.id);
        let form = |b: &Bead| -> BTreeMap<Unit, u64> {
            b.units().into_iter().map(|(u, v)| (u.clone(), canonical_hash(&u, Some(&v)))).collect()
        };
        let named = |b: &&Bead| b.id == bead.id || b.id.as_str().starts_with(&view);
        out[0] += 1;
        out[2] += usize::from(!merged.beads.iter().filter(named).any(|b| form(b) == form(bead)));
    }
    out
}

#[test]
fn nothing_is_lost_in_the_real_merges() {
    if !std::path::Path::new(DATA).exists() {
        println!("skipped: {DATA} is not there");
        return;
    }
    let Ok(output) = Command::new("xz").args(["-dc", DATA]).output() else {
        println!("skipped: no xz");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let (mut merges, mut totals, mut conflicts, mut failures) = (0, [0; 3], 0, 0);
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines() {
        let merge: Value = serde_json::from_str(line).unwrap();
        let (base, ours, theirs) = (side(&merge, "base"), side(&merge, "ours"), side(&merge, "theirs"));
        let merged = merge3(&base, &ours, &theirs).unwrap();
        let counts = lost(&base, &ours, &theirs, &merged);
        totals.iter_mut().zip(counts).for_each(|(total, n)| *total += n);
        let same = |other: &Merged| {
            other.beads.len() == merged.beads.len() && other.beads.iter().zip(&merged.beads).all(|(x, y)| x.same(y))
        };
        let swapped = merge3(&base, &theirs, &ours).unwrap();
        assert!(same(&swapped) && swapped.conflicts == merged.conflicts && swapped.settled == merged.settled);
        assert!(same(&merge3(&base, &merged.beads, &theirs).unwrap()), "{}: theirs again", merge["merge"]);
        assert!(same(&merge3(&base, &ours, &merged.beads).unwrap()), "{}: ours again", merge["merge"]);
        merges += 1;
        conflicts += merged.conflicts.len();
        merged.settled_by_rule().into_iter().for_each(|(rule, n)| *rules.entry(rule).or_default() += n);
        // The check itself must be able to fail: without a bead that one side made, something is lost.
        let known: BTreeSet<&str> = base.iter().chain(&theirs).map(|b| b.id.as_str()).collect();
        let made = ours.iter().find(|b| !known.contains(b.id.as_str()));
        if let Some(made) = made {
            let mut broken = merged.clone();
            broken.beads.retain(|b| b.id != made.id);
            assert!(lost(&base, &ours, &theirs, &broken)[2] > 0, "{}", merge["merge"]);
            failures += 1;
        }
    }
    assert!(failures > 0);
    println!(
        "{merges} merges: one-sided {}, two-sided {}, LOST {}, conflicts {conflicts}, {rules:?}",
        totals[0], totals[1], totals[2]
    );
    assert_eq!((merges, totals[2]), (102, 0));
    assert!(totals[0] > 0 && totals[1] > 0);
}
