//! What each workspace's file last showed, per bead.
//!
//! Key: workspace (4) ‖ shown id (UTF-8). Value: postcard [`ShadowRecord`].

use crate::input::WorkspaceId;
use serde::{Deserialize, Serialize};

/// What a line said, and which writes that stood for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowRecord {
    /// Hash of the line's canonical value.
    pub line: u64,
    /// Value hash and dots per unit.
    pub shadow: beads::Shadow,
    /// Hashes of what the line said before, newest last: meeting one of them again is no edit.
    pub past: Vec<u64>,
}

/// How many earlier versions of a line are remembered.
pub const PAST_MAX: usize = 16;

impl ShadowRecord {
    /// The record of a line that now says `line`, after it said what `before` holds.
    pub fn next(line: u64, shadow: beads::Shadow, before: Option<&ShadowRecord>) -> ShadowRecord {
        let mut past = before.map(|b| b.past.clone()).unwrap_or_default();
        past.extend(before.map(|b| b.line).filter(|old| *old != line));
        past.drain(..past.len().saturating_sub(PAST_MAX));
        ShadowRecord { line, shadow, past }
    }
}

/// All shadows of a workspace.
pub fn prefix(workspace: WorkspaceId) -> Vec<u8> {
    workspace.to_be_bytes().to_vec()
}

/// The key of one line.
pub fn key(workspace: WorkspaceId, id: &str) -> Vec<u8> {
    [&workspace.to_be_bytes()[..], id.as_bytes()].concat()
}

/// The id of a key.
pub fn parse(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(4..)?).ok()
}
