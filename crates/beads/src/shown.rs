//! What a state looks like to people: the beads under one id, with everything that is not settled.

use crate::bead::{Bead, BeadId};
use crate::birth::{Birth, BirthInfo, Group, group};
use crate::canon::{canonical, hash_canonical};
use crate::register::{self, Live, Outdated, resolve};
use crate::state::BeadState;
use crate::unit::Unit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::{Digest, Dot, Hlc};

/// One unit of a shown bead.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownUnit {
    /// The shown value; `None`: somebody cleared it.
    pub value: Option<Value>,
    /// [`crate::canonical_hash`] of it.
    pub hash: u64,
    /// The live dots that a write by someone who saw this value replaces: those of equal values, and of imports that
    /// count as replaced by it.
    pub dots: Vec<Dot>,
    /// Every live dot.
    pub live: Vec<Dot>,
}

/// One of several values that stand beside each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictValue {
    /// The value; `None`: absent.
    pub value: Option<Value>,
    /// Who wrote it.
    pub dots: Vec<Dot>,
    /// The clock of its highest-ranking write.
    pub hlc: Hlc,
    /// It came from imports only.
    pub baseline: bool,
    /// It is the one that is shown.
    pub shown: bool,
}

/// A unit with more than one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Which unit. `Delete`: somebody deleted the bead without having seen all that is written in it.
    pub unit: Unit,
    /// Under which birth it is to be resolved.
    pub birth: Birth,
    /// All values came from imports.
    pub baseline: bool,
    /// The shown one first.
    pub values: Vec<ConflictValue>,
}

/// One bead as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The id under which it was written.
    pub id: BeadId,
    /// The id under which it is shown: `id`, or `id~` and the beginning of its earliest birth.
    pub shown_id: BeadId,
    /// Its earliest birth: new writes go there.
    pub birth: Birth,
    /// All its births, the earliest first.
    pub births: Vec<Birth>,
    /// Deleted by somebody who had seen everything that is written in it.
    pub hidden: bool,
    /// Its fields; the id in it is `shown_id`.
    pub bead: Bead,
    /// Its units. A relation between births is not among them.
    pub units: BTreeMap<Unit, ShownUnit>,
    /// What is not settled.
    pub conflicts: Vec<Conflict>,
}

/// What one id adds to the totals of its space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    /// Beads that are not hidden.
    pub beads: u64,
    /// Conflicts of those that involve an edit.
    pub conflicts: u64,
    /// Conflicts between imports only.
    pub baseline_conflicts: u64,
    /// Over the shown values of the visible beads.
    pub digest: Digest,
    /// Over all live writes: bead, unit, dot.
    pub state_digest: Digest,
}

impl BeadState {
    /// The beads under this id, the one of the earliest birth first.
    pub fn shown(&self) -> Vec<Shown> {
        let groups = self.groups();
        (0..groups.len()).map(|at| self.show(&groups, at)).collect()
    }

    fn groups(&self) -> Vec<Group> {
        let mut infos: BTreeMap<Birth, BirthInfo> = BTreeMap::new();
        for live in self.live.get(&Unit::Birth).into_iter().flatten() {
            if let Some(info) = live.value.as_ref().and_then(BirthInfo::from_value) {
                let known = infos.entry(live.birth).or_insert_with(|| info.clone());
                known.tombstone |= info.tombstone;
            }
        }
        group(&self.births(), &infos, &self.relations())
    }

