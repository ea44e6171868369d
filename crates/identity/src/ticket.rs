//! Tickets: one line of text (`tmesh1…`, bech32m) that lets its bearer become a member once.

use crate::charter::Role;
use crate::seal::mac;
use crate::text::is_label;
use bech32::primitives::decode::CheckedHrpstring;
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
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| TicketError::Checksum)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        Ticket {
            mesh: MeshId([1; 16]),
            space: SpaceId([2; 32]),
            h: hex::encode([3; 16]),
            name: "app".to_owned(),
            role: Role::Writer,
            peer_id: PeerId::from_ed25519([4; 32]),
            npub: PubKey([5; 32]),
            addrs: vec![
                "/ip4/192.168.178.210/tcp/41234".to_owned(),
                "/ip4/192.168.178.210/udp/41234/quic-v1".to_owned(),
            ],
            secret: TicketSecret::from_bytes([0xab; 16]),
            expires: UnixSecs(1_800_000_000),
        }
    }

    fn encoded(bytes: &[u8]) -> String {
        bech32::encode_lower::<Bech32m>(Hrp::parse_unchecked(PREFIX), bytes).unwrap()
    }

    #[test]
    fn round_trips() {
        let text = ticket().encode().unwrap();
        assert!(text.starts_with("tmesh1q") && text.len() < 500, "{} {text}", text.len());
        assert_eq!(Ticket::decode(&text).unwrap(), ticket());
        assert_eq!(Ticket::decode(&format!("  {}\n", text.to_uppercase())).unwrap(), ticket());
        let public = Ticket { h: SpaceId([2; 32]).to_string(), role: Role::Other("guest".to_owned()), ..ticket() };
        assert_eq!(Ticket::decode(&public.encode().unwrap()).unwrap(), public);
    }

    #[test]
    fn addresses_that_do_not_fit_are_left_out() {
        let addrs: Vec<String> =
            (0..20).map(|n| format!("/ip6/{}/udp/{n}/quic-v1", "2001:db8::1:".repeat(8))).collect();
        let text = Ticket { addrs: addrs.clone(), ..ticket() }.encode().unwrap();
        assert!(text.len() <= TICKET_CHARS_MAX);
        let kept = Ticket::decode(&text).unwrap().addrs;
        assert!(!kept.is_empty() && kept == addrs[..kept.len()]);
    }

    #[test]
    fn hostile_texts_have_their_errors() {
        let text = ticket().encode().unwrap();
        assert_eq!(Ticket::decode(""), Err(TicketError::WrongPrefix));
        assert_eq!(Ticket::decode("npub1qqqq"), Err(TicketError::WrongPrefix));
        assert_eq!(Ticket::decode(&"ü".repeat(9)), Err(TicketError::WrongPrefix));
        assert_eq!(Ticket::decode(&"tmesh1".repeat(1_000)), Err(TicketError::TooLong));
        assert_eq!(Ticket::decode(&text[..text.len() - 1]), Err(TicketError::Checksum));
        assert_eq!(Ticket::decode(&text.replacen('q', "p", 1)), Err(TicketError::Checksum));
        assert!(Ticket::decode(&format!("{}1{}", &text[..20], &text[20..])).is_err());
        assert_eq!(Ticket::decode(&encoded(&[])), Err(TicketError::Malformed("version")));
        assert_eq!(Ticket::decode(&encoded(&[2, 0, 0])), Err(TicketError::Version(2)));
        assert_eq!(Ticket::decode(&encoded(&[1, 0, 0])), Err(TicketError::Malformed("content")));
        let checked = CheckedHrpstring::new::<Bech32m>(&text).unwrap();
        let mut bytes: Vec<u8> = checked.byte_iter().collect();
        bytes.push(0);
        assert_eq!(Ticket::decode(&encoded(&bytes)), Err(TicketError::Malformed("length")));
        assert_eq!(Ticket { name: "a\nb".to_owned(), ..ticket() }.encode(), Err(TicketError::Malformed("name")));
        assert_eq!(Ticket { h: "xyz".to_owned(), ..ticket() }.encode(), Err(TicketError::Malformed("h tag")));
    }

    #[test]
    fn a_proof_is_for_one_bearer() {
        let (secret, peer, npub) = (ticket().secret, PeerId::from_ed25519([7; 32]), PubKey([8; 32]));
        let proof = secret.proof(&peer, &npub);
        assert!(secret.check(&proof, &peer, &npub));
        assert!(!secret.check(&proof, &PeerId::from_ed25519([6; 32]), &npub));
        assert!(!secret.check(&proof, &peer, &PubKey([6; 32])));
        assert!(!secret.check(&proof[..31], &peer, &npub));
        assert!(!secret.check(&[], &peer, &npub));
        assert!(!TicketSecret::from_bytes([1; 16]).check(&proof, &peer, &npub));
        assert_ne!(secret.id().0, secret.proof(&peer, &npub)[..16]);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?}", ticket());
        assert!(!printed.contains("abab") && !printed.contains("171"), "{printed}");
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in any::<usize>(), to in "[02-9ac-hj-np-z]") {
            let text = ticket().encode().unwrap();
            let at = at % text.len();
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            prop_assert!(Ticket::decode(&changed).is_err());
        }

        #[test]
        fn arbitrary_content_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,100}") {
            let _ = Ticket::decode(&encoded(&[&[1][..], &bytes].concat()));
            prop_assert!(Ticket::decode(&text).is_err());
        }
    }
}
