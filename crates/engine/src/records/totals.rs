//! Per-space counters and digests, kept in step with every change.
//!
//! Key: space (32). Value: postcard [`Totals`].

use serde::{Deserialize, Serialize};
use types::Digest;

/// Sums over a space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Visible beads.
    pub beads: u64,
    /// Units with several differing live edits.
    pub conflicts: u64,
    /// Units whose differing values all come from imports.
    pub baseline_conflicts: u64,
    /// Ops applied.
    pub ops: u64,
    /// Over shown values, as bytes: a readable digest type would not be compact.
    pub digest: [u8; 32],
    /// Over live dots.
    pub state_digest: [u8; 32],
}

impl Totals {
    /// Replaces one id's share.
    pub fn replace(&mut self, before: &beads::Contribution, after: &beads::Contribution) {
        self.beads = self.beads.wrapping_sub(before.beads).wrapping_add(after.beads);
        self.conflicts = self.conflicts.wrapping_sub(before.conflicts).wrapping_add(after.conflicts);
        self.baseline_conflicts =
            self.baseline_conflicts.wrapping_sub(before.baseline_conflicts).wrapping_add(after.baseline_conflicts);
        let swap = |sum: &mut [u8; 32], out: Digest, new: Digest| {
            let mut digest = Digest::from_bytes(*sum);
            digest.sub(out);
            digest.add(new);
            *sum = *digest.as_bytes();
        };
        swap(&mut self.digest, before.digest, after.digest);
        swap(&mut self.state_digest, before.state_digest, after.state_digest);
    }
}
