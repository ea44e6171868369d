//! Single values of the node.
//!
//! Key: the name. Value: postcard.

use serde::{Deserialize, Serialize};

/// Key of [`Incarnation`].
pub const INCARNATION: &[u8] = b"incarnation";
/// Key of the packed HLC (u64): never lower than the stamp of any own op.
pub const CLOCK: &[u8] = b"clock";

/// Key of the owner's attestation of this host's key (the tag's JSON, a string).
pub const ATTESTATION: &[u8] = b"attestation";

/// Under which number this host writes, and for which copy of the home that number was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The random number in [`types::Writer`].
    pub number: u64,
    /// What identifies this copy of the home; another one means that the store was copied or restored.
    pub fingerprint: [u8; 32],
}
