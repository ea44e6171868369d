//! Secret keys and the text that keeps them in a file.
//!
//! A key file is lines of text: `townmesh-key <version> <what>`, then `<name> <secret hex> <public hex>` per key.
//! The public half is there to notice damage. Reading and writing files (mode 0600) is the shell's.

use crate::event::{Event, lower_hex};
use crate::secp;
use ed25519_dalek::{Signer, SigningKey};
use secp256k1::Keypair;
use sha2::{Digest, Sha256};
use std::fmt;
use types::{PeerId, PubKey, UnixSecs};
use zeroize::Zeroizing;

/// Version of the key file's text.
pub const KEY_FILE_VERSION: u32 = 1;

/// Longest key file in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 4_096;

/// Why a text is not the key that was asked for. Never holds key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Longer than [`KEY_FILE_BYTES_MAX`].
    #[error("key file longer than {KEY_FILE_BYTES_MAX} bytes")]
    TooLong,
    /// The first line is not that of a key file.
    #[error("not a townmesh key file")]
    NotAKeyFile,
    /// Written by a newer program.
    #[error("key file version {0} is newer than this program")]
    Newer(u32),
    /// The key of something else.
    #[error("expected the key of {expected}")]
    WrongKind {
        /// What was asked for.
        expected: &'static str,
    },
    /// A key is missing, damaged, there twice, or no valid secret.
    #[error("the {0} key is missing or damaged")]
    Damaged(&'static str),
}

/// A Nostr key pair. The secret is erased when it is dropped.
pub struct NostrKey {
    pair: Keypair,
    public: PubKey,
}

impl NostrKey {
    /// A key from 32 random bytes. The same bytes give the same key.
    pub fn generate(entropy: [u8; 32]) -> NostrKey {
        let mut seed = Zeroizing::new(entropy);
        loop {
            // One try in 2^128 is no valid secret; then its hash is tried.
            if let Some(key) = NostrKey::from_bytes(&seed) {
                return key;
            }
            *seed = Sha256::digest(*seed).into();
        }
    }

    /// The key with this secret, if it is a valid one.
    pub fn from_bytes(secret: &[u8; 32]) -> Option<NostrKey> {
        let pair = secp::keypair(secret)?;
        Some(NostrKey { public: secp::public(&pair), pair })
    }

    /// The public key.
    pub fn public(&self) -> PubKey {
        self.public
    }

    /// The secret, for a key file.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.pair.secret_bytes())
    }

    /// Signs an event. `aux` is BIP-340's auxiliary randomness: 32 fresh random bytes; the result depends on nothing
    /// but the arguments. The size is not checked: who makes an event knows what it holds.
    pub fn sign(
        &self,
        kind: u16,
        created_at: UnixSecs,
        tags: Vec<Vec<String>>,
        content: String,
        aux: [u8; 32],
    ) -> Event {
        Event::signed(&self.pair, kind, created_at, tags, content, &aux)
    }

    /// Signs a digest that is not an event's id.
    pub(crate) fn sign_digest(&self, digest: &[u8; 32], aux: &[u8; 32]) -> [u8; 64] {
        secp::sign(&self.pair, digest, aux)
    }
}

impl Clone for NostrKey {
    fn clone(&self) -> NostrKey {
        NostrKey { pair: self.pair, public: self.public }
    }
}

impl Drop for NostrKey {
    fn drop(&mut self) {
        self.pair.non_secure_erase();
    }
}

impl fmt::Debug for NostrKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NostrKey({}, secret redacted)", self.public.fmt_short())
    }
}

/// A machine's two keys: the Ed25519 key of its libp2p peer id, and its Nostr key.
#[derive(Clone)]
pub struct HostKey {
    peer: SigningKey,
    nostr: NostrKey,
}

impl HostKey {
    /// A host's keys from 32 random bytes each.
    pub fn generate(peer: [u8; 32], nostr: [u8; 32]) -> HostKey {
        let peer = Zeroizing::new(peer);
        HostKey { peer: SigningKey::from_bytes(&peer), nostr: NostrKey::generate(nostr) }
    }

    /// The libp2p peer id.
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_ed25519(self.peer.verifying_key().to_bytes())
    }

    /// The host's public Nostr key.
    pub fn npub(&self) -> PubKey {
        self.nostr.public()
    }

    /// The host's Nostr key, which signs events.
    pub fn nostr(&self) -> &NostrKey {
        &self.nostr
    }

    /// The Ed25519 secret, for libp2p.
    pub fn peer_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.peer.to_bytes())
    }

    pub(crate) fn sign_as_peer(&self, message: &[u8]) -> [u8; 64] {
        self.peer.sign(message).to_bytes()
    }

    /// The text of the key file.
    pub fn encode(&self) -> Zeroizing<String> {
        let peer = (self.peer_secret(), *self.peer_id().ed25519());
        encode("host", &[("peer", peer), ("nostr", halves(&self.nostr))])
    }

    /// Reads [`HostKey::encode`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn decode(text: &str) -> Result<HostKey, KeyError> {
        let body = header(text, "host")?;
        let (secret, public) = line(body, "peer")?;
        let key = HostKey { peer: SigningKey::from_bytes(&secret), nostr: nostr_line(body, "nostr")? };
        if *key.peer_id().ed25519() != public {
            return Err(KeyError::Damaged("peer"));
        }
        Ok(key)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({}, secrets redacted)", self.peer_id().fmt_short())
    }
}

