//! Identifiers as newtypes: fixed bytes inside, the field's usual text form outside.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not hexadecimal of the right length.
    #[error("expected {expected} hexadecimal characters")]
    Hex {
        /// How many characters the id has.
        expected: usize,
    },
    /// Not a libp2p peer id of an Ed25519 key.
    #[error("not an ed25519 peer id")]
    PeerId,
    /// Not an `npub1…` text (NIP-19).
    #[error("not an npub")]
    Npub,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] { &self.0 }
            /// The first eight hexadecimal characters, for logs and lists.
            pub fn fmt_short(&self) -> String { hex::encode(&self.0[..4]) }
            /// An id from a byte slice of exactly the right length.
            ///
            /// # Errors
            /// [`IdError::Hex`] when the length differs.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map($name).map_err(|_| IdError::Hex { expected: $len * 2 })
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&hex::encode(self.0)) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.fmt_short())
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Hex { expected: $len * 2 })?;
                Ok($name(bytes))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// A Nostr public key: 32 bytes, x-only secp256k1 (BIP-340). Text form: lower-case hex; see [`PubKey::npub`].
    PubKey, 32
);
hex_id!(
    /// The id of a Nostr event: SHA-256 of its canonical form (NIP-01).
    EventId, 32
);
hex_id!(
    /// A space: the event id of the first version of its charter.
    SpaceId, 32
);
hex_id!(
    /// A mesh: 16 random bytes drawn by the machine that founded it.
    MeshId, 16
);
hex_id!(
    /// A space key's id: the SHA-256 of the key.
    KeyId, 32
);

impl PubKey {
    /// The `npub1…` form (NIP-19), for people.
    pub fn npub(&self) -> String {
        let hrp = bech32::Hrp::parse_unchecked("npub");
        // SAFETY: 32 bytes always fit into a bech32 text.
        #[allow(clippy::expect_used)]
        bech32::encode::<bech32::Bech32>(hrp, &self.0).expect("32 bytes fit")
    }

    /// Reads `npub1…` or 64 hexadecimal characters.
    ///
    /// # Errors
    /// [`IdError::Npub`] when it is neither.
    pub fn parse(text: &str) -> Result<PubKey, IdError> {
        if let Ok(key) = text.parse() {
            return Ok(key);
        }
        match bech32::decode(text) {
            Ok((hrp, bytes)) if hrp.as_str() == "npub" => PubKey::from_slice(&bytes).map_err(|_| IdError::Npub),
            _ => Err(IdError::Npub),
        }
    }
}

/// A libp2p peer id of an Ed25519 key: the identity multihash of the public key's protobuf form.
///
/// Kept as the 32 bytes of the key: every townmesh host has an Ed25519 key, other kinds are refused at the border.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

/// Identity multihash header (code 0x00, length 0x24) and the protobuf header of an Ed25519 key.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl PeerId {
    /// The peer id of an Ed25519 public key.
    pub fn from_ed25519(public: [u8; 32]) -> PeerId {
        PeerId(public)
    }

    /// The Ed25519 public key inside.
    pub fn ed25519(&self) -> &[u8; 32] {
        &self.0
    }

    /// The multihash bytes that libp2p calls a peer id.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&PEER_ID_PREFIX[..], &self.0].concat()
    }

    /// Reads multihash bytes.
    ///
    /// # Errors
    /// [`IdError::PeerId`] for anything but an Ed25519 peer id.
    pub fn from_bytes(bytes: &[u8]) -> Result<PeerId, IdError> {
        bytes.strip_prefix(&PEER_ID_PREFIX).and_then(|key| key.try_into().ok()).map(PeerId).ok_or(IdError::PeerId)
    }

    /// The last eight characters of the text form, where peer ids differ.
    pub fn fmt_short(&self) -> String {
        let text = self.to_string();
        text[text.len() - 8..].to_owned()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_bytes()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.fmt_short())
    }
}

impl FromStr for PeerId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > 64 {
            return Err(IdError::PeerId);
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| IdError::PeerId)?;
        PeerId::from_bytes(&bytes)
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_id_has_libp2ps_text_form() {
        // The all-zero key's peer id as libp2p prints it begins with the usual Ed25519 prefix.
        let id = PeerId::from_ed25519([7; 32]);
        assert!(id.to_string().starts_with("12D3KooW"), "{id}");
        assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        assert_eq!(PeerId::from_bytes(&id.to_bytes()).unwrap(), id);
    }

    #[test]
    fn hostile_texts_are_refused() {
        assert_eq!("".parse::<PeerId>(), Err(IdError::PeerId));
        assert_eq!("1".repeat(1 << 16).parse::<PeerId>(), Err(IdError::PeerId));
        assert_eq!("zz".parse::<EventId>(), Err(IdError::Hex { expected: 64 }));
        assert_eq!(PubKey::parse("npub1qqq"), Err(IdError::Npub));
        assert_eq!(PubKey::parse(&"a".repeat(1 << 20)), Err(IdError::Npub));
    }

    #[test]
    fn npub_matches_the_vector_of_nip19() {
        let hex = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d";
        let key: PubKey = hex.parse().unwrap();
        assert_eq!(key.npub(), "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6");
        assert_eq!(PubKey::parse(&key.npub()).unwrap(), key);
    }
}
