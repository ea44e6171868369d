//! The newest ops of each writer's chain: one, or one per side of a fork.
//!
//! Key: space (32) ‖ host (32) ‖ incarnation (8). Value: postcard [`Tips`].

use serde::{Deserialize, Serialize};
use types::{EventId, PubKey, SpaceId, Writer};

/// The ends of one writer's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tips(pub Vec<(u64, [u8; 32])>);

impl Tips {
    /// The highest number, 0 when there is none.
    pub fn top(&self) -> u64 {
        self.0.iter().map(|(seq, _)| *seq).max().unwrap_or(0)
    }

    /// Whether this op is an end.
    pub fn contains(&self, seq: u64, id: &EventId) -> bool {
        self.0.iter().any(|(s, i)| *s == seq && *i == id.0)
    }

    /// Whether the writer has contradicted itself.
    pub fn forked(&self) -> bool {
        self.0.len() > 1
    }

    /// Takes in an op whose predecessor is held. Returns whether it opens another side of a fork.
    pub fn advance(&mut self, seq: u64, id: &EventId, prev: Option<&EventId>) -> bool {
        let before = self.0.len();
        if let Some(prev) = prev {
            self.0.retain(|(s, i)| !(*s + 1 == seq && *i == prev.0));
        }
        let forks = before > 0 && self.0.len() == before;
        self.0.push((seq, id.0));
        self.0.sort_unstable();
        forks
    }
}

/// The key of one writer.
pub fn key(space: &SpaceId, writer: &Writer) -> Vec<u8> {
    [&space.0[..], &writer.host.0, &writer.incarnation.to_be_bytes()].concat()
}

/// The writer of a key.
pub fn parse(key: &[u8]) -> Option<Writer> {
    let incarnation = u64::from_be_bytes(key.get(64..72)?.try_into().ok()?);
    Some(Writer { host: PubKey::from_slice(key.get(32..64)?).ok()?, incarnation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_end_and_a_fork_two() {
        let mut tips = Tips::default();
        let id = |b: u8| EventId([b; 32]);
        assert!(!tips.advance(1, &id(1), None));
        assert!(!tips.advance(2, &id(2), Some(&id(1))));
        assert_eq!((tips.top(), tips.forked()), (2, false));
        assert!(tips.advance(2, &id(3), Some(&id(1))));
        assert!(tips.forked() && tips.contains(2, &id(2)) && tips.contains(2, &id(3)));
        assert!(!tips.advance(3, &id(4), Some(&id(3))));
        assert_eq!(tips.0.len(), 2);
    }
}
