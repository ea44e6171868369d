//! Order-independent digests of sets, kept up to date by adding and removing members.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The sum modulo 2^256 of the SHA-256 of every member of a set.
///
/// Adding and removing commute, so hosts that hold the same set hold the same digest, whatever the order
/// in which they learnt it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with one member: the SHA-256 of its bytes.
    pub fn of(member: &[u8]) -> Digest {
        Digest(Sha256::digest(member).into())
    }

    /// Adds every member of `other`.
    pub fn add(&mut self, other: Digest) {
        let mut carry = 0u16;
        for (a, b) in self.0.iter_mut().zip(other.0).rev() {
            let sum = u16::from(*a) + u16::from(b) + carry;
            *a = sum as u8;
            carry = sum >> 8;
        }
    }

    /// Takes every member of `other` away.
    pub fn sub(&mut self, other: Digest) {
        let mut borrow = 0i16;
        for (a, b) in self.0.iter_mut().zip(other.0).rev() {
            let diff = i16::from(*a) - i16::from(b) - borrow;
            borrow = i16::from(diff < 0);
            *a = diff.rem_euclid(256) as u8;
        }
    }

    /// The 32 bytes, most significant first.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", &hex::encode(self.0)[..8])
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Digest(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_does_not_matter_and_removal_undoes(members in proptest::collection::vec(any::<[u8; 8]>(), 0..20)) {
            let mut forward = Digest::default();
            let mut backward = Digest::default();
            for m in &members { forward.add(Digest::of(m)); }
            for m in members.iter().rev() { backward.add(Digest::of(m)); }
            prop_assert_eq!(forward, backward);
            for m in &members { forward.sub(Digest::of(m)); }
            prop_assert_eq!(forward, Digest::default());
        }
    }
}
