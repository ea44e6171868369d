//! The body of a checkpoint event (kind 8736), and the parts that it names.
//!
//! JSON, sealed in private spaces. The event itself is small: the state is in parts that are fetched on their own.

use crate::sync::{Ends, wire_tips};
use beads::BeadState;
use proto::{limits, wire};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use types::EventId;

/// Version of the body.
pub const CHECKPOINT_VERSION: u32 = 1;

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The charter version under which it was made; names the coordinator who may sign it.
    pub charter: EventId,
    /// SHA-256 over the ends of all chains, as [`heads_hash`] makes it.
    pub heads: [u8; 32],
    /// SHA-256 of part 0, the manifest.
    pub manifest: [u8; 32],
    /// Parts besides the manifest.
    pub parts: u32,
    /// Their bytes, all together.
    pub bytes: u64,
    /// Visible beads.
    pub beads: u64,
    /// Ops that are folded in.
    pub ops: u64,
    /// Over shown values.
    pub digest: [u8; 32],
    /// Over live dots.
    pub state_digest: [u8; 32],
}

/// Why a body is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not the JSON that was expected.
    #[error("malformed checkpoint: {0}")]
    Malformed(String),
    /// Made by a newer program.
    #[error("checkpoint version {0} is newer than this program")]
    Newer(u32),
    /// More bytes or parts than allowed, or they do not fit together.
    #[error("a checkpoint of {bytes} bytes in {parts} parts")]
    Size {
        /// Bytes that it names.
        bytes: u64,
        /// Parts that it names.
        parts: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Body {
    v: u32,
    #[serde(rename = "c")]
    charter: EventId,
    #[serde(rename = "h", with = "hex32")]
    heads: [u8; 32],
    #[serde(rename = "m", with = "hex32")]
    manifest: [u8; 32],
    #[serde(rename = "p")]
    parts: u32,
    #[serde(rename = "B")]
    bytes: u64,
    #[serde(rename = "b")]
    beads: u64,
    #[serde(rename = "o")]
    ops: u64,
    #[serde(rename = "d", with = "hex32")]
    digest: [u8; 32],
    #[serde(rename = "s", with = "hex32")]
    state_digest: [u8; 32],
}

/// 32 bytes as lower-case hex.
mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(String::deserialize(d)?, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

impl Checkpoint {
    /// The body's JSON.
    pub fn encode(&self) -> Vec<u8> {
        let Checkpoint { charter, heads, manifest, parts, bytes, beads, ops, digest, state_digest } = self.clone();
        let v = CHECKPOINT_VERSION;
        let body = Body { v, charter, heads, manifest, parts, bytes, beads, ops, digest, state_digest };
        // SAFETY: a body holds only strings and numbers.
        #[allow(clippy::expect_used)]
        serde_json::to_vec(&body).expect("a body is JSON")
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`CheckpointError`]; nothing of a bad body is used.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let malformed = |e: serde_json::Error| CheckpointError::Malformed(e.to_string());
        let Version { v } = serde_json::from_slice(bytes).map_err(malformed)?;
        if v > CHECKPOINT_VERSION {
            return Err(CheckpointError::Newer(v));
        }
        let Body { charter, heads, manifest, parts, bytes, beads, ops, digest, state_digest, .. } =
            serde_json::from_slice(bytes).map_err(malformed)?;
        let needed = bytes.div_ceil(limits::CHECKPOINT_PART_BYTES as u64);
        if bytes > limits::CHECKPOINT_BYTES_MAX || needed != u64::from(parts) {
            return Err(CheckpointError::Size { bytes, parts });
        }
        Ok(Checkpoint { charter, heads, manifest, parts, bytes, beads, ops, digest, state_digest })
    }
}

/// SHA-256 of bytes.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 over the ends of all chains, in the order of writer, number and id.
pub(crate) fn heads_hash(ends: &Ends) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (writer, tips) in ends {
        for (seq, id) in &tips.0 {
            hasher.update(writer.host.0);
            hasher.update(writer.incarnation.to_be_bytes());
            hasher.update(seq.to_be_bytes());
            hasher.update(id);
        }
    }
    hasher.finalize().into()
}

/// Cuts bead states into parts.
#[derive(Default)]
pub(crate) struct Cutter {
    parts: Vec<Vec<u8>>,
    bytes: u64,
}

impl Cutter {
    /// Adds one encoded state. Says whether it still fits into a checkpoint.
    pub(crate) fn push(&mut self, state: &[u8]) -> bool {
        self.write(&(state.len() as u32).to_be_bytes());
        self.write(state);
        self.bytes <= limits::CHECKPOINT_BYTES_MAX
    }

