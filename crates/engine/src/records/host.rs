//! Known hosts.
//!
//! Key: the Ed25519 key of the peer id (32). Value: postcard [`HostRecord`].

use serde::{Deserialize, Serialize};
use types::PeerId;

/// At most this many addresses are remembered per host.
pub const ADDRS_MAX: usize = 16;

/// What is known of a host that is or was a fellow member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its newest host card (event JSON), if it ever said hello.
    pub card: Option<Vec<u8>>,
    /// Where it was reachable, newest first.
    pub addrs: Vec<String>,
    /// When it was last connected, in Unix ms.
    pub seen_ms: u64,
}

impl HostRecord {
    /// Remembers addresses, newest first, without repeats.
    pub fn add_addrs(&mut self, addrs: impl IntoIterator<Item = String>) {
        for addr in addrs {
            if addr.len() > 256 {
                continue;
            }
            self.addrs.retain(|known| *known != addr);
            self.addrs.insert(0, addr);
        }
        self.addrs.truncate(ADDRS_MAX);
    }
}

/// The key of one host.
pub fn key(peer: &PeerId) -> Vec<u8> {
    peer.ed25519().to_vec()
}
