//! One bead in three versions.

use super::{MergeConflict, MergeError, Settled, SettledRule};
use crate::bead::{Bead, BeadId};
use crate::birth::Birth;
use crate::canon::canonical;
use crate::diff::{Shadow, birth_info, create_writes, delete_write, diff};
use crate::shown::Shown;
use crate::state::BeadState;
use crate::time::{instant_ns, millis};
use crate::unit::Unit;
use crate::write::{Stamp, Write};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use types::{Dot, Hlc, PubKey, UnixMs, Writer};

/// What the three versions have under one id.
pub(super) struct Three<'a> {
    pub base: Option<&'a Bead>,
    pub ours: Option<&'a Bead>,
    pub theirs: Option<&'a Bead>,
}

/// Which side's bead is the later of two different ones, and what it is called then.
pub(super) struct Split {
    pub ours: bool,
    pub view: BeadId,
    pub birth: Birth,
}

/// The three stamps. Which side's write to a unit is the higher one is decided by its content.
#[derive(Clone, Copy)]
enum Place {
    Base,
    Low,
    High,
}

fn stamp(place: Place, hlc: Hlc) -> Stamp {
    let writer = Writer { host: PubKey([place as u8; 32]), incarnation: 0 };
    Stamp { dot: Dot { writer, seq: 1, tag: 0 }, hlc }
}

/// A line's `updated_at` as a clock: milliseconds, and steps of 16 ns within.
fn clock(bead: Option<&Bead>) -> Hlc {
    let ns = bead.and_then(|b| instant_ns(b.text("updated_at"))).unwrap_or(0);
    let fine = u16::try_from(ns.rem_euclid(1_000_000) / 16).unwrap_or(u16::MAX);
    Hlc::new(UnixMs(millis(ns)), fine)
}

fn apply(state: &mut BeadState, stamp: &Stamp, write: &Write) -> Result<(), MergeError> {
    state.apply(stamp, write, &|_| false).map_err(|error| MergeError::Write { id: write.id.clone(), error })
}

/// What one side did.
struct Edits {
    hlc: Hlc,
    writes: BTreeMap<Unit, Write>,
}

fn edits(bead: Option<&Bead>, writes: Vec<Write>) -> Edits {
    Edits { hlc: clock(bead), writes: writes.into_iter().map(|w| (w.unit.clone(), w)).collect() }
}

/// A text to order two writes to one unit by: the value as it is compared, then as it is written.
fn content(write: &Write) -> (Option<Vec<u8>>, Option<String>, Birth) {
    (canonical(&write.unit, write.value.as_ref()), write.value.as_ref().map(Value::to_string), write.birth)
}

fn apply_both(state: &mut BeadState, ours: &Edits, theirs: &Edits) -> Result<(), MergeError> {
    for (side, other) in [(ours, theirs), (theirs, ours)] {
        for (unit, write) in &side.writes {
            let above = other.writes.get(unit).is_none_or(|w| content(write) > content(w));
            let equal = other.writes.get(unit).is_some_and(|w| content(write) == content(w));
            // Of two writes that are the same to the letter it does not matter which is which.
            let high = if equal { std::ptr::eq(side, ours) } else { above };
            apply(state, &stamp(if high { Place::High } else { Place::Low }, side.hlc), write)?;
        }
    }
    Ok(())
}

/// Whether two beads that are new under one id are different ones.
pub(super) fn split(ours: &Bead, theirs: &Bead) -> Result<Option<Split>, MergeError> {
    let mut state = BeadState::new(ours.id.clone());
    let (mine, other) = (create_writes(ours, None), create_writes(theirs, None));
    apply_both(&mut state, &edits(Some(ours), mine), &edits(Some(theirs), other))?;
    let shown = state.shown();
    let Some(later) = shown.get(1) else { return Ok(None) };
    let is_ours = birth_info(ours).birth(&ours.id) == later.birth;
    Ok(Some(Split { ours: is_ours, view: later.shown_id.clone(), birth: later.birth }))
}

