//! The seam between whoever knows what records mean and whoever moves them to a newer layout.

use crate::{Put, View, ViewError};

/// One step from a store's format to the next.
///
/// A step is run in strides until it says that it is through. It may be cut off after any stride and goes on from
/// the last cursor that was kept, so a stride must depend on nothing but the records and its cursor.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it does, for errors and logs: a few words in lower case.
    pub name: &'static str,
    /// The next stride after `cursor`, which is empty at the beginning.
    pub stride: fn(records: &dyn View, cursor: &[u8]) -> Result<Stride, ViewError>,
}

/// A part of a step's work, kept together with the cursor or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stride {
    /// What changes; a few thousand records at most, since they are in memory together.
    pub puts: Vec<Put>,
    /// Where the next stride begins (not empty); `None` when the step is through.
    pub next: Option<Vec<u8>>,
}
