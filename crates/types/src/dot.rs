//! Who wrote, and which of their ops: the causal coordinates of a write.

use crate::{EventId, PubKey};
use serde::{Deserialize, Serialize};

/// Whose sequence numbers an op counts in: a host key and one of its incarnations.
///
/// A host begins a new incarnation when its store was restored or copied, so that a chain is never forked by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Writer {
    /// The host's Nostr key.
    pub host: PubKey,
    /// A random number, drawn anew for every incarnation.
    pub incarnation: u64,
}

/// One op of one writer. Every write of the op has this dot; per op there is at most one write to a unit.
///
/// `tag` is the first four bytes of the op's event id. It keeps the two sides of a fork apart: two ops of one
/// writer with one sequence number are two dots, so that neither side's edits can be mistaken for the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who wrote.
    pub writer: Writer,
    /// The op's number, from 1, without gaps per writer.
    pub seq: u64,
    /// The first four bytes of the op's event id, big-endian.
    pub tag: u32,
}

/// Length of [`Dot::to_bytes`].
pub const DOT_LEN: usize = 32 + 8 + 8 + 4;

impl Dot {
    /// The dot of the op with this event id.
    pub fn new(writer: Writer, seq: u64, id: &EventId) -> Dot {
        let [a, b, c, d, ..] = id.0;
        Dot { writer, seq, tag: u32::from_be_bytes([a, b, c, d]) }
    }

    /// A fixed-length form that sorts as the dot does: host, incarnation, seq, tag, all big-endian.
    pub fn to_bytes(&self) -> [u8; DOT_LEN] {
        let mut out = [0; DOT_LEN];
        out[..32].copy_from_slice(&self.writer.host.0);
        out[32..40].copy_from_slice(&self.writer.incarnation.to_be_bytes());
        out[40..48].copy_from_slice(&self.seq.to_be_bytes());
        out[48..].copy_from_slice(&self.tag.to_be_bytes());
        out
    }

    /// Reads [`Dot::to_bytes`].
    pub fn from_bytes(bytes: &[u8; DOT_LEN]) -> Dot {
        let be64 = |at: usize| {
            let mut b = [0; 8];
            b.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(b)
        };
        let mut host = [0; 32];
        host.copy_from_slice(&bytes[..32]);
        Dot {
            writer: Writer { host: PubKey(host), incarnation: be64(32) },
            seq: be64(40),
            tag: u32::from_be_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_round_trip_and_sort_like_dots(
            a in any::<([u8; 32], u64, u64, u32)>(), b in any::<([u8; 32], u64, u64, u32)>()
        ) {
            let dot = |(h, incarnation, seq, tag): ([u8; 32], u64, u64, u32)| Dot {
                writer: Writer { host: PubKey(h), incarnation }, seq, tag };
            let (a, b) = (dot(a), dot(b));
            prop_assert_eq!(Dot::from_bytes(&a.to_bytes()), a);
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }
}