    /// The live writes of one bead among those under this id.
    fn lives_of(&self, groups: &[Group], at: usize) -> Lives<'_> {
        let births: BTreeSet<Birth> = groups.get(at).into_iter().flat_map(|g| &g.births).copied().collect();
        let alone = groups.len() == 1;
        let outdated = self.outdated();
        let mut out = Lives { births, units: Vec::new(), deletes: Vec::new(), substance: Vec::new(), outdated };
        for (unit, lives) in &self.live {
            let lives: Vec<&Live> = lives.iter().filter(|l| alone || out.births.contains(&l.birth)).collect();
            if lives.is_empty() || matches!(unit, Unit::Relation(_)) {
                continue;
            }
            if *unit == Unit::Delete {
                out.deletes.clone_from(&lives);
            }
            if !unit.is_companion() {
                out.substance.extend(lives.iter().map(|l| l.dot));
            }
            out.units.push((unit, lives));
        }
        out
    }

    fn show(&self, groups: &[Group], at: usize) -> Shown {
        let shown_id = view_id(&self.id, at, groups);
        let births = groups.get(at).map(|g| g.births.clone()).unwrap_or_default();
        let birth = births.first().copied().unwrap_or(Birth([0; 8]));
        let mine = self.lives_of(groups, at);
        let mut units = BTreeMap::new();
        let mut conflicts = Vec::new();
        for (unit, lives) in &mine.units {
            let values = resolve(unit, lives, mine.outdated_for(unit));
            conflicts.extend(conflict(unit, birth, &values));
            if let Some(first) = values.into_iter().next() {
                units.insert((*unit).clone(), shown_unit(first, lives));
            }
        }
        let hidden = mine.hidden();
        if !hidden {
            conflicts.extend(deletes_in_vain(birth, &mine.deletes));
        }
        for ((a, b), lives) in self.relation_lives() {
            if mine.births.contains(&a) {
                let unit = Unit::Relation(b);
                conflicts.extend(conflict(&unit, a, &resolve(&unit, &lives, &NONE)));
            }
        }
        let present = units.iter().filter_map(|(unit, shown)| Some((unit, shown.value.as_ref()?)));
        let bead = Bead::from_units(shown_id.clone(), present);
        Shown { id: self.id.clone(), shown_id, birth, births, hidden, bead, units, conflicts }
    }

    /// What this id adds to the totals of its space.
    pub fn contribution(&self) -> Contribution {
        let mut out = Contribution { state_digest: self.state_digest(), ..Contribution::default() };
        let groups = self.groups();
        (0..groups.len()).for_each(|at| self.add_share(&groups, at, &mut out));
        out
    }

    /// Adds one bead's share as [`BeadState::show`] would have it, without making what only people look at: this runs
    /// for every change of every bead.
    fn add_share(&self, groups: &[Group], at: usize, out: &mut Contribution) {
        let mine = self.lives_of(groups, at);
        if mine.hidden() {
            return;
        }
        let mut line = Vec::new();
        push_part(&mut line, view_id(&self.id, at, groups).as_str().as_bytes());
        for (unit, lives) in &mine.units {
            let shown = match lives.as_slice() {
                // A lone write is shown, whatever it is.
                [one] if unit.in_line() => canonical(unit, one.value.as_ref()),
                [_] => None,
                many => {
                    let values = resolve(unit, many, mine.outdated_for(unit));
                    out.count(&values);
                    values.into_iter().next().filter(|_| unit.in_line()).and_then(|g| g.canonical)
                }
            };
            if let Some(value) = shown {
                push_part(&mut line, unit.to_string().as_bytes());
                push_part(&mut line, &value);
            }
        }
        for ((a, b), lives) in self.relation_lives() {
            if mine.births.contains(&a) {
                out.count(&resolve(&Unit::Relation(b), &lives, &NONE));
            }
        }
        out.beads += 1;
        out.conflicts += u64::from(!mine.deletes.is_empty());
        out.digest.add(Digest::of(&line));
    }

    fn state_digest(&self) -> Digest {
        let mut digest = Digest::default();
        let mut member = Vec::new();
        for (unit, lives) in &self.live {
            for live in lives {
                member.clear();
                push_part(&mut member, self.id.as_str().as_bytes());
                push_part(&mut member, unit.to_string().as_bytes());
                member.extend_from_slice(&live.dot.to_bytes());
                digest.add(Digest::of(&member));
            }
        }
        digest
    }
}

impl Contribution {
    /// Counts what stands beside each other as a conflict.
    fn count(&mut self, values: &[register::Group]) {
        match values {
            [] | [_] => {}
            many if many.iter().all(|g| g.baseline) => self.baseline_conflicts += 1,
            _ => self.conflicts += 1,
        }
    }
}

/// The live writes under the births of one bead.
struct Lives<'a> {
    births: BTreeSet<Birth>,
    /// Per unit; a relation between births is not among them.
    units: Vec<(&'a Unit, Vec<&'a Live>)>,
    deletes: Vec<&'a Live>,
    /// The dots that a delete has to have seen.
    substance: Vec<Dot>,
    outdated: Outdated,
}

/// Nothing is outdated.
static NONE: Outdated = Outdated::new();

impl Lives<'_> {
    /// Writes of a unit that no longer count: what a grant decides, who works and how far it is, and nothing else.
    fn outdated_for(&self, unit: &Unit) -> &Outdated {
        match unit {
            Unit::Lifecycle => &self.outdated,
            Unit::Field(name) if name == "assignee" => &self.outdated,
            _ => &NONE,
        }
    }

    /// Whether somebody who had seen everything that is written in the bead deleted it.
    fn hidden(&self) -> bool {
        let effective = |delete: &&Live| self.substance.iter().all(|dot| delete.covers.binary_search(dot).is_ok());
        self.deletes.iter().any(effective)
    }
}

fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_be_bytes());
    out.extend_from_slice(part);
}

