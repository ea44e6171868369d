//! Folded state per bead id: every birth under that id.
//!
//! Key: space (32) ‖ id (UTF-8). Value: `beads::BeadState::encode`.

use types::SpaceId;

/// The key of one id.
pub fn key(space: &SpaceId, id: &str) -> Vec<u8> {
    [&space.0[..], id.as_bytes()].concat()
}

/// The id of a key.
pub fn parse(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(32..)?).ok()
}