/// An owner's key, and the one that will follow it: charters commit to the next key before it is ever used,
/// so that a thief of the current one cannot take a space over.
#[derive(Clone)]
pub struct OwnerKey {
    current: NostrKey,
    next: NostrKey,
}

impl OwnerKey {
    /// An owner's keys from 32 random bytes each.
    pub fn generate(current: [u8; 32], next: [u8; 32]) -> OwnerKey {
        OwnerKey { current: NostrKey::generate(current), next: NostrKey::generate(next) }
    }

    /// The public key that others know the owner by.
    pub fn npub(&self) -> PubKey {
        self.current.public()
    }

    /// The key that signs charters and attestations.
    pub fn nostr(&self) -> &NostrKey {
        &self.current
    }

    /// What a charter says about the next key.
    pub fn commitment(&self) -> Commitment {
        Commitment::to(&self.next.public())
    }

    /// The owner's keys after a rotation: the next key becomes the current one, and 32 random bytes the next.
    pub fn rotate(&self, next: [u8; 32]) -> OwnerKey {
        OwnerKey { current: self.next.clone(), next: NostrKey::generate(next) }
    }

    /// The text of the key file.
    pub fn encode(&self) -> Zeroizing<String> {
        encode("owner", &[("nostr", halves(&self.current)), ("next", halves(&self.next))])
    }

    /// Reads [`OwnerKey::encode`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn decode(text: &str) -> Result<OwnerKey, KeyError> {
        let body = header(text, "owner")?;
        Ok(OwnerKey { current: nostr_line(body, "nostr")?, next: nostr_line(body, "next")? })
    }
}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerKey({}, secrets redacted)", self.npub().fmt_short())
    }
}

/// An agent's key.
#[derive(Clone)]
pub struct AgentKey(NostrKey);

impl AgentKey {
    /// An agent's key from 32 random bytes. It is never derived from the owner's.
    pub fn generate(entropy: [u8; 32]) -> AgentKey {
        AgentKey(NostrKey::generate(entropy))
    }

    /// The agent's public key.
    pub fn npub(&self) -> PubKey {
        self.0.public()
    }

    /// The key that signs.
    pub fn nostr(&self) -> &NostrKey {
        &self.0
    }

    /// The text of the key file.
    pub fn encode(&self) -> Zeroizing<String> {
        encode("agent", &[("nostr", halves(&self.0))])
    }

    /// Reads [`AgentKey::encode`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn decode(text: &str) -> Result<AgentKey, KeyError> {
        Ok(AgentKey(nostr_line(header(text, "agent")?, "nostr")?))
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({}, secret redacted)", self.npub().fmt_short())
    }
}

/// A hash commitment to a public key that is not yet known: SHA-256 over a domain and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commitment(pub [u8; 32]);

impl Commitment {
    /// The commitment to `key`.
    pub fn to(key: &PubKey) -> Commitment {
        Commitment(Sha256::new().chain_update(b"townmesh/next-owner/1").chain_update(key.0).finalize().into())
    }
}

type Halves = (Zeroizing<[u8; 32]>, [u8; 32]);

fn halves(key: &NostrKey) -> Halves {
    (key.secret_bytes(), key.public().0)
}

fn encode(what: &str, keys: &[(&str, Halves)]) -> Zeroizing<String> {
    // Sized in advance: a growing text would leave copies of secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES_MAX));
    text.push_str(&format!("townmesh-key {KEY_FILE_VERSION} {what}\n"));
    for (name, (secret, public)) in keys {
        text.push_str(name);
        text.push(' ');
        text.push_str(&Zeroizing::new(hex::encode(**secret)));
        text.push(' ');
        text.push_str(&hex::encode(public));
        text.push('\n');
    }
    text
}

