//! Workspaces and the file generations they went through.
//!
//! Keys: `w` ‖ workspace (4) → [`WorkspaceRecord`]; `g` ‖ workspace ‖ generation (20) → u64 number;
//! `s` ‖ workspace ‖ number (8) → generation; `i` ‖ workspace → [`Intent`]; `y` ‖ workspace → [`Young`];
//! `k` ‖ workspace → kind. Values: postcard.

use super::shadow::ShadowRecord;
use crate::input::{Generation, WorkspaceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many generations are remembered per workspace.
pub const GENERATIONS_MAX: u64 = 10_000;

/// A coupled directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// The directory, absolute.
    pub dir: String,
    /// Its space.
    pub space: [u8; 32],
    /// The newest generation that is fully taken in or was written by us.
    pub generation: Option<Generation>,
    /// Number of the next generation.
    pub next_generation: u64,
    /// Whether the first look at the file is still to come.
    pub fresh: bool,
    /// Versions that the file had in its git history when it was attached, until the first look is through.
    pub past: BTreeSet<Generation>,
    /// Ids whose lines vanished together, waiting for a person's word.
    pub question: Vec<String>,
}

/// What a prepared file will show, kept before it becomes visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The generation that the commit brings.
    pub generation: Generation,
    /// The new shadows; `None` where the line goes away.
    pub shadows: Vec<(String, Option<ShadowRecord>)>,
}

/// Ids of lines that were written into the file shortly before the last write, and when (Unix time in milliseconds).
pub type Young = Vec<(String, u64)>;

/// Where it says what keeps a workspace's beads ([`crate::WorkspaceKind`]; a file when nothing is said).
pub fn kind_key(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b'k', workspace)
}

/// Where a workspace's young lines are.
pub fn young_key(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b'y', workspace)
}

fn tagged(tag: u8, workspace: WorkspaceId) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend(workspace.to_be_bytes());
    key
}

/// Where all workspaces are.
pub const PREFIX: &[u8] = b"w";

/// The key of a [`WorkspaceRecord`].
pub fn key(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b'w', workspace)
}

/// The workspace of such a key.
pub fn parse(key: &[u8]) -> Option<WorkspaceId> {
    Some(u32::from_be_bytes(key.strip_prefix(b"w")?.try_into().ok()?))
}

/// Where a workspace's generations are, by generation.
pub fn generation_prefix(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b'g', workspace)
}

/// Where a workspace's generations are, by number.
pub fn number_prefix(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b's', workspace)
}

/// The key of a generation's number.
pub fn generation_key(workspace: WorkspaceId, generation: &Generation) -> Vec<u8> {
    let mut key = tagged(b'g', workspace);
    key.extend(generation);
    key
}

/// The key of a numbered generation.
pub fn number_key(workspace: WorkspaceId, number: u64) -> Vec<u8> {
    let mut key = tagged(b's', workspace);
    key.extend(number.to_be_bytes());
    key
}

/// The key of an [`Intent`].
pub fn intent_key(workspace: WorkspaceId) -> Vec<u8> {
    tagged(b'i', workspace)
}
