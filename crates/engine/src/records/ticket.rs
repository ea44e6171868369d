//! Tickets that this node gave out.
//!
//! Key: ticket id (16). Value: postcard [`TicketRecord`].

use serde::{Deserialize, Serialize};

/// What a ticket is good for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// The space it opens.
    pub space: [u8; 32],
    /// The role it gives.
    pub role: String,
    /// The bearer's secret.
    pub secret: [u8; 16],
    /// When it ends, in Unix ms.
    pub expires_ms: u64,
    /// Who used it.
    pub used_by: Option<[u8; 32]>,
}

impl std::fmt::Debug for TicketRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketRecord({}, until {})", self.role, self.expires_ms)
    }
}
