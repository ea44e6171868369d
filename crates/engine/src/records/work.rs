//! Slung work as this host keeps it beside the beads.
//!
//! Keys: `o` ‖ space (32) ‖ bead id → nothing (an offer of it is open); `h` ‖ run (32) → [`HookRecord`];
//! `r` ‖ name → [`RunnerRecord`]; `t` ‖ space → the epoch in which this host has begun to coordinate. Values: postcard.

use crate::Outcome;
use serde::{Deserialize, Serialize};
use types::{EventId, Fence, Limit, SpaceId, Usage};

/// Work that this host has taken and not handed back yet: what hangs on the hook runs, also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// The space.
    pub space: [u8; 32],
    /// The bead.
    pub bead: String,
    /// The grant under which it is worked on now.
    pub grant: [u8; 32],
    /// That grant's fence.
    pub fence: Fence,
    /// How long a renewal lasts, in milliseconds.
    pub lease_ms: u64,
    /// The runner's name.
    pub runner: String,
    /// The commit to begin at.
    pub base: Option<String>,
    /// How much may be used under that grant.
    pub cap: Limit,
    /// What was used under it so far.
    pub used: Usage,
    /// What of it is signed already.
    pub told: Usage,
    /// The result is signed; what is awaited is the coordinator's word.
    pub done: bool,
    /// Nobody has granted it yet: `grant` is the offer under which it was begun.
    pub tentative: bool,
    /// What came of it, while it waits for a grant.
    pub prepared: Option<Outcome>,
}

/// A program that works on beads here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerRecord {
    /// The rig that it works for; empty: any.
    pub rig: String,
    /// How many beads it takes at once.
    pub slots: u32,
    /// The program and its arguments; empty: a person works.
    pub argv: Vec<String>,
    /// The git repository, absolute; none: an empty directory.
    pub repo: Option<String>,
    /// Where result branches are pushed to.
    pub push: Option<String>,
    /// How long one attempt may take, in milliseconds.
    pub time_ms: u64,
    /// It always runs in a sandbox; another owner's work does anyway.
    pub sandbox: bool,
    /// In a sandbox it has the network.
    pub network: bool,
}

/// Where it says that an offer is open.
pub fn open_key(space: &SpaceId, bead: &str) -> Vec<u8> {
    [b"o", &space.0[..], bead.as_bytes()].concat()
}

/// The space and bead of an [`open_key`].
pub fn parse_open(key: &[u8]) -> Option<(SpaceId, String)> {
    let (space, bead) = key.strip_prefix(b"o")?.split_at_checked(32)?;
    Some((SpaceId::from_slice(space).ok()?, String::from_utf8(bead.to_vec()).ok()?))
}

/// Where taken work is kept; `run`: the grant under which it was taken.
pub fn hook_key(run: &EventId) -> Vec<u8> {
    [b"h", &run.0[..]].concat()
}

/// The run of a [`hook_key`].
pub fn parse_hook(key: &[u8]) -> Option<EventId> {
    key.strip_prefix(b"h")?.try_into().ok().map(EventId)
}

/// Where the epoch is kept in which this host has begun to coordinate.
pub fn turn_key(space: &SpaceId) -> Vec<u8> {
    [b"t", &space.0[..]].concat()
}

/// Where a runner is kept.
pub fn runner_key(name: &str) -> Vec<u8> {
    [b"r", name.as_bytes()].concat()
}
