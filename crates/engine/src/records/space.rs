//! Spaces that this node takes part in.
//!
//! Key: space (32). Value: postcard [`SpaceRecord`]. Holds secrets: the store's directory is private to the user.

use serde::{Deserialize, Serialize};

/// Local knowledge of a space that its charter does not hold.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceRecord {
    /// The space's name here.
    pub name: String,
    /// Whether events are readable without a key.
    pub public: bool,
    /// The space's keys; the first is the space secret. Empty when public.
    pub keys: Vec<[u8; 32]>,
}

impl std::fmt::Debug for SpaceRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpaceRecord({}, {} keys)", self.name, self.keys.len())
    }
}
