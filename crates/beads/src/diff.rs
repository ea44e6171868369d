//! From what somebody did to what is written: a file or a tool is compared with what it was last shown.

use crate::bead::{Bead, BeadId};
use crate::birth::{Birth, BirthInfo};
use crate::canon::{canonical, canonical_hash, hash_canonical};
use crate::shown::{Conflict, Shown};
use crate::state::BeadState;
use crate::time::{instant_ns, millis, second};
use crate::unit::Unit;
use crate::write::{Baseline, Write};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use types::{Dot, UnixMs};

/// What a workspace was last shown of one bead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The id under which writes go.
    pub id: BeadId,
    /// The birth under which they go.
    pub birth: Birth,
    /// The shown `updated_at`, in nanoseconds since the Unix epoch.
    pub updated_at_ns: Option<i128>,
    /// Per unit that a line can show: hash of the shown value, and the dots that a write over it replaces.
    pub units: BTreeMap<Unit, (u64, Vec<Dot>)>,
}

/// What a line changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// The line is older than what its workspace was shown: it says nothing.
    pub stale: bool,
    /// The writes, in the order of their units.
    pub writes: Vec<Write>,
}

impl Shadow {
    /// The shadow of a bead that is shown in full.
    pub fn of(shown: &Shown) -> Shadow {
        let units = shown.units.iter().filter(|(unit, _)| unit.in_line());
        Shadow {
            id: shown.id.clone(),
            birth: shown.birth,
            updated_at_ns: instant_ns(shown.bead.text("updated_at")),
            units: units.map(|(unit, s)| (unit.clone(), (s.hash, s.dots.clone()))).collect(),
        }
    }

    /// The same for a line that shows only part of it: what it shows otherwise, or not at all, nobody has seen there.
    #[must_use]
    pub fn seen_in(mut self, bead: &Bead) -> Shadow {
        let line = bead.units();
        self.units.retain(|unit, (hash, _)| line.contains_key(unit) && *hash == canonical_hash(unit, line.get(unit)));
        for (unit, value) in &line {
            self.units.entry(unit.clone()).or_insert_with(|| (canonical_hash(unit, Some(value)), Vec::new()));
        }
        self.updated_at_ns = instant_ns(bead.text("updated_at"));
        self
    }

    fn write(&self, unit: &Unit, value: Option<Value>) -> Write {
        let replaces = self.units.get(unit).map(|(_, dots)| dots.clone()).unwrap_or_default();
        Write { id: self.id.clone(), birth: self.birth, unit: unit.clone(), value, replaces, baseline: None }
    }

    /// bd keeps whole seconds: a line of whole seconds is older only when its second is.
    fn is_newer_than(&self, bead: &Bead) -> bool {
        let (Some(shown), Some(line)) = (self.updated_at_ns, instant_ns(bead.text("updated_at"))) else { return false };
        let whole = line.rem_euclid(1_000_000_000) == 0;
        if whole { second(line) < second(shown) } else { line < shown }
    }
}

/// What `bead`, as a file or a tool has it now, changes against what it was shown.
///
/// `updated_at` is written when it rose. A comment that is missing is not a change: comments stay. Whether the bead as a whole is missing or deleted is
/// the caller's to know.
pub fn diff(shadow: &Shadow, bead: &Bead) -> Diff {
    if shadow.is_newer_than(bead) {
        return Diff { stale: true, writes: Vec::new() };
    }
    let now = bead.units();
    let mut writes = Vec::new();
    for (unit, value) in &now {
        let hash = hash_canonical(canonical(unit, Some(value)).as_deref());
        let shown = shadow.units.get(unit).map_or_else(|| canonical_hash(unit, None), |(hash, _)| *hash);
        if shown != hash && !lesser_time(shadow, unit, value) {
            writes.push(shadow.write(unit, Some(value.clone())));
        }
    }
    let absent = hash_canonical(None);
    for (unit, (hash, _)) in &shadow.units {
        if *hash != absent && !now.contains_key(unit) && can_vanish(unit) {
            writes.push(shadow.write(unit, None));
        }
    }
    writes.sort_by(|a, b| a.unit.cmp(&b.unit));
    Diff { stale: false, writes }
}

/// An `updated_at` below the shown one (the same second, cut off) is no news.
fn lesser_time(shadow: &Shadow, unit: &Unit, value: &Value) -> bool {
    let line = value.as_str().and_then(instant_ns);
    *unit == Unit::UpdatedAt && shadow.updated_at_ns.is_some() && line <= shadow.updated_at_ns
}

fn can_vanish(unit: &Unit) -> bool {
    !matches!(unit, Unit::Comment(_) | Unit::CreatedAt | Unit::UpdatedAt)
}

