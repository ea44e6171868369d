//! Sealing what belongs to a private space, and handing its keys to members.

use crate::NostrKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use nostr::nips::nip44;
use sha2::{Digest, Sha256};
use std::fmt;
use types::{KeyId, PubKey, SpaceId};
use zeroize::Zeroizing;

/// Version of the sealed form.
pub const SEAL_VERSION: u8 = 1;

const NONCE_LEN: usize = 24;
const MAC_LEN: usize = 16;

/// Longest wrapped key in characters. NIP-44 pads a key's text to 132 characters.
const WRAPPED_MAX: usize = 512;

/// What the text of a wrapped key begins with.
const WRAP_PREFIX: &str = "townmesh/space-key/1:";

/// Why something sealed does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Larger than the caller allows.
    #[error("sealed text of {len} characters where the content may have {max} bytes")]
    TooLarge {
        /// Characters that came.
        len: usize,
        /// Bytes of content that are allowed.
        max: usize,
    },
    /// Not base64, or too short to be sealed.
    #[error("malformed sealed text")]
    Malformed,
    /// Sealed by a newer program.
    #[error("seal version {0} is unknown")]
    Version(u8),
    /// Another key, author, kind or space, or changed on the way.
    #[error("the seal does not fit its key, author, kind or space")]
    Broken,
}

/// Why a wrapped key does not unwrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Longer than any wrapped key.
    #[error("wrapped key of {0} characters")]
    TooLong(usize),
    /// Not meant for this key, not from that sender, or changed on the way.
    #[error("the wrapped key is not for us or was changed")]
    Broken,
    /// It opens, but no space key is inside.
    #[error("no space key inside")]
    Malformed,
}

/// A space's symmetric key. Erased when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SpaceKey(Zeroizing<[u8; 32]>);

impl SpaceKey {
    /// A key from 32 random (or kept) bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> SpaceKey {
        SpaceKey(Zeroizing::new(bytes))
    }

    /// The bytes, for the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's public name: its SHA-256.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::digest(*self.0).into())
    }
}

impl fmt::Debug for SpaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpaceKey({}, secret redacted)", self.id().fmt_short())
    }
}

/// HMAC-SHA256.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // SAFETY: HMAC takes keys of any length.
    #[allow(clippy::expect_used)]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

fn derived(key: &SpaceKey, domain: &[u8]) -> String {
    hex::encode(&mac(key.as_bytes(), &[domain]).finalize().into_bytes()[..16])
}

/// The `h` tag of a private space: tells nobody else which space an event belongs to. `secret` is the space's first key.
pub fn h_tag(secret: &SpaceKey) -> String {
    derived(secret, b"townmesh/h/1")
}

/// The gossip topic of a private space under one of its keys.
pub fn topic(key: &SpaceKey) -> String {
    derived(key, b"townmesh/topic/1")
}

/// The gossip topic of a public space.
pub fn public_topic(space: &SpaceId) -> String {
    let hash = Sha256::new().chain_update(b"townmesh/topic/public/1").chain_update(space.0).finalize();
    hex::encode(&hash[..16])
}

/// What a seal is bound to; `h` comes last because its length varies.
fn associated(key: &SpaceKey, author: &PubKey, kind: u16, h: &str) -> Vec<u8> {
    let parts: [&[u8]; 6] =
        [b"townmesh/seal", &[SEAL_VERSION], &author.0, &kind.to_be_bytes(), &key.id().0, h.as_bytes()];
    parts.concat()
}

fn cipher(key: &SpaceKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key.as_bytes()))
}

/// Seals content: base64 of version ‖ nonce ‖ XChaCha20-Poly1305. `nonce` is 24 fresh random bytes.
pub fn seal(key: &SpaceKey, author: &PubKey, kind: u16, h: &str, plain: &[u8], nonce: [u8; NONCE_LEN]) -> String {
    let aad = associated(key, author, kind, h);
    // SAFETY: the cipher refuses only contents beyond 256 GiB.
    #[allow(clippy::expect_used)]
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad }).expect("fits");
    STANDARD.encode([&[SEAL_VERSION][..], &nonce, &sealed].concat())
}

