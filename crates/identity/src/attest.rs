//! Attestations (NIP-OA): an owner or a host says that a key acts for it.
//!
//! The tag is `["auth", <owner>, <conditions>, <signature>]`; the signature is BIP-340 over the SHA-256 of
//! `nostr:agent-auth:<key>:<conditions>`.

use crate::event::lower_hex;
use crate::{NostrKey, secp};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::str::FromStr;
use types::{PubKey, UnixSecs};

/// Name of the tag.
pub const AUTH_TAG: &str = "auth";

/// Longest text of conditions in bytes.
pub const CONDITIONS_BYTES_MAX: usize = 512;

/// Longest JSON of an attestation in bytes.
const JSON_BYTES_MAX: usize = 1_024;

/// Why an attestation does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Not the tag of an attestation, or there are several.
    #[error("malformed attestation")]
    Malformed,
    /// Conditions that are not clauses `kind=`, `created_at<`, `created_at>` joined by `&`.
    #[error("malformed conditions of an attestation")]
    Conditions,
    /// A key that attests itself.
    #[error("a key cannot attest itself")]
    OfItself,
    /// The signature is not the owner's.
    #[error("the attestation's signature is not its owner's")]
    BadSignature,
    /// The event is outside the conditions.
    #[error("the attestation does not cover this event")]
    NotCovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Kind(u16),
    Before(u32),
    After(u32),
}

/// Which events an attestation covers: all clauses must hold. None means every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions(Vec<Clause>);

impl Conditions {
    /// Every event.
    pub fn none() -> Conditions {
        Conditions::default()
    }

    /// Also: only events of this kind.
    pub fn kind(mut self, kind: u16) -> Conditions {
        self.0.push(Clause::Kind(kind));
        self
    }

    /// Also: only events made before this time (saturating at 2106, where NIP-OA's times end).
    pub fn before(mut self, time: UnixSecs) -> Conditions {
        self.0.push(Clause::Before(u32::try_from(time.0).unwrap_or(u32::MAX)));
        self
    }

    /// Also: only events made after this time (saturating at 2106).
    pub fn after(mut self, time: UnixSecs) -> Conditions {
        self.0.push(Clause::After(u32::try_from(time.0).unwrap_or(u32::MAX)));
        self
    }

    /// Whether an event of this kind and time is covered.
    pub fn cover(&self, kind: u16, created_at: UnixSecs) -> bool {
        self.0.iter().all(|clause| match clause {
            Clause::Kind(only) => kind == *only,
            Clause::Before(time) => created_at.0 < u64::from(*time),
            Clause::After(time) => created_at.0 > u64::from(*time),
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, clause) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_char('&')?;
            }
            match clause {
                Clause::Kind(kind) => write!(f, "kind={kind}")?,
                Clause::Before(time) => write!(f, "created_at<{time}")?,
                Clause::After(time) => write!(f, "created_at>{time}")?,
            }
        }
        Ok(())
    }
}

/// A decimal number in its only form: no sign, no leading zero.
fn decimal<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

impl FromStr for Conditions {
    type Err = AttestationError;
    fn from_str(text: &str) -> Result<Conditions, AttestationError> {
        if text.len() > CONDITIONS_BYTES_MAX {
            return Err(AttestationError::Conditions);
        }
        if text.is_empty() {
            return Ok(Conditions::none());
        }
        let clause = |text: &str| {
            if let Some(kind) = text.strip_prefix("kind=") {
                return decimal(kind).map(Clause::Kind);
            }
            if let Some(time) = text.strip_prefix("created_at<") {
                return decimal(time).map(Clause::Before);
            }
            text.strip_prefix("created_at>").and_then(decimal).map(Clause::After)
        };
        let clauses: Option<Vec<_>> = text.split('&').map(clause).collect();
        clauses.map(Conditions).ok_or(AttestationError::Conditions)
    }
}

/// A signed statement that a key acts for an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Who says so.
    pub owner: PubKey,
    /// About which events.
    pub conditions: Conditions,
    sig: [u8; 64],
}

fn digest(subject: &PubKey, conditions: &Conditions) -> [u8; 32] {
    Sha256::digest(format!("nostr:agent-auth:{subject}:{conditions}")).into()
}

impl Attestation {
    /// `owner` attests `subject`. `aux` is 32 fresh random bytes.
    pub fn issue(owner: &NostrKey, subject: &PubKey, conditions: Conditions, aux: [u8; 32]) -> Attestation {
        let sig = owner.sign_digest(&digest(subject, &conditions), &aux);
        Attestation { owner: owner.public(), conditions, sig }
    }

    /// Checks that `subject` was attested for an event of this kind and time.
    ///
    /// # Errors
    /// [`AttestationError`].
    pub fn verify(&self, subject: &PubKey, kind: u16, created_at: UnixSecs) -> Result<(), AttestationError> {
        if self.owner == *subject {
            return Err(AttestationError::OfItself);
        }
        if !secp::verify(&self.owner, &digest(subject, &self.conditions), &self.sig) {
            return Err(AttestationError::BadSignature);
        }
        if !self.conditions.cover(kind, created_at) {
            return Err(AttestationError::NotCovered);
        }
        Ok(())
    }

    /// The tag for an event.
    pub fn to_tag(&self) -> Vec<String> {
        vec![AUTH_TAG.to_owned(), self.owner.to_string(), self.conditions.to_string(), hex::encode(self.sig)]
    }