/// The id under which a bead is shown: its own for the first one, else `id~` and four hexadecimal characters of the birth;
/// all sixteen when another bead here begins alike.
fn view_id(id: &BeadId, at: usize, groups: &[Group]) -> BeadId {
    if at == 0 {
        return id.clone();
    }
    let text = |i: usize| groups.get(i).and_then(|g| g.births.first()).map(Birth::to_string).unwrap_or_default();
    let own = text(at);
    let short = own.get(..4).unwrap_or_default();
    let unique = (1..groups.len()).filter(|i| *i != at).all(|i| !text(i).starts_with(short));
    id.view(if unique { short } else { &own })
}

fn shown_unit(group: register::Group, lives: &[&Live]) -> ShownUnit {
    ShownUnit {
        hash: hash_canonical(group.canonical.as_deref()),
        value: group.value,
        dots: group.dots,
        live: lives.iter().map(|l| l.dot).collect(),
    }
}

fn conflict(unit: &Unit, birth: Birth, values: &[register::Group]) -> Option<Conflict> {
    if values.len() < 2 {
        return None;
    }
    let value = |(i, group): (usize, &register::Group)| ConflictValue {
        value: group.value.clone(),
        dots: group.dots.clone(),
        hlc: group.hlc,
        baseline: group.baseline,
        shown: i == 0,
    };
    Some(Conflict {
        unit: unit.clone(),
        birth,
        baseline: values.iter().all(|g| g.baseline),
        values: values.iter().enumerate().map(value).collect(),
    })
}

/// Deletes that did not see everything stand as a conflict.
fn deletes_in_vain(birth: Birth, deletes: &[&Live]) -> Option<Conflict> {
    let value = |live: &&Live| ConflictValue {
        value: live.value.clone(),
        dots: vec![live.dot],
        hlc: live.hlc,
        baseline: live.baseline.is_some(),
        shown: false,
    };
    let values: Vec<ConflictValue> = deletes.iter().map(value).collect();
    (!values.is_empty()).then_some(Conflict { unit: Unit::Delete, birth, baseline: false, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::{create_writes, delete_write, diff};
    use crate::line::{Parsed, parse_line};
    use crate::write::{Stamp, Write};
    use crate::{Shadow, bead::Bead};
    use proptest::prelude::*;
    use serde_json::{Map, json};
    use types::{PubKey, UnixMs, Writer};

    fn bead(title: u8, notes: u8, second: u8) -> Bead {
        let line = json!({"id": "a", "title": format!("t{title}"), "notes": format!("n{notes}"), "labels": [format!("l{notes}")],
            "created_at": format!("2026-01-01T00:00:{second:02}Z"), "updated_at": format!("2026-01-02T00:00:{notes:02}Z")});
        match parse_line(&line.to_string()) {
            Ok(Parsed::Issue(bead)) => bead,
            other => panic!("{other:?}"),
        }
    }

    /// The digest of what is shown: id and the canonical value of every unit.
    fn digest(shown: &Shown) -> Digest {
        let mut line = Vec::new();
        push_part(&mut line, shown.shown_id.as_str().as_bytes());
        for (unit, one) in shown.units.iter().filter(|(unit, _)| unit.in_line()) {
            if let Some(value) = canonical(unit, one.value.as_ref()) {
                push_part(&mut line, unit.to_string().as_bytes());
                push_part(&mut line, &value);
            }
        }
        Digest::of(&line)
    }

    proptest! {
        /// The share that is counted is the one of what is shown.
        #[test]
        fn a_share_is_what_is_shown(
            steps in proptest::collection::vec((0u8..4, 0u8..3, 0u8..3, 0u8..3, 0u8..3), 1..12),
        ) {
            let id: BeadId = "a".parse().unwrap();
            let mut state = BeadState::new(id);
            for (seq, (what, writer, title, notes, second)) in (1u64..).zip(steps) {
                let writer = Writer { host: PubKey([writer; 32]), incarnation: 0 };
                let stamp = Stamp { dot: Dot { writer, seq, tag: 0 }, hlc: Hlc::new(UnixMs(seq), 0) };
                let shown = state.shown();
                let writes: Vec<Write> = match (what, shown.last()) {
                    (0, Some(last)) => vec![delete_write(last, Map::new())],
                    (1, Some(last)) => diff(&Shadow::of(last), &bead(title, notes, second)).writes,
                    (2, _) => create_writes(&bead(title, notes, second), Some(&|_| Vec::new())),
                    _ => create_writes(&bead(title, notes, second), None),
                };
                for write in writes {
                    state.apply(&stamp, &write, &|_| false).unwrap();
                }
                let mut want = Contribution { state_digest: state.state_digest(), ..Contribution::default() };
                for shown in state.shown().iter().filter(|s| !s.hidden) {
                    want.beads += 1;
                    want.digest.add(digest(shown));
                    for conflict in &shown.conflicts {
                        *(if conflict.baseline { &mut want.baseline_conflicts } else { &mut want.conflicts }) += 1;
                    }
                }
                prop_assert_eq!(state.contribution(), want);
            }
        }
    }
}
