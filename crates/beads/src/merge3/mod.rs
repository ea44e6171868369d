//! Three versions of a beads file merged by value, without a mesh: what `git merge` needs.
//!
//! Each side's difference from the base becomes writes to units, and the registers of the mesh decide.
//! - A unit that one side changed has that side's value in the result.
//! - A unit that both changed differently is in [`Merged::conflicts`] with all values, the shown one first, or in
//!   [`Merged::settled`] under the [`SettledRule`] that decided.
//! - Swapping the sides gives the same result: of two values the one whose line has the later `updated_at` is shown,
//!   then the larger by content.
//! - Merging the result with either side again changes nothing.

mod one;

#[cfg(test)]
mod tests;

use crate::bead::{Bead, BeadId};
use crate::unit::Unit;
use crate::write::WriteError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The rules by which edits are settled that a register does not keep beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettledRule {
    /// Both sides made the same change.
    EqualValues,
    /// The latest `updated_at` of all three versions stands.
    UpdatedAtMax,
    /// Of all `created_at` the earliest stands; taking it away is no change.
    CreatedAtMin,
    /// Comments are never removed.
    CommentsUnion,
    /// One side deleted the bead, the other changed nothing in it that stays: times, or labels that it took away.
    DeleteCovers,
    /// Two different beads under one new id: the later one gets a line of its own, `id~` and its birth.
    BirthsSplit,
}

impl SettledRule {
    /// The name that scripts see.
    pub fn name(self) -> &'static str {
        match self {
            SettledRule::EqualValues => "equal_values",
            SettledRule::UpdatedAtMax => "updated_at_max",
            SettledRule::CreatedAtMin => "created_at_min",
            SettledRule::CommentsUnion => "comments_union",
            SettledRule::DeleteCovers => "delete_covers",
            SettledRule::BirthsSplit => "births_split",
        }
    }
}

/// A unit that both sides changed in different ways.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeConflict {
    /// The bead, as it is called in the result.
    pub id: BeadId,
    /// Which part of it. `Delete`: one side deleted what the other changed; the bead stays.
    pub unit: Unit,
    /// Every value, the one in the result first. `None`: absent (of `Delete`: not deleted).
    pub values: Vec<Option<Value>>,
}

/// An edit that a rule settled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settled {
    /// The bead.
    pub id: BeadId,
    /// Which part of it.
    pub unit: Unit,
    /// By which rule.
    pub rule: SettledRule,
}

/// Three versions made one.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// The result, sorted by id.
    pub beads: Vec<Bead>,
    /// What both sides changed in different ways, sorted by id and unit.
    pub conflicts: Vec<MergeConflict>,
    /// What rules settled, sorted.
    pub settled: Vec<Settled>,
}

impl Merged {
    /// How many edits each rule settled.
    pub fn settled_by_rule(&self) -> BTreeMap<&'static str, u64> {
        let mut out = BTreeMap::new();
        for settled in &self.settled {
            *out.entry(settled.rule.name()).or_insert(0) += 1;
        }
        out
    }
}

/// Why three versions cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// An id is twice in one version: which of the two is meant cannot be known.
    #[error("{0} is there twice in one version")]
    RepeatedId(BeadId),
    /// A bead has a value that [`crate::parse_line`] would have refused.
    #[error("{id}: {error}")]
    Write {
        /// The bead.
        id: BeadId,
        /// What is wrong with it.
        error: WriteError,
    },
}

type Version<'a> = BTreeMap<BeadId, std::borrow::Cow<'a, Bead>>;

fn version(beads: &[Bead]) -> Result<Version<'_>, MergeError> {
    let mut out = Version::new();
    for bead in beads {
        if out.insert(bead.id.clone(), std::borrow::Cow::Borrowed(bead)).is_some() {
            return Err(MergeError::RepeatedId(bead.id.clone()));
        }
    }
    Ok(out)
}

/// Merges two versions that grew out of `base`. A bead that the base has and a side lacks was deleted there.
///
/// # Errors
/// [`MergeError`].
pub fn merge3(base: &[Bead], ours: &[Bead], theirs: &[Bead]) -> Result<Merged, MergeError> {
    let (base, mut ours, mut theirs) = (version(base)?, version(ours)?, version(theirs)?);
    let mut out = Merged::default();
    split_births(&base, &mut ours, &mut theirs, &mut out)?;
    let ids: BTreeSet<&BeadId> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
    for id in ids {
        let three = one::Three {
            base: base.get(id).map(AsRef::as_ref),
            ours: ours.get(id).map(AsRef::as_ref),
            theirs: theirs.get(id).map(AsRef::as_ref),
        };
        out.beads.extend(one::merge(id, &three, &mut out.conflicts, &mut out.settled)?);
    }
    out.conflicts.sort_by(|a, b| (&a.id, &a.unit).cmp(&(&b.id, &b.unit)));
    out.settled.sort();
    Ok(out)
}

/// Two machines gave one id to different beads: the later one gets another id on its side, before anything is
/// compared. So a second merge finds it there again.
fn split_births<'a>(
    base: &Version<'a>,
    ours: &mut Version<'a>,
    theirs: &mut Version<'a>,
    out: &mut Merged,
) -> Result<(), MergeError> {
    let both: Vec<BeadId> =
        ours.keys().filter(|id| theirs.contains_key(*id) && !base.contains_key(*id)).cloned().collect();
    for id in both {
        let (Some(mine), Some(other)) = (ours.get(&id), theirs.get(&id)) else { continue };
        let Some(split) = one::split(mine, other)? else { continue };
        let side = if split.ours { &mut *ours } else { &mut *theirs };
        let Some(bead) = side.remove(&id) else { continue };
        let mut bead = bead.into_owned();
        bead.id = split.view;
        // Somebody has that id already, for something else: the whole birth, then more of the same.
        while side.get(&bead.id).is_some_and(|there| !there.same(&bead)) || base.contains_key(&bead.id) {
            bead.id = bead.id.view(&split.birth.to_string());
        }
        out.settled.push(Settled { id: bead.id.clone(), unit: Unit::Birth, rule: SettledRule::BirthsSplit });
        side.insert(bead.id.clone(), std::borrow::Cow::Owned(bead));
    }
    Ok(())
}