    /// Reads the tag.
    ///
    /// # Errors
    /// [`AttestationError::Malformed`] or [`AttestationError::Conditions`]. Signature and cover are not checked here.
    pub fn from_tag(tag: &[String]) -> Result<Attestation, AttestationError> {
        let [name, owner, conditions, sig] = tag else { return Err(AttestationError::Malformed) };
        if name != AUTH_TAG {
            return Err(AttestationError::Malformed);
        }
        Ok(Attestation {
            owner: lower_hex(owner).map(PubKey).ok_or(AttestationError::Malformed)?,
            conditions: conditions.parse()?,
            sig: lower_hex(sig).ok_or(AttestationError::Malformed)?,
        })
    }

    /// The tag as JSON, as it travels in a welcome.
    pub fn to_json(&self) -> String {
        serde_json::Value::from(self.to_tag()).to_string()
    }

    /// Reads [`Attestation::to_json`].
    ///
    /// # Errors
    /// As [`Attestation::from_tag`].
    pub fn from_json(json: &str) -> Result<Attestation, AttestationError> {
        if json.len() > JSON_BYTES_MAX {
            return Err(AttestationError::Malformed);
        }
        let tag: Vec<String> = serde_json::from_str(json).map_err(|_| AttestationError::Malformed)?;
        Attestation::from_tag(&tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The vector that NIP-OA publishes: owner and agent have the secrets 1 and 2.
    #[test]
    fn published_vector() {
        let tag = [
            "auth",
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "kind=1&created_at<1713957000",
            "8b7df2575caf0a108374f8471722b233c53f9ff827a8b0f91861966c3b9dd5cb2e189eae9f49d72187674c2f5bd244145e10ff86c9f257ffe65a1ee5f108b369",
        ]
        .map(str::to_owned);
        let agent: PubKey = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5".parse().unwrap();
        let attestation = Attestation::from_tag(&tag).unwrap();
        assert_eq!(
            hex::encode(digest(&agent, &attestation.conditions)),
            "08cdecd55af4c28d3801fd69615dcf5cc04fab3bc134b38a840bf157197069a6"
        );
        assert_eq!(attestation.verify(&agent, 1, UnixSecs(1_713_956_999)), Ok(()));
        assert_eq!(attestation.to_tag(), tag);
        assert_eq!(attestation.verify(&agent, 1, UnixSecs(1_713_957_000)), Err(AttestationError::NotCovered));
        assert_eq!(attestation.verify(&agent, 2, UnixSecs(1)), Err(AttestationError::NotCovered));
        let owner = attestation.owner;
        assert_eq!(attestation.verify(&owner, 1, UnixSecs(1)), Err(AttestationError::OfItself));
    }

    fn attestation() -> (PubKey, Attestation) {
        let subject = NostrKey::generate([2; 32]).public();
        let conditions = Conditions::none().kind(38733).after(UnixSecs(10)).before(UnixSecs(20));
        (subject, Attestation::issue(&NostrKey::generate([1; 32]), &subject, conditions, [3; 32]))
    }

    #[test]
    fn round_trips_and_every_change_is_noticed() {
        let (subject, good) = attestation();
        assert_eq!(Attestation::from_json(&good.to_json()).unwrap(), good);
        assert_eq!(good.conditions.to_string(), "kind=38733&created_at>10&created_at<20");
        assert_eq!(good.verify(&subject, 38733, UnixSecs(15)), Ok(()));
        assert_eq!(good.verify(&subject, 38733, UnixSecs(10)), Err(AttestationError::NotCovered));
        let other = NostrKey::generate([9; 32]).public();
        let bad = |attestation: Attestation, subject| attestation.verify(&subject, 38733, UnixSecs(15)).unwrap_err();
        assert_eq!(bad(good.clone(), other), AttestationError::BadSignature);
        assert_eq!(bad(Attestation { owner: other, ..good.clone() }, subject), AttestationError::BadSignature);
        let wider = Conditions::none();
        assert_eq!(bad(Attestation { conditions: wider, ..good.clone() }, subject), AttestationError::BadSignature);
        assert_eq!(bad(Attestation { sig: [1; 64], ..good }, subject), AttestationError::BadSignature);
    }

    #[test]
    fn hostile_texts_are_refused() {
        for text in [
            "kind=01",
            "kind=65536",
            "kind=-1",
            "kind=+1",
            "kind=",
            "kind=1&",
            "&kind=1",
            "kind=1&&kind=1",
            "kind = 1",
            "created_at<4294967296",
            "created_at=1",
            "created_at<=1",
            "foo",
            " ",
            "kind=1\n",
        ] {
            assert_eq!(text.parse::<Conditions>(), Err(AttestationError::Conditions), "{text:?}");
        }
        assert_eq!("kind=1&".repeat(1_000).parse::<Conditions>(), Err(AttestationError::Conditions));
        let tag = attestation().1.to_tag();
        for (at, value) in [(0, "other"), (1, "zz"), (3, "zz"), (1, "")] {
            let mut bad = tag.clone();
            bad[at] = value.to_owned();
            assert_eq!(Attestation::from_tag(&bad), Err(AttestationError::Malformed));
        }
        assert_eq!(Attestation::from_tag(&tag[..3]), Err(AttestationError::Malformed));
        assert_eq!(Attestation::from_json(&" ".repeat(5_000)), Err(AttestationError::Malformed));
        assert_eq!(Attestation::from_json("{}"), Err(AttestationError::Malformed));
    }

    proptest! {
        #[test]
        fn conditions_have_one_text(text in "((kind=|created_at<|created_at>)[0-9]{1,11}&?){0,4}") {
            if let Ok(conditions) = text.parse::<Conditions>() {
                prop_assert_eq!(conditions.to_string(), text);
            }
        }
    }
}
