//! One write: a new value for one unit of one bead, and what it replaces.

use crate::bead::BeadId;
use crate::birth::{Birth, BirthInfo};
use crate::canon::{ValueError, check_value};
use crate::unit::{Unit, UnitError};
use serde_json::Value;
use types::{Dot, Hlc, UnixMs};

/// Dots that one write may replace (or a delete cover).
pub const REPLACES_MAX: usize = 5_000;

/// Ancestors that one baseline write may name.
pub const ANCESTORS_MAX: usize = 1_000;

/// Which op a write came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The op.
    pub dot: Dot,
    /// Its clock: chooses what is shown.
    pub hlc: Hlc,
}

/// What makes a write the trace of an import: it ranks below every edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The line's `updated_at`: its rank among baseline values.
    pub updated_at: UnixMs,
    /// [`crate::canonical_hash`]es of the values that the unit had earlier in the file's own history.
    pub ancestors: Vec<u64>,
}

/// A write to one unit. An op has at most one write per bead id and unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The bead's id.
    pub id: BeadId,
    /// Which bead of that id.
    pub birth: Birth,
    /// Which part of it.
    pub unit: Unit,
    /// The new value; `None`: absent. A label, or a delete, that is `None` only takes back what it replaces.
    pub value: Option<Value>,
    /// The dots whose values of this unit its author saw and replaces. In a delete: every dot that its author saw
    /// in the bead; those are covered, not replaced.
    pub replaces: Vec<Dot>,
    /// Set when the value came from an import.
    pub baseline: Option<Baseline>,
}

/// Why a write is refused. It changes nothing then, on any host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// For another id than the state's.
    #[error("a write to {0} in the state of another bead")]
    OtherBead(BeadId),
    /// The unit cannot be written.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The value cannot be the unit's.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A birth's value does not hash to the birth.
    #[error("the value of the birth does not hash to {0}")]
    BirthMismatch(Birth),
    /// A relation is written under the smaller of its two births.
    #[error("a relation to {0} stands under the smaller birth")]
    RelationOrder(Birth),
    /// Replaces its own op.
    #[error("a write that replaces itself")]
    ReplacesItself,
    /// More than [`REPLACES_MAX`] or [`ANCESTORS_MAX`].
    #[error("{len} {what} in one write; at most {max}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
}

impl Write {
    /// Checks everything that can be checked without a state.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn check(&self) -> Result<(), WriteError> {
        self.unit.check()?;
        limit("replaced dots", self.replaces.len(), REPLACES_MAX)?;
        limit("ancestors", self.baseline.as_ref().map_or(0, |b| b.ancestors.len()), ANCESTORS_MAX)?;
        check_parts(&self.id, self.birth, &self.unit, self.value.as_ref())
    }

    /// Whether the write leaves nothing behind but the removal of what it replaces.
    pub(crate) fn only_retracts(&self) -> bool {
        self.value.is_none() && matches!(self.unit, Unit::Label(_) | Unit::Delete | Unit::Relation(_))
    }
}

/// What a live write must keep, too.
pub(crate) fn check_parts(id: &BeadId, birth: Birth, unit: &Unit, value: Option<&Value>) -> Result<(), WriteError> {
    check_value(unit, value)?;
    match (unit, value) {
        (Unit::Birth, Some(value)) => {
            let matches = BirthInfo::from_value(value).is_some_and(|info| info.birth(id) == birth);
            if matches { Ok(()) } else { Err(WriteError::BirthMismatch(birth)) }
        }
        (Unit::Relation(other), _) if *other <= birth => Err(WriteError::RelationOrder(*other)),
        _ => Ok(()),
    }
}

fn limit(what: &'static str, len: usize, max: usize) -> Result<(), WriteError> {
    if len > max { Err(WriteError::TooMany { what, len, max }) } else { Ok(()) }
}
