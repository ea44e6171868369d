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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;

    const NOW: UnixSecs = UnixSecs(1_000_000);
    const END: UnixSecs = UnixSecs(1_000_000 + 3_600);

    fn host() -> HostKey {
        HostKey::generate([1; 32], [2; 32])
    }

    fn owner() -> NostrKey {
        NostrKey::generate([3; 32])
    }

    fn card() -> Event {
        let conditions = Conditions::none().kind(kinds::HOST_CARD);
        let attestation = Attestation::issue(&owner(), &host().npub(), conditions, [4; 32]).to_json();
        HostCard::issue(&host(), "server", &["sync/1", "git/1"], NOW, END, Some(&attestation), [5; 32])
    }

    /// The card with one tag changed and signed anew by the host's own key.
    fn resigned(kind: u16, change: impl FnOnce(&mut Vec<Vec<String>>)) -> Result<HostCard, CardError> {
        let mut tags = card().tags().to_vec();
        change(&mut tags);
        HostCard::verify(&host().nostr().sign(kind, NOW, tags, String::new(), [0; 32]), NOW)
    }

    fn set(name: &str, value: &str) -> Result<HostCard, CardError> {
        resigned(kinds::HOST_CARD, |tags| {
            for tag in tags.iter_mut().filter(|t| t[0] == name) {
                tag[1] = value.to_owned();
            }
        })
    }

    #[test]
    fn a_card_says_what_was_put_in() {
        let event = Event::verify(&card().to_json()).unwrap();
        let card = HostCard::verify(&event, NOW).unwrap();
        assert_eq!((card.npub, card.peer_id), (host().npub(), host().peer_id()));
        assert_eq!((card.name.as_str(), card.capabilities), ("server", vec!["sync/1".to_owned(), "git/1".to_owned()]));
        assert_eq!((card.issued, card.expires, card.owner), (NOW, END, Some(owner().public())));
        let plain = HostCard::issue(&host(), "s", &[], NOW, END, Some("damaged"), [5; 32]);
        assert_eq!(HostCard::verify(&plain, NOW).unwrap().owner, None);
    }

    #[test]
    fn every_tampering_has_its_error() {
        assert!(resigned(kinds::HOST_CARD, |_| ()).is_ok());
        assert_eq!(resigned(kinds::AGENT_CARD, |_| ()), Err(CardError::WrongKind));
        let other = HostKey::generate([9; 32], [2; 32]).peer_id().to_string();
        assert_eq!(set("d", &other), Err(CardError::BadPeerSignature));
        assert_eq!(set("d", "x"), Err(CardError::Field("d")));
        assert_eq!(set("v", "2"), Err(CardError::Version));
        assert_eq!(set("name", "a\u{1b}[31m"), Err(CardError::Field("name")));
        assert_eq!(set("name", &"x".repeat(300)), Err(CardError::Field("name")));
        assert_eq!(set("expiration", &(END.0 + 1).to_string()), Err(CardError::BadPeerSignature));
        assert_eq!(set("expiration", "soon"), Err(CardError::Field("expiration")));
        assert_eq!(set("expiration", &(NOW.0 + CARD_SECS_MAX + 1).to_string()), Err(CardError::TooLongLived));
        assert_eq!(set("peersig", &"00".repeat(64)), Err(CardError::BadPeerSignature));
        assert_eq!(set("peersig", "00"), Err(CardError::Field("peersig")));
        let stranger = NostrKey::generate([8; 32]).public().to_string();
        assert_eq!(set("auth", &stranger), Err(CardError::Attestation(AttestationError::BadSignature)));
        let twice = |name: &'static str| {
            resigned(kinds::HOST_CARD, move |tags| {
                let copy = tags.iter().find(|t| t[0] == name).cloned().unwrap();
                tags.push(copy);
            })
        };
        for name in ["d", "v", "name", "expiration", "peersig", "cap"] {
            assert_eq!(twice(name), Err(CardError::Field(name)));
        }
        assert_eq!(twice("auth"), Err(CardError::Attestation(AttestationError::Malformed)));
        for name in ["d", "v", "name", "expiration", "peersig"] {
            assert_eq!(resigned(kinds::HOST_CARD, |tags| tags.retain(|t| t[0] != name)), Err(CardError::Field(name)));
        }
    }

    #[test]
    fn a_card_of_another_key_with_this_peers_signature_is_refused() {
        let thief = NostrKey::generate([7; 32]);
        let event = thief.sign(kinds::HOST_CARD, NOW, card().tags().to_vec(), String::new(), [0; 32]);
        assert_eq!(HostCard::verify(&event, NOW), Err(CardError::BadPeerSignature));
    }

    #[test]
    fn times_are_checked() {
        assert_eq!(HostCard::verify(&card(), END), Err(CardError::Expired));
        assert!(HostCard::verify(&card(), UnixSecs(END.0 - 1)).is_ok());
        assert_eq!(HostCard::verify(&card(), UnixSecs(NOW.0 - CARD_AHEAD_SECS_MAX - 1)), Err(CardError::Early));
        assert!(HostCard::verify(&card(), UnixSecs(NOW.0 - CARD_AHEAD_SECS_MAX)).is_ok());
    }

    #[test]
    fn agents_are_attested() {
        let agent = NostrKey::generate([6; 32]);
        let address: Address = "server:app/crew/max".parse().unwrap();
        let attestation = Attestation::issue(host().nostr(), &agent.public(), Conditions::none(), [1; 32]);
        let event = AgentCard::issue(&agent, &address, &attestation, NOW, END, [2; 32]);
        let card = AgentCard::verify(&event, NOW).unwrap();
        assert_eq!((card.npub, card.address, card.attested_by), (agent.public(), address.clone(), host().npub()));
        let foreign = AgentCard::issue(&owner(), &address, &attestation, NOW, END, [2; 32]);
        assert_eq!(AgentCard::verify(&foreign, NOW), Err(CardError::Attestation(AttestationError::BadSignature)));
        let tags = event.tags().iter().filter(|t| t[0] != AUTH_TAG).cloned().collect();
        let bare = agent.sign(kinds::AGENT_CARD, NOW, tags, String::new(), [0; 32]);
        assert_eq!(AgentCard::verify(&bare, NOW), Err(CardError::Field("auth")));
    }
}
