//! Ops that must wait for this machine's clock: outside heads and digests, bounded by `WAITING_MAX` per space.
//!
//! Key: space (32) ‖ event id (32). Value: postcard [`WaitingRecord`].

use serde::{Deserialize, Serialize};
use types::{EventId, SpaceId};

/// An op and when it may take effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRecord {
    /// Not before this Unix ms.
    pub until_ms: u64,
    /// The event's JSON.
    pub event: Vec<u8>,
}

/// The key of one waiting op.
pub fn key(space: &SpaceId, id: &EventId) -> Vec<u8> {
    [&space.0[..], &id.0].concat()
}
