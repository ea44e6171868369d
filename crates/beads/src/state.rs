//! Everything that was written under one id, folded: a function of the set of writes, whatever their order.

use crate::bead::BeadId;
use crate::birth::{Birth, Relations};
use crate::register::{Live, Outdated, resolve};
use crate::unit::Unit;
use crate::write::{Stamp, Write, WriteError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::Dot;

/// The state of one id: the live writes of every birth under it, and replacements that came before what they replace.
#[derive(Clone, Debug, PartialEq)]
pub struct BeadState {
    pub(crate) id: BeadId,
    /// Per unit, in the order of their dots.
    pub(crate) live: BTreeMap<Unit, Vec<Live>>,
    /// Dots that are replaced already, of ops that have not come yet.
    pub(crate) pending: BTreeSet<(Unit, Dot)>,
}

impl BeadState {
    /// The state in which nothing was written.
    pub fn new(id: BeadId) -> BeadState {
        BeadState { id, live: BTreeMap::new(), pending: BTreeSet::new() }
    }

    /// The id.
    pub fn id(&self) -> &BeadId {
        &self.id
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.pending.is_empty()
    }

    /// Applies one write.
    ///
    /// `seen(dot)` says whether the op of that dot was applied *before* the op that is being applied now: a dot that
    /// was seen and is not live is dead. Of the op itself it says false the first time (whoever has put the op into
    /// its records already must leave that one out), and true when the op comes again, which then changes nothing.
    ///
    /// # Errors
    /// [`WriteError`] when the write is refused; the state is unchanged then.
    pub fn apply(&mut self, stamp: &Stamp, write: &Write, seen: &dyn Fn(&Dot) -> bool) -> Result<(), WriteError> {
        if write.id != self.id {
            return Err(WriteError::OtherBead(write.id.clone()));
        }
        write.check()?;
        if write.replaces.contains(&stamp.dot) {
            return Err(WriteError::ReplacesItself);
        }
        if seen(&stamp.dot) || self.position(&write.unit, &stamp.dot).is_some() {
            return Ok(());
        }
        let covers = write.unit == Unit::Delete && write.value.is_some();
        if !covers {
            self.replace(&write.unit, &write.replaces, seen);
        }
        if write.only_retracts() || self.pending.remove(&(write.unit.clone(), stamp.dot)) {
            return Ok(());
        }
        let mut covered = if covers { write.replaces.clone() } else { Vec::new() };
        covered.sort_unstable();
        covered.dedup();
        let live = Live {
            birth: write.birth,
            dot: stamp.dot,
            hlc: stamp.hlc,
            value: write.value.clone(),
            baseline: write.baseline.clone(),
            covers: covered,
        };
        let lives = self.live.entry(write.unit.clone()).or_default();
        let at = lives.partition_point(|l| l.dot < live.dot);
        lives.insert(at, live);
        Ok(())
    }

    /// Remembers that the write of a dot is replaced, should it still come. For a replacement that was taken for one of
    /// a dot that is gone, and was not.
    pub fn expect_replaced(&mut self, unit: &Unit, dot: &Dot) {
        if self.position(unit, dot).is_none() {
            self.pending.insert((unit.clone(), *dot));
        }
    }

    fn position(&self, unit: &Unit, dot: &Dot) -> Option<usize> {
        self.live.get(unit)?.binary_search_by(|l| l.dot.cmp(dot)).ok()
    }

    fn replace(&mut self, unit: &Unit, dots: &[Dot], seen: &dyn Fn(&Dot) -> bool) {
        for dot in dots {
            match self.position(unit, dot) {
                Some(at) => {
                    if let Some(lives) = self.live.get_mut(unit) {
                        lives.remove(at);
                        if lives.is_empty() {
                            self.live.remove(unit);
                        }
                    }
                }
                None if seen(dot) => {}
                None => {
                    self.pending.insert((unit.clone(), *dot));
                }
            }
        }
    }

    /// Every birth that something live was written under. What is said about a pair of births, or about work, does not
    /// bring a bead into being.
    pub fn births(&self) -> BTreeSet<Birth> {
        let beads = self.live.iter().filter(|(unit, _)| !matches!(unit, Unit::Relation(_) | Unit::Work(_)));
        beads.flat_map(|(_, lives)| lives).map(|l| l.birth).collect()
    }

    /// How many writes are live.
    pub fn live_writes(&self) -> usize {
        self.live.values().map(Vec::len).sum()
    }

    /// The live writes of what is decided about each pair of births.
    pub(crate) fn relation_lives(&self) -> BTreeMap<(Birth, Birth), Vec<&Live>> {
        let mut out: BTreeMap<_, Vec<&Live>> = BTreeMap::new();
        for (unit, lives) in &self.live {
            if let Unit::Relation(other) = unit {
                for live in lives {
                    out.entry((live.birth, *other)).or_default().push(live);
                }
            }
        }
        out
    }

    pub(crate) fn relations(&self) -> Relations {
        let mut out = Relations::new();
        for ((a, b), lives) in self.relation_lives() {
            let shown = resolve(&Unit::Relation(b), &lives, &Outdated::new()).into_iter().next().and_then(|g| g.value);
            if let Some(word) = shown.as_ref().and_then(Value::as_str) {
                out.insert((a, b), word == "same");
            }
        }
        out
    }
}
