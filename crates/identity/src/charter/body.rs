//! What one version of a charter says.

use crate::Commitment;
use serde_json::{Map, Value};
use std::fmt;
use types::{EventId, KeyId, MeshId, PeerId, PubKey};

/// Who may read a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Members only; everything is sealed.
    Private,
    /// Everybody.
    Public,
}

/// What a member may do. Unknown roles are kept and give no more than reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Writes, and decides in disputes.
    Maintainer,
    /// Writes.
    Writer,
    /// Reads.
    Reader,
    /// May be named coordinator.
    Coordinator,
    /// Of a newer program.
    Other(String),
}

impl Role {
    /// Longest role in bytes.
    pub const BYTES_MAX: usize = 32;

    /// Reads a role: 1 to [`Role::BYTES_MAX`] characters `a-z`, `0-9`, `-`.
    pub fn parse(text: &str) -> Option<Role> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > Role::BYTES_MAX || !text.bytes().all(good) {
            return None;
        }
        Some(match text {
            "maintainer" => Role::Maintainer,
            "writer" => Role::Writer,
            "reader" => Role::Reader,
            "coordinator" => Role::Coordinator,
            other => Role::Other(other.to_owned()),
        })
    }

    /// Whether it lets a member write.
    pub fn writes(&self) -> bool {
        matches!(self, Role::Maintainer | Role::Writer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Maintainer => "maintainer",
            Role::Writer => "writer",
            Role::Reader => "reader",
            Role::Coordinator => "coordinator",
            Role::Other(other) => other,
        })
    }
}

/// A host that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its Nostr key.
    pub npub: PubKey,
    /// Its libp2p peer id.
    pub peer_id: PeerId,
    /// Its name.
    pub name: String,
    /// Whose host it is.
    pub owner: PubKey,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Fields of newer programs: kept, without effect.
    pub unknown: Map<String, Value>,
}

impl Member {
    /// Whether a role of it allows writing.
    pub fn writes(&self) -> bool {
        self.roles.iter().any(Role::writes)
    }
}

/// The last valid op of one incarnation of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// The incarnation.
    pub incarnation: u64,
    /// The op's sequence number; 0 when none is valid.
    pub seq: u64,
    /// Its event id; `None` exactly when `seq` is 0.
    pub id: Option<EventId>,
}

/// A host that may no longer write: removed, or lowered to reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its Nostr key.
    pub npub: PubKey,
    /// Per incarnation the last valid op. Incarnations that are not named have none.
    pub cutoffs: Vec<Cutoff>,
}

/// A key of the space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// The SHA-256 of the key.
    pub id: KeyId,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// Its number: 1 for the first, else one more than the highest predecessor's.
    pub n: u64,
    /// The versions that it follows: none for the first, several for a merge.
    pub prev: Vec<EventId>,
    /// The space's name.
    pub name: String,
    /// The mesh. Never changes.
    pub mesh: MeshId,
    /// Who may read. Never changes.
    pub visibility: Visibility,
    /// Who takes part.
    pub members: Vec<Member>,
    /// The host that grants work.
    pub coordinator: Option<PubKey>,
    /// Who may follow it, in order.
    pub successors: Vec<PubKey>,
    /// Who watches.
    pub witnesses: Vec<PubKey>,
    /// Further rules: a JSON object.
    pub policy: Map<String, Value>,
    /// Every key that the space ever had, the first one first. Empty when public.
    pub keys: Vec<KeyEntry>,
    /// The key that new events are sealed under. `None` when public.
    pub current_key: Option<KeyId>,
    /// Commitment to the owner's next key.
    pub next_owner: Commitment,
    /// Who lost the right to write with this version.
    pub removed: Vec<Removed>,
    /// Fields of newer programs: kept, without effect.
    pub unknown: Map<String, Value>,
}

impl Charter {
    /// The member with this key.
    pub fn member(&self, npub: &PubKey) -> Option<&Member> {
        self.members.iter().find(|m| m.npub == *npub)
    }

    /// Whether this host may write under this version.
    pub fn may_write(&self, npub: &PubKey) -> bool {
        self.member(npub).is_some_and(Member::writes)
    }
}
