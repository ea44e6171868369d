//! Cards: what hosts and agents say of themselves, signed.

use crate::attest::AUTH_TAG;
use crate::event::lower_hex;
use crate::text::is_label;
use crate::{Attestation, AttestationError, Event, HostKey, NostrKey, kinds};
use ed25519_dalek::{Signature, VerifyingKey};
use types::{Address, PeerId, PubKey, UnixSecs};

/// Longest life of a card in seconds: 30 days.
pub const CARD_SECS_MAX: u64 = 30 * 24 * 3600;

/// How far ahead of our clock a card may have been issued, in seconds.
pub const CARD_AHEAD_SECS_MAX: u64 = 600;

/// Abilities that one card may list.
pub const CAPABILITIES_MAX: usize = 32;

/// Why a card is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// An event of another kind.
    #[error("not a card of this kind")]
    WrongKind,
    /// A field is missing, malformed, too long or there twice.
    #[error("the card's {0} is missing or malformed")]
    Field(&'static str),
    /// A format that this program does not know.
    #[error("the card's version is unknown")]
    Version,
    /// Its time is over.
    #[error("the card expired")]
    Expired,
    /// Issued too far in the future.
    #[error("the card is issued in the future")]
    Early,
    /// Valid for longer than [`CARD_SECS_MAX`].
    #[error("the card is valid for longer than 30 days")]
    TooLongLived,
    /// The peer key's signature is not over this card.
    #[error("the peer key did not sign this card")]
    BadPeerSignature,
    /// The attestation does not hold.
    #[error("attestation: {0}")]
    Attestation(#[from] AttestationError),
}

/// A verified host card (kind 38733): a Nostr key and a peer id that vouch for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCard {
    /// The host's Nostr key.
    pub npub: PubKey,
    /// Its libp2p peer id.
    pub peer_id: PeerId,
    /// The machine's name, as it calls itself.
    pub name: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// When the card was issued.
    pub issued: UnixSecs,
    /// When it ends.
    pub expires: UnixSecs,
    /// Whose host it is, when the owner attested that.
    pub owner: Option<PubKey>,
}