    fn write(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let last = match self.parts.last_mut() {
                Some(last) if last.len() < limits::CHECKPOINT_PART_BYTES => last,
                _ => {
                    self.parts.push(Vec::with_capacity(limits::CHECKPOINT_PART_BYTES));
                    continue;
                }
            };
            let (now, rest) = bytes.split_at(bytes.len().min(limits::CHECKPOINT_PART_BYTES - last.len()));
            last.extend_from_slice(now);
            bytes = rest;
        }
    }

    /// The manifest in front of the parts, and how many bytes those have together. `None` when the manifest would be
    /// too large to be sent.
    pub(crate) fn finish(self, ends: &Ends) -> Option<(Vec<Vec<u8>>, u64)> {
        let hashes = self.parts.iter().map(|part| hash(part).to_vec()).collect();
        let manifest = proto::encode(&wire::CheckpointManifest { tips: wire_tips(ends), parts: hashes });
        let whole = ends.values().map(|tips| tips.0.len()).sum::<usize>() <= limits::TIPS_MAX;
        let fits = whole && manifest.len() <= limits::CHECKPOINT_PART_BYTES;
        fits.then(|| (std::iter::once(manifest).chain(self.parts).collect(), self.bytes))
    }
}

/// Puts parts together again.
#[derive(Default)]
pub(crate) struct Joiner {
    rest: Vec<u8>,
}

impl Joiner {
    /// Adds a part and hands out every state that is whole, with its encoded form.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn push(&mut self, part: &[u8], each: &mut dyn FnMut(BeadState, &[u8])) -> Result<(), String> {
        self.rest.extend_from_slice(part);
        let mut at = 0;
        while let Some(len) = self.rest.get(at..at + 4).and_then(|len| len.try_into().ok()).map(u32::from_be_bytes) {
            if u64::from(len) > limits::CHECKPOINT_BYTES_MAX {
                return Err(format!("a state of {len} bytes"));
            }
            let Some(bytes) = self.rest.get(at + 4..at + 4 + len as usize) else { break };
            each(BeadState::decode(bytes).map_err(|e| e.to_string())?, bytes);
            at += 4 + len as usize;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Whether nothing is left over.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Checkpoint {
        Checkpoint {
            charter: EventId([1; 32]),
            heads: [2; 32],
            manifest: [3; 32],
            parts: 2,
            bytes: limits::CHECKPOINT_PART_BYTES as u64 + 1,
            beads: 4,
            ops: 5,
            digest: [6; 32],
            state_digest: [7; 32],
        }
    }

    #[test]
    fn a_body_reads_back_and_bad_ones_are_refused() {
        let good = sample();
        assert_eq!(Checkpoint::decode(&good.encode()), Ok(good.clone()));
        let text = String::from_utf8(good.encode()).unwrap();
        let newer = text.replace("\"v\":1", "\"v\":2");
        assert_eq!(Checkpoint::decode(newer.as_bytes()), Err(CheckpointError::Newer(2)));
        let huge = Checkpoint { bytes: limits::CHECKPOINT_BYTES_MAX + 1, parts: 513, ..good.clone() };
        let few = Checkpoint { parts: 1, ..good };
        for bad in [huge, few] {
            assert!(matches!(Checkpoint::decode(&bad.encode()), Err(CheckpointError::Size { .. })));
        }
        assert!(matches!(Checkpoint::decode(b"{}"), Err(CheckpointError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Checkpoint::decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_parts_never_panic(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..5)
        ) {
            let mut joiner = Joiner::default();
            for part in parts {
                if joiner.push(&part, &mut |_, _| ()).is_err() {
                    break;
                }
            }
        }

        #[test]
        fn what_is_cut_is_joined(seed in any::<u64>(), count in 0usize..400) {
            use beads::{BeadId, Birth, Stamp, Unit, Write};
            use types::{Dot, Hlc, PubKey, UnixMs, Writer};
            let writer = Writer { host: PubKey([1; 32]), incarnation: seed };
            let mut states = Vec::new();
            for n in 0..count {
                let id: BeadId = format!("a-{n}").parse().unwrap();
                let mut state = BeadState::new(id.clone());
                let dot = Dot::new(writer, n as u64 + 1, &EventId([2; 32]));
                let write = Write {
                    id,
                    birth: Birth([3; 8]),
                    unit: "field:title".parse::<Unit>().unwrap(),
                    value: Some("x".repeat((seed as usize).wrapping_mul(n) % 9_000).into()),
                    replaces: vec![],
                    baseline: None,
                };
                state.apply(&Stamp { dot, hlc: Hlc::new(UnixMs(9), 0) }, &write, &|_| false).unwrap();
                states.push(state);
            }
            let mut cutter = Cutter::default();
            for state in &states {
                prop_assert!(cutter.push(&state.encode()));
            }
            let (parts, bytes) = cutter.finish(&Ends::new()).unwrap();
            let lens: Vec<usize> = parts[1..].iter().map(Vec::len).collect();
            prop_assert_eq!(lens.iter().sum::<usize>() as u64, bytes);
            prop_assert!(lens.iter().rev().skip(1).all(|len| *len == limits::CHECKPOINT_PART_BYTES));
            let mut joiner = Joiner::default();
            let mut out = Vec::new();
            for part in &parts[1..] {
                joiner.push(part, &mut |state, _| out.push(state)).unwrap();
            }
            prop_assert!(joiner.is_done());
            prop_assert_eq!(out, states);
        }
    }
}
