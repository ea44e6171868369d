//! Tickets: one line of text (`tmesh1…`, bech32m) that lets its bearer become a member once.

use crate::charter::Role;
use crate::seal::mac;
use crate::text::is_label;
use bech32::primitives::decode::{CheckedHrpstring, CheckedHrpstringError};
use bech32::{Bech32m, Hrp};
use hmac::Mac;
use serde::{Deserialize, Serialize};
use std::fmt;
use types::{MeshId, PeerId, PubKey, SpaceId, UnixSecs};
use zeroize::Zeroizing;

/// Longest ticket in characters.
pub const TICKET_CHARS_MAX: usize = 999;

/// Addresses in one ticket.
pub const TICKET_ADDRS_MAX: usize = 8;

/// Version of the ticket's content.
pub const TICKET_VERSION: u8 = 1;

const PREFIX: &str = "tmesh";

/// Why a text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Longer than [`TICKET_CHARS_MAX`].
    #[error("longer than any ticket ({TICKET_CHARS_MAX} characters)")]
    TooLong,
    /// It does not begin with `tmesh1`.
    #[error("a ticket begins with tmesh1")]
    WrongPrefix,
    /// A character is wrong or missing.
    #[error("the ticket was mistyped or cut off")]
    Checksum,
    /// Made by a newer program.
    #[error("ticket version {0} is unknown")]
    Version(u8),
    /// The checksum is right and the content is not a ticket's.
    #[error("the ticket's {0} is malformed")]
    Malformed(&'static str),
}

/// The one-time secret of a ticket. Erased when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketSecret(Zeroizing<[u8; 16]>);

impl TicketSecret {
    /// A secret from 16 random (or kept) bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> TicketSecret {
        TicketSecret(Zeroizing::new(bytes))
    }

    /// The bytes, for the store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The ticket's public id, derived from the secret.
    pub fn id(&self) -> TicketId {
        let mut id = [0; 16];
        id.copy_from_slice(&mac(&*self.0, &[b"townmesh/ticket-id/1"]).finalize().into_bytes()[..16]);
        TicketId(id)
    }

    /// The bearer's proof: bound to who it is, so that it is of no use to anyone else.
    pub fn proof(&self, peer: &PeerId, npub: &PubKey) -> [u8; 32] {
        self.proof_mac(peer, npub).finalize().into_bytes().into()
    }

    /// Checks a bearer's proof in constant time.
    pub fn check(&self, proof: &[u8], peer: &PeerId, npub: &PubKey) -> bool {
        self.proof_mac(peer, npub).verify_slice(proof).is_ok()
    }

    fn proof_mac(&self, peer: &PeerId, npub: &PubKey) -> hmac::Hmac<sha2::Sha256> {
        mac(&*self.0, &[b"townmesh/ticket-proof/1", &self.id().0, peer.ed25519(), &npub.0])
    }
}

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(redacted)")
    }
}

/// A ticket's public id: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub [u8; 16]);

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The mesh.
    pub mesh: MeshId,
    /// The space that it opens.
    pub space: SpaceId,
    /// The space's `h` tag.
    pub h: String,
    /// The space's name.
    pub name: String,
    /// The role that it gives.
    pub role: Role,
    /// Who made it.
    pub peer_id: PeerId,
    /// That host's Nostr key.
    pub npub: PubKey,
    /// Where that host listens (multiaddrs).
    pub addrs: Vec<String>,
    /// The secret that makes it good once.
    pub secret: TicketSecret,
    /// When it ends.
    pub expires: UnixSecs,
}

#[derive(Serialize, Deserialize)]
struct Body {
    mesh: [u8; 16],
    space: [u8; 32],
    /// `None`: the space is public and its `h` tag is its id.
    h: Option<[u8; 16]>,
    name: String,
    role: String,
    peer: [u8; 32],
    npub: [u8; 32],
    addrs: Vec<String>,
    secret: [u8; 16],
    expires: u64,
}

