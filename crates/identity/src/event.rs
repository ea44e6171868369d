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

    /// The author that the event claims.
    pub fn pubkey(&self) -> PubKey {
        self.0.pubkey
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NostrKey;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn key() -> NostrKey {
        NostrKey::generate([7; 32])
    }

    fn event() -> Event {
        let tags = vec![vec!["h".to_owned(), "x\u{7f}\u{1}\n\"\\ü".to_owned()], vec!["e".to_owned()]];
        key().sign(8731, UnixSecs(1_700_000_000), tags, "content \u{2028}\u{8}\t 😀".to_owned(), [9; 32])
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Event, EventError> {
        let mut value: Value = serde_json::from_slice(&event().to_json()).unwrap();
        change(&mut value);
        Event::verify(value.to_string().as_bytes())
    }

    #[test]
    fn round_trips_and_is_deterministic() {
        let event = event();
        assert_eq!(Event::verify(&event.to_json()).unwrap(), event);
        assert_eq!(event.to_json(), super::tests::event().to_json());
        assert_eq!(event.tag("h"), Some("x\u{7f}\u{1}\n\"\\ü"));
        assert_eq!(event.tag("e"), None);
        assert_eq!(event.tag("none"), None);
        assert_eq!(Event::parse(&event.to_json()).unwrap().id(), event.id());
    }

    #[test]
    fn another_implementation_agrees() {
        let theirs = serde_json::from_slice::<nostr::event::Event>(&event().to_json()).unwrap();
        assert!(theirs.verify_id() && theirs.verify_signature());
    }

    #[test]
    fn every_changed_field_has_its_error() {
        assert!(changed(|_| ()).is_ok());
        assert_eq!(changed(|v| v["content"] = json!("other")), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["kind"] = json!(8732)), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["created_at"] = json!(1)), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["tags"][0][1] = json!("y")), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["pubkey"] = json!("11".repeat(32))), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["id"] = json!("11".repeat(32))), Err(EventError::WrongId));
        assert_eq!(changed(|v| v["sig"] = json!("11".repeat(64))), Err(EventError::BadSignature));
        let upper = event().id().to_string().to_uppercase();
        for bad in [
            changed(|v| v["id"] = json!(upper)),
            changed(|v| v["sig"] = json!("11".repeat(63))),
            changed(|v| v["kind"] = json!(65_536)),
            changed(|v| v["created_at"] = json!(-1)),
            changed(|v| v["created_at"] = json!(u64::MAX)),
            changed(|v| v["created_at"] = json!(1.5)),
            changed(|v| v["tags"] = json!([[]])),
            changed(|v| v["tags"] = json!([[1]])),
            changed(|v| v["extra"] = json!(1)),
            changed(|v| drop(v.as_object_mut().unwrap().remove("sig"))),
            Event::verify(b"[]"),
            Event::verify(b""),
            Event::verify(b"{\"id\":\"\xff\"}"),
        ] {
            assert!(matches!(bad, Err(EventError::Malformed(_))), "{bad:?}");
        }
        let twice = String::from_utf8(event().to_json()).unwrap().replacen('{', "{\"kind\":1,", 1);
        assert!(matches!(Event::verify(twice.as_bytes()), Err(EventError::Malformed(_))));
        assert_eq!(changed(|v| v["tags"] = json!(vec![["t"]; TAGS_MAX + 1])), Err(EventError::Tags));
        assert_eq!(changed(|v| v["tags"] = json!([vec!["t"; TAG_VALUES_MAX + 1]])), Err(EventError::Tags));
        let long = "x".repeat(TAG_VALUE_BYTES_MAX + 1);
        assert_eq!(changed(|v| v["tags"] = json!([["t", long]])), Err(EventError::Tags));
        let len = EVENT_BYTES_MAX + 1;
        assert_eq!(Event::verify(&vec![b' '; len]), Err(EventError::TooLarge { len }));
        assert!(matches!(Event::verify("[".repeat(EVENT_BYTES_MAX).as_bytes()), Err(EventError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_content_survives(content in ".{0,200}", tag in ".{1,50}") {
            let made = key().sign(1, UnixSecs(5), vec![vec![tag]], content, [0; 32]);
            prop_assert_eq!(Event::verify(&made.to_json()).unwrap(), made);
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in 0usize..400, bit in 0u8..8) {
            let mut json = event().to_json();
            let at = at % json.len();
            json[at] ^= 1 << bit;
            prop_assert!(Event::verify(&json).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Event::verify(&bytes).is_err());
        }
    }
}
