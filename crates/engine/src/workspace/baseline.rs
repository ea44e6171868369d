//! Taking in lines whose history is unknown: a baseline claims what a line has, below every edit.

use crate::engine::{Cx, Engine};
use beads::{Bead, BeadState, Shown, Unit, Write, create_writes, instant_ns};
use std::collections::BTreeMap;
use types::{SpaceId, ViewError};

/// Hashes of earlier values per unit, from a file's own git history.
pub(crate) type Ancestors = BTreeMap<String, Vec<u64>>;

/// What a baseline line was to the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Imported {
    /// A bead that was not there.
    Created,
    /// A bead that says something else.
    Updated,
    /// A bead that says just that.
    Unchanged,
}

impl Engine {
    /// The writes that take one line in as a baseline.
    pub(crate) fn baseline(
        &self,
        cx: &Cx<'_>,
        space: &SpaceId,
        bead: &Bead,
        ancestors: Option<&Ancestors>,
    ) -> Result<(Imported, Vec<Write>), ViewError> {
        let state = cx.txn.bead(space, &bead.id)?;
        let known = |unit: &Unit| -> Vec<u64> {
            let hashes = ancestors.and_then(|a| a.get(&unit.to_string()));
            hashes.map(|h| h.iter().copied().take(beads::ANCESTORS_MAX).collect()).unwrap_or_default()
        };
        let writes = create_writes(bead, Some(&known));
        if state.is_empty() {
            return Ok((Imported::Created, writes));
        }
        Ok(against(&state, bead, writes))
    }
}

/// Drops from a line's writes what the state shows already, and joins them to the birth that is the same bead.
fn against(state: &BeadState, bead: &Bead, mut writes: Vec<Write>) -> (Imported, Vec<Write>) {
    let shown = state.shown();
    let Some(same) = shown.iter().find(|s| one_bead(s, bead)) else {
        return (Imported::Created, writes);
    };
    if !same.hidden && same.bead.same(bead) {
        return (Imported::Unchanged, Vec::new());
    }
    writes.retain(|write| {
        let seen = same.units.get(&write.unit);
        write.unit != Unit::Birth
            && seen.is_none_or(|u| u.hash != beads::canonical_hash(&write.unit, write.value.as_ref()))
    });
    for write in &mut writes {
        write.birth = same.birth;
    }
    if writes.is_empty() { (Imported::Unchanged, writes) } else { (Imported::Updated, writes) }
}

/// Whether a line is about the bead that is shown: the second of creation or the title agrees, or one is a tombstone.
fn one_bead(shown: &Shown, line: &Bead) -> bool {
    let second = |bead: &Bead| {
        bead.get("created_at").and_then(|v| v.as_str()).and_then(instant_ns).map(|ns| ns.div_euclid(1_000_000_000))
    };
    let tombstone = |bead: &Bead| bead.text("status") == "tombstone";
    second(&shown.bead) == second(line)
        || shown.bead.text("title") == line.text("title")
        || tombstone(&shown.bead)
        || tombstone(line)
}