/// Opens what [`seal`] made; the content may have at most `bytes_max` bytes.
///
/// # Errors
/// [`SealError`].
pub fn open(
    key: &SpaceKey,
    author: &PubKey,
    kind: u16,
    h: &str,
    sealed: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, SealError> {
    let text_max = bytes_max.saturating_add(1 + NONCE_LEN + MAC_LEN).div_ceil(3).saturating_mul(4);
    if sealed.len() > text_max {
        return Err(SealError::TooLarge { len: sealed.len(), max: bytes_max });
    }
    let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Malformed)?;
    let (version, rest) = bytes.split_first().ok_or(SealError::Malformed)?;
    if *version != SEAL_VERSION {
        return Err(SealError::Version(*version));
    }
    let (nonce, msg) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
    if msg.len() < MAC_LEN {
        return Err(SealError::Malformed);
    }
    let aad = associated(key, author, kind, h);
    let plain =
        cipher(key).decrypt(&XNonce::from(*nonce), Payload { msg, aad: &aad }).map_err(|_| SealError::Broken)?;
    if plain.len() > bytes_max {
        return Err(SealError::TooLarge { len: sealed.len(), max: bytes_max });
    }
    Ok(plain)
}

fn nostr_secret(key: &NostrKey) -> Option<nostr::key::SecretKey> {
    nostr::key::SecretKey::from_slice(&*key.secret_bytes()).ok()
}

/// Encrypts a space key to a member (NIP-44 v2). `nonce` is 32 fresh random bytes.
///
/// # Errors
/// [`WrapError::Broken`] when `to` is no point of the curve.
pub fn wrap_key(key: &SpaceKey, to: &PubKey, from: &NostrKey, nonce: [u8; 32]) -> Result<String, WrapError> {
    let secret = nostr_secret(from).ok_or(WrapError::Broken)?;
    let text = Zeroizing::new(format!("{WRAP_PREFIX}{}", &*Zeroizing::new(hex::encode(key.as_bytes()))));
    let to = nostr::key::PublicKey::from_byte_array(to.0);
    nip44::encrypt_with_nonce(&secret, &to, text.as_bytes(), nip44::Nonce::V2(nonce)).map_err(|_| WrapError::Broken)
}