fn tag(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn peer_message(npub: &PubKey, peer: &PeerId, issued: UnixSecs, expires: UnixSecs) -> Vec<u8> {
    let parts: [&[u8]; 5] =
        [b"townmesh/host-card/1", &npub.0, peer.ed25519(), &issued.0.to_be_bytes(), &expires.0.to_be_bytes()];
    parts.concat()
}

/// The value of a tag that must be there exactly once.
fn once<'a>(event: &'a Event, name: &'static str) -> Result<&'a str, CardError> {
    let mut tags = event.tags_named(name);
    match (tags.next(), tags.next()) {
        (Some([_, value]), None) => Ok(value),
        _ => Err(CardError::Field(name)),
    }
}

/// The tags that every card has.
fn common(d: String, name: Option<&str>, expires: UnixSecs) -> Vec<Vec<String>> {
    let mut tags = vec![tag("d", d), tag("v", proto::names::EVENT_VERSION.to_string())];
    tags.extend(name.map(|name| tag("name", name.to_owned())));
    tags.push(tag("expiration", expires.0.to_string()));
    tags
}

fn check_common(event: &Event, kind: u16, now: UnixSecs) -> Result<UnixSecs, CardError> {
    if event.kind() != kind {
        return Err(CardError::WrongKind);
    }
    if once(event, "v")? != proto::names::EVENT_VERSION.to_string() {
        return Err(CardError::Version);
    }
    let expires: u64 = once(event, "expiration")?.parse().map_err(|_| CardError::Field("expiration"))?;
    let issued = event.created_at().0;
    if expires <= now.0 {
        return Err(CardError::Expired);
    }
    if issued > now.0.saturating_add(CARD_AHEAD_SECS_MAX) {
        return Err(CardError::Early);
    }
    if expires.saturating_sub(issued) > CARD_SECS_MAX {
        return Err(CardError::TooLongLived);
    }
    Ok(UnixSecs(expires))
}

fn attested_by(event: &Event) -> Result<Option<PubKey>, CardError> {
    let mut tags = event.tags_named(AUTH_TAG);
    let Some(first) = tags.next() else { return Ok(None) };
    if tags.next().is_some() {
        return Err(AttestationError::Malformed.into());
    }
    let attestation = Attestation::from_tag(first)?;
    attestation.verify(&event.pubkey(), event.kind(), event.created_at())?;
    Ok(Some(attestation.owner))
}

impl HostCard {
    /// Signs a card with both of the host's keys.
    ///
    /// `attestation` is the owner's, as JSON ([`Attestation::to_json`]); one that cannot be read is left out, so that
    /// damage on disk costs the attestation and not the card. `aux` is 32 fresh random bytes.
    pub fn issue(
        key: &HostKey,
        name: &str,
        capabilities: &[&str],
        issued: UnixSecs,
        expires: UnixSecs,
        attestation: Option<&str>,
        aux: [u8; 32],
    ) -> Event {
        let peer = key.peer_id();
        let mut tags = common(peer.to_string(), Some(name), expires);
        if !capabilities.is_empty() {
            tags.push(["cap"].iter().chain(capabilities).map(|c| (*c).to_owned()).collect());
        }
        let message = peer_message(&key.npub(), &peer, issued, expires);
        tags.push(tag("peersig", hex::encode(key.sign_as_peer(&message))));
        tags.extend(attestation.and_then(|json| Attestation::from_json(json).ok()).map(|a| a.to_tag()));
        key.nostr().sign(kinds::HOST_CARD, issued, tags, String::new(), aux)
    }

    /// Checks a card: fields, times, the peer key's signature, and the attestation when there is one.
    /// Whether the peer is who it says on this connection is for the caller to compare.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn verify(event: &Event, now: UnixSecs) -> Result<HostCard, CardError> {
        let expires = check_common(event, kinds::HOST_CARD, now)?;
        let peer_id: PeerId = once(event, "d")?.parse().map_err(|_| CardError::Field("d"))?;
        let name = once(event, "name")?;
        if !is_label(name) {
            return Err(CardError::Field("name"));
        }
        let mut caps = event.tags_named("cap");
        let capabilities: Vec<String> = caps.next().map(|tag| tag[1..].to_vec()).unwrap_or_default();
        if caps.next().is_some() || capabilities.len() > CAPABILITIES_MAX || !capabilities.iter().all(|c| is_label(c)) {
            return Err(CardError::Field("cap"));
        }
        let sig: [u8; 64] = lower_hex(once(event, "peersig")?).ok_or(CardError::Field("peersig"))?;
        let message = peer_message(&event.pubkey(), &peer_id, event.created_at(), expires);
        let key = VerifyingKey::from_bytes(peer_id.ed25519()).map_err(|_| CardError::Field("d"))?;
        key.verify_strict(&message, &Signature::from_bytes(&sig)).map_err(|_| CardError::BadPeerSignature)?;
        Ok(HostCard {
            npub: event.pubkey(),
            peer_id,
            name: name.to_owned(),
            capabilities,
            issued: event.created_at(),
            expires,
            owner: attested_by(event)?,
        })
    }
}

/// A verified agent card (kind 38732): an agent's key, attested by its host or owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCard {
    /// The agent's key.
    pub npub: PubKey,
    /// Where it works.
    pub address: Address,
    /// The host or owner that attested it.
    pub attested_by: PubKey,
    /// When the card was issued.
    pub issued: UnixSecs,
    /// When it ends.
    pub expires: UnixSecs,
}

impl AgentCard {
    /// Signs a card with the agent's key. `aux` is 32 fresh random bytes.
    pub fn issue(
        agent: &NostrKey,
        address: &Address,
        attestation: &Attestation,
        issued: UnixSecs,
        expires: UnixSecs,
        aux: [u8; 32],
    ) -> Event {
        let mut tags = common(address.to_string(), None, expires);
        tags.push(attestation.to_tag());
        agent.sign(kinds::AGENT_CARD, issued, tags, String::new(), aux)
    }

    /// Checks a card. Whether `attested_by` is someone to believe is for the caller to decide.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn verify(event: &Event, now: UnixSecs) -> Result<AgentCard, CardError> {
        let expires = check_common(event, kinds::AGENT_CARD, now)?;
        Ok(AgentCard {
            npub: event.pubkey(),
            address: once(event, "d")?.parse().map_err(|_| CardError::Field("d"))?,
            attested_by: attested_by(event)?.ok_or(CardError::Field(AUTH_TAG))?,
            issued: event.created_at(),
            expires,
        })
    }
}
