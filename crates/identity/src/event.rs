//! Nostr events (NIP-01). An [`Event`] exists only verified or freshly signed.

use crate::secp;
use proto::limits::EVENT_BYTES_MAX;
use secp256k1::Keypair;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::{EventId, PubKey, UnixSecs};

/// Tags in one event.
pub const TAGS_MAX: usize = 1_000;
/// Values in one tag.
pub const TAG_VALUES_MAX: usize = 64;
/// Bytes of one value of a tag.
pub const TAG_VALUE_BYTES_MAX: usize = 4_096;

/// Latest time an event may carry: the largest integer that every JSON reader keeps (2^53 - 1 seconds).
const CREATED_AT_MAX: u64 = (1 << 53) - 1;

/// Why bytes are not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Larger than [`EVENT_BYTES_MAX`].
    #[error("event of {len} bytes where at most {EVENT_BYTES_MAX} are allowed")]
    TooLarge {
        /// Bytes that came.
        len: usize,
    },
    /// Not the JSON object of NIP-01, with each field once and no other.
    #[error("malformed event: {0}")]
    Malformed(String),
    /// Too many tags, too many values in one, or too long a value.
    #[error("more or longer tags than allowed")]
    Tags,
    /// The id is not the hash of the content.
    #[error("the event's id is not that of its content")]
    WrongId,
    /// The signature is not the author's.
    #[error("the event's signature is not its author's")]
    BadSignature,
}

impl EventError {
    /// A stable machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            EventError::TooLarge { .. } => "event_too_large",
            EventError::Malformed(_) => "malformed_event",
            EventError::Tags => "event_tags",
            EventError::WrongId => "wrong_event_id",
            EventError::BadSignature => "bad_signature",
        }
    }
}

/// A signed event whose id and signature are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    pubkey: PubKey,
    created_at: UnixSecs,
    kind: u16,
    tags: Vec<Vec<String>>,
    content: String,
    sig: [u8; 64],
}

/// An event that has an event's shape; whether its id and signature are right is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified(Event);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<T> {
    id: String,
    pubkey: String,
    created_at: u64,
    kind: u16,
    tags: T,
    content: String,
    sig: String,
}

/// Reads lower-case hexadecimal of exactly `N` bytes, so that an event has one text form per field.
pub(crate) fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl Unverified {
    /// The id that the event claims.
    pub fn id(&self) -> EventId {
        self.0.id
    }

    /// Recomputes the id and checks the signature.
    ///
    /// # Errors
    /// [`EventError::WrongId`] or [`EventError::BadSignature`].
    pub fn verify(self) -> Result<Event, EventError> {
        let event = self.0;
        if event.compute_id() != event.id {
            return Err(EventError::WrongId);
        }
        if !secp::verify(&event.pubkey, &event.id.0, &event.sig) {
            return Err(EventError::BadSignature);
        }
        Ok(event)
    }
}

impl Event {
    /// Reads an event without checking id and signature.
    ///
    /// # Errors
    /// [`EventError::TooLarge`], [`EventError::Malformed`] or [`EventError::Tags`].
    pub fn parse(json: &[u8]) -> Result<Unverified, EventError> {
        if json.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge { len: json.len() });
        }
        let wire: Wire<Vec<Vec<String>>> =
            serde_json::from_slice(json).map_err(|e| EventError::Malformed(e.to_string()))?;
        let bad = |field: &str| EventError::Malformed(format!("{field} is not lower-case hexadecimal"));
        if wire.created_at > CREATED_AT_MAX {
            return Err(EventError::Malformed("created_at out of range".to_owned()));
        }
        if wire.tags.iter().any(Vec::is_empty) {
            return Err(EventError::Malformed("an empty tag".to_owned()));
        }
        let long =
            |tag: &Vec<String>| tag.len() > TAG_VALUES_MAX || tag.iter().any(|value| value.len() > TAG_VALUE_BYTES_MAX);
        if wire.tags.len() > TAGS_MAX || wire.tags.iter().any(long) {
            return Err(EventError::Tags);
        }
        Ok(Unverified(Event {
            id: EventId(lower_hex(&wire.id).ok_or_else(|| bad("id"))?),
            pubkey: PubKey(lower_hex(&wire.pubkey).ok_or_else(|| bad("pubkey"))?),
            created_at: UnixSecs(wire.created_at),
            kind: wire.kind,
            tags: wire.tags,
            content: wire.content,
            sig: lower_hex(&wire.sig).ok_or_else(|| bad("sig"))?,
        }))
    }

    /// Reads an event and checks everything about it that needs no context: size, shape, id, signature.
    ///
    /// # Errors
    /// [`EventError`] says which of them is wrong.
    pub fn verify(json: &[u8]) -> Result<Event, EventError> {
        Event::parse(json)?.verify()
    }

    pub(crate) fn signed(
        pair: &Keypair,
        kind: u16,
        created_at: UnixSecs,
        tags: Vec<Vec<String>>,
        content: String,
        aux: &[u8; 32],
    ) -> Event {
        let mut event =
            Event { id: EventId([0; 32]), pubkey: secp::public(pair), created_at, kind, tags, content, sig: [0; 64] };
        event.id = event.compute_id();
        event.sig = secp::sign(pair, &event.id.0, aux);
        event
    }

    /// SHA-256 of the canonical array (NIP-01).
    fn compute_id(&self) -> EventId {
        let canonical = (0u8, self.pubkey, self.created_at, self.kind, &self.tags, &self.content);
        let mut hash = Sha256::new();
        // SAFETY: texts and numbers are JSON, and hashing does not fail.
        #[allow(clippy::expect_used)]
        serde_json::to_writer(HashWriter(&mut hash), &canonical).expect("texts and numbers are JSON");
        EventId(hash.finalize().into())
    }

    /// The event's JSON as it is stored and sent: compact, fields in the order of NIP-01.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            id: self.id.to_string(),
            pubkey: self.pubkey.to_string(),
            created_at: self.created_at.0,
            kind: self.kind,
            tags: &self.tags,
            content: self.content.clone(),
            sig: hex::encode(self.sig),
        };
        // SAFETY: texts and numbers are JSON.
        #[allow(clippy::expect_used)]
        serde_json::to_vec(&wire).expect("texts and numbers are JSON")
    }

    /// The event's id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Who signed it.
    pub fn pubkey(&self) -> PubKey {
        self.pubkey
    }

    /// When its author says it was made: a claim, nothing is ordered by it.
    pub fn created_at(&self) -> UnixSecs {
        self.created_at
    }

    /// What it is; see [`crate::kinds`].
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// All tags.
    pub fn tags(&self) -> &[Vec<String>] {
        &self.tags
    }

    /// The first value of the first tag of this name.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.first().is_some_and(|n| n == name))?.get(1).map(String::as_str)
    }

    /// Every tag of this name, each with its name in front.
    pub fn tags_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [String]> + 'a {
        self.tags.iter().filter(move |tag| tag.first().is_some_and(|n| n == name)).map(Vec::as_slice)
    }

    /// The content: JSON, or sealed text.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The BIP-340 signature over the id.
    pub fn sig(&self) -> &[u8; 64] {
        &self.sig
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