/// Decrypts a space key that `from` wrapped for `to`.
///
/// # Errors
/// [`WrapError`].
pub fn unwrap_key(wrapped: &str, from: &PubKey, to: &NostrKey) -> Result<SpaceKey, WrapError> {
    if wrapped.len() > WRAPPED_MAX {
        return Err(WrapError::TooLong(wrapped.len()));
    }
    let secret = nostr_secret(to).ok_or(WrapError::Broken)?;
    let from = nostr::key::PublicKey::from_byte_array(from.0);
    let text = nip44::decrypt(&secret, &from, wrapped).map(Zeroizing::new).map_err(|_| WrapError::Broken)?;
    let hexed = text.strip_prefix(WRAP_PREFIX).ok_or(WrapError::Malformed)?;
    crate::event::lower_hex(hexed).map(SpaceKey::from_bytes).ok_or(WrapError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(n: u8) -> SpaceKey {
        SpaceKey::from_bytes([n; 32])
    }

    const AUTHOR: PubKey = PubKey([5; 32]);

    fn sealed() -> String {
        seal(&key(1), &AUTHOR, 8731, "h", b"hello", [2; 24])
    }

    #[test]
    fn opens_only_where_it_belongs() {
        let text = sealed();
        assert_eq!(open(&key(1), &AUTHOR, 8731, "h", &text, 5).unwrap(), b"hello");
        assert_eq!(open(&key(2), &AUTHOR, 8731, "h", &text, 5), Err(SealError::Broken));
        assert_eq!(open(&key(1), &PubKey([6; 32]), 8731, "h", &text, 5), Err(SealError::Broken));
        assert_eq!(open(&key(1), &AUTHOR, 8732, "h", &text, 5), Err(SealError::Broken));
        assert_eq!(open(&key(1), &AUTHOR, 8731, "g", &text, 5), Err(SealError::Broken));
    }

    #[test]
    fn hostile_texts_have_their_errors() {
        let open = |text: &str, max| open(&key(1), &AUTHOR, 8731, "h", text, max);
        assert_eq!(open("", 9), Err(SealError::Malformed));
        assert_eq!(open("!!!!", 9), Err(SealError::Malformed));
        assert_eq!(open(&STANDARD.encode([1; 20]), 9), Err(SealError::Malformed));
        assert_eq!(open(&STANDARD.encode([1; 40]), 9), Err(SealError::Malformed));
        assert_eq!(open(&STANDARD.encode([2; 60]), 30), Err(SealError::Version(2)));
        assert!(matches!(open(&"A".repeat(1 << 20), 100), Err(SealError::TooLarge { .. })));
        assert!(matches!(open(&sealed(), 4), Err(SealError::TooLarge { .. })));
    }

    #[test]
    fn names_differ_by_purpose_and_key() {
        let names = [h_tag(&key(1)), topic(&key(1)), h_tag(&key(2)), topic(&key(2)), public_topic(&SpaceId([1; 32]))];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|n| n.len() == 32));
    }

    #[test]
    fn keys_travel_to_one_member() {
        let (from, to, other) = (NostrKey::generate([1; 32]), NostrKey::generate([2; 32]), NostrKey::generate([3; 32]));
        let wrapped = wrap_key(&key(9), &to.public(), &from, [4; 32]).unwrap();
        assert!(wrapped.len() <= WRAPPED_MAX, "{}", wrapped.len());
        assert!(unwrap_key(&wrapped, &from.public(), &to).unwrap() == key(9));
        assert_eq!(unwrap_key(&wrapped, &from.public(), &other), Err(WrapError::Broken));
        assert_eq!(unwrap_key(&wrapped, &other.public(), &to), Err(WrapError::Broken));
        assert_eq!(unwrap_key(&wrapped[1..], &from.public(), &to), Err(WrapError::Broken));
        assert_eq!(unwrap_key(&"A".repeat(WRAPPED_MAX + 1), &from.public(), &to), Err(WrapError::TooLong(513)));
        assert_eq!(wrap_key(&key(9), &PubKey([0xff; 32]), &from, [4; 32]), Err(WrapError::Broken));
        let secret = nostr_secret(&from).unwrap();
        let public = nostr::key::PublicKey::from_byte_array(to.public().0);
        let text = nip44::encrypt_with_nonce(&secret, &public, "hello", nip44::Nonce::V2([4; 32])).unwrap();
        assert_eq!(unwrap_key(&text, &from.public(), &to), Err(WrapError::Malformed));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let printed = format!("{:?} {:#?}", key(0xab), key(0xab));
        assert!(!printed.contains("abab") && !printed.contains("171"));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(at in any::<usize>(), bit in 0u8..8, plain: Vec<u8>, nonce: [u8; 24]) {
            let text = seal(&key(1), &AUTHOR, 8731, "h", &plain, nonce);
            prop_assert_eq!(open(&key(1), &AUTHOR, 8731, "h", &text, plain.len()).unwrap(), plain.clone());
            let mut bytes = STANDARD.decode(text).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&key(1), &AUTHOR, 8731, "h", &STANDARD.encode(bytes), plain.len()).is_err());
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,300}") {
            prop_assert!(open(&key(1), &AUTHOR, 1, "h", &text, 1_000).is_err());
            prop_assert!(unwrap_key(&text, &AUTHOR, &NostrKey::generate([1; 32])).is_err());
        }
    }
}