fn header<'a>(text: &'a str, expected: &'static str) -> Result<&'a str, KeyError> {
    if text.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    let (first, body) = text.split_once('\n').ok_or(KeyError::NotAKeyFile)?;
    let mut words = first.trim_end().split(' ');
    if words.next() != Some("townmesh-key") {
        return Err(KeyError::NotAKeyFile);
    }
    let version: u32 = words.next().and_then(|v| v.parse().ok()).ok_or(KeyError::NotAKeyFile)?;
    if version == 0 {
        return Err(KeyError::NotAKeyFile);
    }
    if version > KEY_FILE_VERSION {
        return Err(KeyError::Newer(version));
    }
    match (words.next(), words.next()) {
        (Some(what), None) if what == expected => Ok(body),
        _ => Err(KeyError::WrongKind { expected }),
    }
}

fn line(body: &str, name: &'static str) -> Result<Halves, KeyError> {
    let mut found = body.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    let (Some(rest), None) = (found.next(), found.next()) else { return Err(KeyError::Damaged(name)) };
    let (secret, public) = rest.trim_end().split_once(' ').ok_or(KeyError::Damaged(name))?;
    let secret = Zeroizing::new(lower_hex::<32>(secret).ok_or(KeyError::Damaged(name))?);
    Ok((secret, lower_hex(public).ok_or(KeyError::Damaged(name))?))
}

fn nostr_line(body: &str, name: &'static str) -> Result<NostrKey, KeyError> {
    let (secret, public) = line(body, name)?;
    let key = NostrKey::from_bytes(&secret).ok_or(KeyError::Damaged(name))?;
    if key.public().0 == public { Ok(key) } else { Err(KeyError::Damaged(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_round_trip() {
        let host = HostKey::generate([1; 32], [2; 32]);
        let back = HostKey::decode(&host.encode()).unwrap();
        assert_eq!((back.peer_id(), back.npub()), (host.peer_id(), host.npub()));
        let owner = OwnerKey::generate([3; 32], [4; 32]);
        let back = OwnerKey::decode(&owner.encode()).unwrap();
        assert_eq!((back.npub(), back.commitment()), (owner.npub(), owner.commitment()));
        let agent = AgentKey::generate([5; 32]);
        assert_eq!(AgentKey::decode(&agent.encode()).unwrap().npub(), agent.npub());
    }

    #[test]
    fn a_rotation_keeps_its_promise() {
        let owner = OwnerKey::generate([3; 32], [4; 32]);
        let next = owner.rotate([5; 32]);
        assert_eq!(owner.commitment(), Commitment::to(&next.npub()));
        assert_ne!(owner.commitment(), next.commitment());
    }

    #[test]
    fn damaged_files_are_refused() {
        let good = HostKey::generate([1; 32], [2; 32]).encode();
        let err = |text: &str| HostKey::decode(text).unwrap_err();
        assert_eq!(err(""), KeyError::NotAKeyFile);
        assert_eq!(err("hello\nworld\n"), KeyError::NotAKeyFile);
        assert_eq!(err(&good.replace("key 1", "key 2")), KeyError::Newer(2));
        assert_eq!(err(&good.replace(" host", " owner")), KeyError::WrongKind { expected: "host" });
        assert_eq!(OwnerKey::decode(&good).unwrap_err(), KeyError::WrongKind { expected: "owner" });
        assert_eq!(err(&good.replace("\npeer ", "\nother ")), KeyError::Damaged("peer"));
        assert_eq!(err(&format!("{}{}", &**good, good.lines().last().unwrap())), KeyError::Damaged("nostr"));
        assert_eq!(err(&"x".repeat(5_000)), KeyError::TooLong);
        let at = good.find("peer ").unwrap() + 5;
        let flipped = if good.as_bytes()[at] == b'0' { "1" } else { "0" };
        assert_eq!(err(&format!("{}{flipped}{}", &good[..at], &good[at + 1..])), KeyError::Damaged("peer"));
        let at = good.find("nostr ").unwrap() + 6;
        let zero = format!("{}{}{}", &good[..at], "0".repeat(64), &good[at + 64..]);
        assert_eq!(err(&zero), KeyError::Damaged("nostr"));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (host, owner, agent) =
            (HostKey::generate([1; 32], [2; 32]), OwnerKey::generate([3; 32], [4; 32]), AgentKey::generate([5; 32]));
        let printed = format!("{host:?} {owner:?} {agent:?} {:?} {host:#?}", owner.nostr());
        for secret in [
            host.peer_secret(),
            host.nostr().secret_bytes(),
            owner.current.secret_bytes(),
            owner.next.secret_bytes(),
            agent.nostr().secret_bytes(),
        ] {
            assert!(!printed.contains(&hex::encode(*secret)) && !printed.contains(&format!("{:?}", *secret)));
            assert!(!printed.contains(&hex::encode(&secret[..4])));
        }
    }

    #[test]
    fn a_useless_seed_still_gives_a_key() {
        let key = NostrKey::generate([0; 32]);
        assert_eq!(key.public(), NostrKey::from_bytes(&Sha256::digest([0; 32]).into()).unwrap().public());
    }
}