impl Drop for Body {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

impl Ticket {
    /// The ticket's text: one line. Addresses that do not fit are left out, the first ones are kept.
    ///
    /// # Errors
    /// [`TicketError::Malformed`] for a name or `h` tag that no ticket can hold, [`TicketError::TooLong`] when it is
    /// too long even without addresses.
    pub fn encode(&self) -> Result<String, TicketError> {
        if !is_label(&self.name) {
            return Err(TicketError::Malformed("name"));
        }
        let h = if self.h == self.space.to_string() {
            None
        } else {
            Some(crate::event::lower_hex(&self.h).ok_or(TicketError::Malformed("h tag"))?)
        };
        let mut body = Body {
            mesh: self.mesh.0,
            space: self.space.0,
            h,
            name: self.name.clone(),
            role: self.role.to_string(),
            peer: *self.peer_id.ed25519(),
            npub: self.npub.0,
            addrs: self.addrs.iter().take(TICKET_ADDRS_MAX).cloned().collect(),
            secret: *self.secret.as_bytes(),
            expires: self.expires.0,
        };
        loop {
            let mut bytes = Zeroizing::new(vec![TICKET_VERSION]);
            // SAFETY: a body holds only bytes, texts and numbers.
            #[allow(clippy::expect_used)]
            bytes.extend_from_slice(&Zeroizing::new(postcard::to_allocvec(&body).expect("plain data")));
            match bech32::encode_lower::<Bech32m>(Hrp::parse_unchecked(PREFIX), &bytes) {
                Ok(text) if text.len() <= TICKET_CHARS_MAX => return Ok(text),
                _ if body.addrs.pop().is_some() => (),
                _ => return Err(TicketError::TooLong),
            }
        }
    }

    /// Reads a ticket; white space around it is ignored. Whether it expired is for the caller to check.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn decode(text: &str) -> Result<Ticket, TicketError> {
        let text = text.trim();
        if text.len() > TICKET_CHARS_MAX {
            return Err(TicketError::TooLong);
        }
        if !text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("tmesh1")) {
            return Err(TicketError::WrongPrefix);
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|e| match e {
            CheckedHrpstringError::Parse(_) | CheckedHrpstringError::Checksum(_) => TicketError::Checksum,
            _ => TicketError::Checksum,
        })?;
        if checked.hrp().to_lowercase() != PREFIX {
            return Err(TicketError::WrongPrefix);
        }
        let bytes = Zeroizing::new(checked.byte_iter().collect::<Vec<u8>>());
        let (version, rest) = bytes.split_first().ok_or(TicketError::Malformed("version"))?;
        if *version != TICKET_VERSION {
            return Err(TicketError::Version(*version));
        }
        let (body, left): (Body, _) = postcard::take_from_bytes(rest).map_err(|_| TicketError::Malformed("content"))?;
        if !left.is_empty() {
            return Err(TicketError::Malformed("length"));
        }
        Ticket::from_body(&body)
    }

    fn from_body(body: &Body) -> Result<Ticket, TicketError> {
        if !is_label(&body.name) {
            return Err(TicketError::Malformed("name"));
        }
        if body.addrs.len() > TICKET_ADDRS_MAX || !body.addrs.iter().all(|a| is_label(a)) {
            return Err(TicketError::Malformed("addresses"));
        }
        let space = SpaceId(body.space);
        Ok(Ticket {
            mesh: MeshId(body.mesh),
            space,
            h: body.h.map_or_else(|| space.to_string(), hex::encode),
            name: body.name.clone(),
            role: Role::parse(&body.role).ok_or(TicketError::Malformed("role"))?,
            peer_id: PeerId::from_ed25519(body.peer),
            npub: PubKey(body.npub),
            addrs: body.addrs.clone(),
            secret: TicketSecret::from_bytes(body.secret),
            expires: UnixSecs(body.expires),
        })
    }
}