/// The birth of a bead that nobody has seen before.
pub(crate) fn birth_info(bead: &Bead) -> BirthInfo {
    BirthInfo {
        created: instant_ns(bead.text("created_at")).map(second),
        title: bead.text("title").to_owned(),
        tombstone: bead.text("status") == "tombstone",
    }
}

/// The hashes ([`canonical_hash`]) of the values that a unit had earlier in its file's own history.
pub type Ancestors<'a> = dyn Fn(&Unit) -> Vec<u64> + 'a;

/// The writes that bring a whole bead into being. With `baseline` they are the trace of an import, ranked by the
/// line's own `updated_at`; `ancestors` gives the earlier hashes of a unit, where a history is known.
pub fn create_writes(bead: &Bead, baseline: Option<&Ancestors<'_>>) -> Vec<Write> {
    let info = birth_info(bead);
    let birth = info.birth(&bead.id);
    let updated_at = UnixMs(instant_ns(bead.text("updated_at")).map_or(0, millis));
    let write = |unit: Unit, value: Value| {
        let baseline = baseline.map(|ancestors| Baseline { updated_at, ancestors: ancestors(&unit) });
        Write { id: bead.id.clone(), birth, unit, value: Some(value), replaces: Vec::new(), baseline }
    };
    let first = write(Unit::Birth, info.to_value());
    std::iter::once(first).chain(bead.units().into_iter().map(|(unit, value)| write(unit, value))).collect()
}

fn edit(shown: &Shown, unit: Unit, value: Option<Value>, replaces: Vec<Dot>) -> Write {
    Write { id: shown.id.clone(), birth: shown.birth, unit, value, replaces, baseline: None }
}

/// Deletes a bead as it is shown: whoever writes without having seen this brings it back. `note` says when, by whom
/// and why, in members of the caller's choice.
pub fn delete_write(shown: &Shown, note: Map<String, Value>) -> Write {
    let seen = shown.units.iter().filter(|(unit, _)| !unit.is_companion());
    let dots: BTreeSet<Dot> = seen.flat_map(|(_, s)| &s.live).copied().collect();
    edit(shown, Unit::Delete, Some(Value::Object(note)), dots.into_iter().collect())
}

/// Takes every delete back that the bead has; `None` when it has none.
pub fn undelete_write(shown: &Shown) -> Option<Write> {
    let deletes = shown.units.get(&Unit::Delete)?;
    Some(edit(shown, Unit::Delete, None, deletes.live.clone()))
}

/// Settles a unit: `value` (`None`: absent) replaces everything that is live in it. For `Delete`, a value deletes
/// the bead as it is shown now and `None` takes the deletes back.
pub fn resolve_write(shown: &Shown, unit: &Unit, value: Option<Value>) -> Option<Write> {
    match (unit, value) {
        (Unit::Delete, Some(Value::Object(note))) => Some(delete_write(shown, note)),
        (Unit::Delete, Some(_)) => None,
        (Unit::Delete, None) => undelete_write(shown),
        (Unit::Relation(_), value) => {
            let conflict: &Conflict = shown.conflicts.iter().find(|c| c.unit == *unit)?;
            let replaces = conflict.values.iter().flat_map(|v| &v.dots).copied().collect();
            Some(Write { birth: conflict.birth, ..edit(shown, unit.clone(), value, replaces) })
        }
        (_, value) => {
            let live = shown.units.get(unit).map(|s| s.live.clone()).unwrap_or_default();
            Some(edit(shown, unit.clone(), value, live))
        }
    }
}

/// Sets `updated_at` (RFC 3339): tools that keep a bead in a database take a change only when its time rose.
pub fn touch_write(shown: &Shown, at: &str) -> Write {
    let live = shown.units.get(&Unit::UpdatedAt).map(|s| s.live.clone()).unwrap_or_default();
    edit(shown, Unit::UpdatedAt, Some(Value::from(at)), live)
}

/// Says whether two births of one id are the same bead; `None` takes back what was said. `None` is returned when
/// both births are one.
pub fn relation_write(state: &BeadState, one: Birth, other: Birth, same: Option<bool>) -> Option<Write> {
    if one == other {
        return None;
    }
    let (birth, other) = (one.min(other), one.max(other));
    let replaces = state.relation_lives().get(&(birth, other)).into_iter().flatten().map(|l| l.dot).collect();
    let value = same.map(|same| Value::from(if same { "same" } else { "split" }));
    Some(Write { id: state.id().clone(), birth, unit: Unit::Relation(other), value, replaces, baseline: None })
}
