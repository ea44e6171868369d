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
