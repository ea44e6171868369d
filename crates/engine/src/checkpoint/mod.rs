//! Checkpoints: the folded state of a space at given heads, signed by its coordinator, so that a newcomer needs no
//! history and old history need not be kept for ever.
//!
//! The coordinator makes one every so many ops ([`make`]). Whoever holds exactly the same ops makes it again and
//! compares; only then it serves it, too. A newcomer fetches the parts and grows from there ([`fetch`]). From then on
//! ops at or below the checkpoint's heads count as folded in ([`floor`]): they are fetched afterwards, unless the
//! charter says that history is dropped.

mod body;
mod fetch;
mod floor;
mod make;

pub use body::{CHECKPOINT_VERSION, Checkpoint, CheckpointError};
pub(crate) use fetch::Fetch;

use crate::records::checkpoint::Base;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use types::{EventId, PeerId, UnixMs, Writer};

/// When checkpoints are made and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointRule {
    /// The coordinator makes one after so many ops.
    pub every_ops: u64,
    /// A newcomer begins with one that has at least so many ops folded in.
    pub join_min_ops: u64,
}

impl Default for CheckpointRule {
    fn default() -> CheckpointRule {
        CheckpointRule { every_ops: 10_000, join_min_ops: 5_000 }
    }
}

/// Whole checkpoints of a space that are kept, besides the one that its beads grew from.
const KEPT_MAX: usize = 2;

/// The field of a charter's policy that says for how many days ops are held one by one; without it, for ever.
pub(crate) const HISTORY_DAYS: &str = "history_days";

/// What one space knows of checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// The newest one that is here as a whole.
    pub(crate) newest: Option<Whole>,
    /// One that was announced and that nobody here has compared yet.
    pub(crate) announced: Option<(EventId, Checkpoint, Vec<u8>)>,
    /// What the beads here grew from, as long as ops below it are not held.
    pub(crate) base: Option<Base>,
    /// One that is being fetched.
    pub(crate) fetch: Option<Fetch>,
    /// Those that turned out to be wrong.
    pub(crate) spurned: HashSet<EventId>,
    /// The charter has taken the effect of ops that the base has folded in: only a newer checkpoint helps.
    pub(crate) void_base: bool,
    /// The one that others may have begun with counts no longer: the coordinator makes another at once.
    pub(crate) due: bool,
    /// What connected peers said that they do not hold op by op.
    pub(crate) floors_of: BTreeMap<PeerId, BTreeMap<Writer, u64>>,
    /// Ops below the base are fetched from then on.
    pub(crate) fill_at: UnixMs,
    /// The one that becomes the base when it is old enough, and since when it is here.
    pub(crate) next_base: Option<(EventId, UnixMs)>,
    /// Writers whose ops below the base are being dropped.
    pub(crate) dropping: BTreeSet<Writer>,
    /// When it is looked whether there is something to drop.
    pub(crate) drop_at: UnixMs,
}

/// A checkpoint that is here as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) id: EventId,
    pub(crate) event: Vec<u8>,
    pub(crate) ops: u64,
}

impl Checkpoints {
    /// Whether an op with this number of this writer is folded in below the base, whichever op it is.
    pub(crate) fn covers(&self, writer: &Writer, seq: u64) -> bool {
        self.base.as_ref().and_then(|base| base.floor(writer)).is_some_and(|floor| seq <= floor.low())
    }

    /// Ops below the base that are not held.
    pub(crate) fn history_missing(&self) -> u64 {
        let floors = self.base.iter().flat_map(|base| &base.floors);
        floors.map(|floor| floor.top().saturating_sub(floor.filled)).sum()
    }
}

/// For how long ops are held one by one, in milliseconds; `None`: for ever.
pub(crate) fn history_ms(policy: &serde_json::Map<String, Value>) -> Option<u64> {
    let days = policy.get(HISTORY_DAYS)?.as_u64()?;
    Some(days.max(1).saturating_mul(24 * 3_600_000))
}
