//! Charter versions.
//!
//! Key: space (32) ‖ event id (32). Value: the event's JSON.

use types::{EventId, SpaceId};

/// The key of one version.
pub fn key(space: &SpaceId, id: &EventId) -> Vec<u8> {
    [&space.0[..], &id.0].concat()
}

/// All versions of a space's charter.
pub fn prefix(space: &SpaceId) -> Vec<u8> {
    space.0.to_vec()
}