/// The bead in the result; `None` when it is deleted.
pub(super) fn merge(
    id: &BeadId,
    three: &Three<'_>,
    conflicts: &mut Vec<MergeConflict>,
    settled: &mut Vec<Settled>,
) -> Result<Option<Bead>, MergeError> {
    let mut note = |unit: &Unit, rule| settled.push(Settled { id: id.clone(), unit: unit.clone(), rule });
    let (base, ours, theirs) = match (three.base, three.ours, three.theirs) {
        (None, None, None) => return Ok(None),
        (None, Some(one), None) | (None, None, Some(one)) => return Ok(Some(one.clone())),
        (Some(_), None, None) => {
            note(&Unit::Delete, SettledRule::EqualValues);
            return Ok(None);
        }
        (Some(base), Some(a), Some(b)) if base.fields == a.fields && base.fields == b.fields => {
            return Ok(Some(base.clone()));
        }
        (base, ours, theirs) => (base, ours, theirs),
    };
    let mut state = BeadState::new(id.clone());
    let (mine, other) = match base {
        None => (created(ours), created(theirs)),
        Some(base) => {
            for write in create_writes(base, Some(&|_| Vec::new())) {
                apply(&mut state, &stamp(Place::Base, Hlc::default()), &write)?;
            }
            let Some(shown) = state.shown().into_iter().next() else { return Ok(None) };
            (changed(&shown, ours), changed(&shown, theirs))
        }
    };
    apply_both(&mut state, &mine, &other)?;
    let Some(mut shown) = state.shown().into_iter().next() else { return Ok(None) };
    note_settled(&shown, three, (&mine, &other), &mut note);
    if shown.hidden {
        return Ok(None);
    }
    for conflict in shown.conflicts.drain(..) {
        let mut values: Vec<Option<Value>> = conflict.values.into_iter().map(|v| v.value).collect();
        if conflict.unit == Unit::Delete {
            values.insert(0, None);
        }
        conflicts.push(MergeConflict { id: id.clone(), unit: conflict.unit, values });
    }
    let mut bead = shown.bead;
    bead.adopt_comment_ids(&all_comments(id, three));
    Ok(Some(bead))
}

fn created(bead: Option<&Bead>) -> Edits {
    edits(bead, bead.map(|b| create_writes(b, None)).unwrap_or_default())
}

/// What a side did to a bead of the base. An old line is an edit here as well: git knows what follows what.
fn changed(base: &Shown, side: Option<&Bead>) -> Edits {
    let Some(bead) = side else {
        let mut note = Map::new();
        note.insert("deleted".into(), Value::Bool(true));
        return edits(None, vec![delete_write(base, note)]);
    };
    let mut writes = diff(&Shadow { updated_at_ns: None, ..Shadow::of(base) }, bead).writes;
    // The base's times stay in the running, as in a mesh: the earliest creation and the latest change of all three
    // stand. Were they replaced, a second merge could rank values anew.
    let times = |w: &&mut Write| matches!(w.unit, Unit::CreatedAt | Unit::UpdatedAt);
    writes.iter_mut().filter(times).for_each(|w| w.replaces.clear());
    edits(side, writes)
}

/// Says which edits were settled by which rule.
fn note_settled(
    shown: &Shown,
    three: &Three<'_>,
    (mine, other): (&Edits, &Edits),
    note: &mut impl FnMut(&Unit, SettledRule),
) {
    for (unit, write) in &mine.writes {
        let equal = other.writes.get(unit).is_some_and(|w| content(w).0 == content(write).0);
        if equal && *unit != Unit::Birth {
            note(unit, SettledRule::EqualValues);
        }
    }
    let deleted = [mine, other].iter().any(|side| side.writes.contains_key(&Unit::Delete));
    if deleted && shown.hidden {
        for unit in [mine, other].iter().flat_map(|side| side.writes.keys()).filter(|u| **u != Unit::Delete) {
            note(unit, SettledRule::DeleteCovers);
        }
        return;
    }
    for (unit, rule) in [(Unit::UpdatedAt, SettledRule::UpdatedAtMax), (Unit::CreatedAt, SettledRule::CreatedAtMin)] {
        let standing = shown.units.get(&unit).and_then(|s| canonical(&unit, s.value.as_ref()));
        let other_than = |side: &Edits| side.writes.get(&unit).is_some_and(|w| content(w).0 != standing);
        let taken_away = |bead: Option<&Bead>| {
            let name = if unit == Unit::UpdatedAt { "updated_at" } else { "created_at" };
            bead.is_some_and(|b| b.text(name).is_empty()) && three.base.is_some_and(|b| !b.text(name).is_empty())
        };
        if other_than(mine) || other_than(other) || taken_away(three.ours) || taken_away(three.theirs) {
            note(&unit, rule);
        }
    }
    let Some(base) = three.base else { return };
    let (a, b) = (three.ours.map(Bead::units), three.theirs.map(Bead::units));
    for unit in base.units().keys().filter(|unit| matches!(unit, Unit::Comment(_))) {
        if [&a, &b].iter().any(|side| side.as_ref().is_some_and(|units| !units.contains_key(unit))) {
            note(unit, SettledRule::CommentsUnion);
        }
    }
}

/// A bead with every comment of the three versions, for their ids: the base's count most, then the larger line's.
fn all_comments(id: &BeadId, three: &Three<'_>) -> Bead {
    let mut sides: Vec<(String, &Bead)> =
        [three.ours, three.theirs].into_iter().flatten().map(|b| (b.to_line(), b)).collect();
    sides.sort_by(|a, b| a.0.cmp(&b.0));
    let mut all = Bead::new(id.clone());
    let comments = sides.into_iter().map(|(_, b)| b).chain(three.base).flat_map(Bead::comments);
    let comments: Vec<Value> = comments.cloned().map(Value::Object).collect();
    all.set("comments", Some(Value::Array(comments)));
    all
}
