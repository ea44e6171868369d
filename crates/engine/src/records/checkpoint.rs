//! Checkpoints, their parts, and from where on a space's ops are held one by one.
//!
//! Keys: space (32) ‖ `b` (postcard [`Base`]); space ‖ `n` (postcard `(event id, Unix ms)`: the next base); space ‖ `k` ‖ event id (32) (postcard [`Kept`]);
//! space ‖ `p` ‖ event id ‖ part (4): the part's bytes; space ‖ `u` ‖ dot (52) ‖ bead id ‖ 0 ‖ unit (postcard [`Doubt`]).
//! A checkpoint is whole when its `k` is there.

use beads::Unit;
use serde::{Deserialize, Serialize};
use types::{Dot, EventId, PubKey, SpaceId, Writer};

/// A checkpoint that is here as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The event's JSON.
    pub event: Vec<u8>,
    /// Ops that are folded in.
    pub ops: u64,
    /// When it came or was made here, in Unix ms.
    pub since_ms: u64,
    /// It has folded in what no longer counts: it is not served, and the coordinator owes another one.
    pub void: bool,
}

/// Up to where a writer's ops are folded in without being held here one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The writer's host.
    pub host: [u8; 32],
    /// Its incarnation.
    pub incarnation: u64,
    /// The ends of its chain at the checkpoint, by number; never empty.
    pub tips: Vec<(u64, [u8; 32])>,
    /// Ops up to this number have been fetched since.
    pub filled: u64,
}

impl Floor {
    /// The writer.
    pub fn writer(&self) -> Writer {
        Writer { host: PubKey(self.host), incarnation: self.incarnation }
    }

    /// The highest number that is folded in.
    pub fn top(&self) -> u64 {
        self.tips.iter().map(|(seq, _)| *seq).max().unwrap_or(0)
    }

    /// Up to here, ops of every side of the chain are folded in.
    pub fn low(&self) -> u64 {
        self.tips.iter().map(|(seq, _)| *seq).min().unwrap_or(0)
    }
}

/// The checkpoint that this store's beads grew from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its event id.
    pub id: [u8; 32],
    /// Per writer, ordered; writers whose ops are all here have none.
    pub floors: Vec<Floor>,
}

impl Base {
    /// A writer's floor.
    pub fn floor(&self, writer: &Writer) -> Option<&Floor> {
        let at = (writer.host.0, writer.incarnation);
        let place = self.floors.binary_search_by(|f| (f.host, f.incarnation).cmp(&at)).ok()?;
        self.floors.get(place)
    }

    /// A writer's floor, to be changed.
    pub fn floor_mut(&mut self, writer: &Writer) -> Option<&mut Floor> {
        let at = (writer.host.0, writer.incarnation);
        let place = self.floors.binary_search_by(|f| (f.host, f.incarnation).cmp(&at)).ok()?;
        self.floors.get_mut(place)
    }
}

/// Somebody replaced a value that is below the base: either the base has folded in that it is gone,
/// or it is on a side of a fork that the base does not know, and may still come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The bead's id.
    pub bead: String,
    /// The unit.
    pub unit: Unit,
    /// Of the replaced write: host, incarnation, number, tag.
    pub dot: ([u8; 32], u64, u64, u32),
}

impl Doubt {
    /// The replaced write.
    pub fn dot(&self) -> Dot {
        let (host, incarnation, seq, tag) = self.dot;
        Dot { writer: Writer { host: PubKey(host), incarnation }, seq, tag }
    }

    /// The key of its record.
    pub fn key(&self, space: &SpaceId) -> Vec<u8> {
        let unit = self.unit.to_string();
        [&doubts_prefix(space)[..], &self.dot().to_bytes(), self.bead.as_bytes(), &[0], unit.as_bytes()].concat()
    }
}

/// All of a space's [`Doubt`]s.
pub fn doubts_prefix(space: &SpaceId) -> Vec<u8> {
    [&space.0[..], b"u"].concat()
}

/// The key of [`Base`].
pub fn base_key(space: &SpaceId) -> Vec<u8> {
    [&space.0[..], b"b"].concat()
}

/// The key of the next base.
pub fn next_base_key(space: &SpaceId) -> Vec<u8> {
    [&space.0[..], b"n"].concat()
}

/// All of a space's [`Kept`].
pub fn kept_prefix(space: &SpaceId) -> Vec<u8> {
    [&space.0[..], b"k"].concat()
}

/// The key of one [`Kept`].
pub fn kept_key(space: &SpaceId, id: &EventId) -> Vec<u8> {
    [&kept_prefix(space)[..], &id.0].concat()
}

/// The event id in a [`Kept`]'s key.
pub fn kept_id(key: &[u8]) -> Option<EventId> {
    EventId::from_slice(key.get(33..)?).ok()
}

/// All parts of a checkpoint.
pub fn parts_prefix(space: &SpaceId, id: &EventId) -> Vec<u8> {
    [&space.0[..], b"p", &id.0].concat()
}

/// The key of one part.
pub fn part_key(space: &SpaceId, id: &EventId, part: u32) -> Vec<u8> {
    [&parts_prefix(space, id)[..], &part.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_finds_its_floor() {
        let floor = |host: u8, incarnation: u64, tips: &[(u64, [u8; 32])]| Floor {
            host: [host; 32],
            incarnation,
            tips: tips.to_vec(),
            filled: 0,
        };
        let base = Base {
            id: [1; 32],
            floors: vec![floor(1, 5, &[(9, [9; 32])]), floor(2, 1, &[(3, [1; 32]), (7, [2; 32])])],
        };
        let writer = |host: u8, incarnation: u64| Writer { host: PubKey([host; 32]), incarnation };
        assert_eq!(base.floor(&writer(1, 5)).map(|f| (f.low(), f.top())), Some((9, 9)));
        assert_eq!(base.floor(&writer(2, 1)).map(|f| (f.low(), f.top())), Some((3, 7)));
        assert_eq!(base.floor(&writer(1, 1)), None);
        let (space, id) = (SpaceId([7; 32]), EventId([8; 32]));
        assert_eq!(kept_id(&kept_key(&space, &id)), Some(id));
        assert!(part_key(&space, &id, 1) < part_key(&space, &id, 256));
    }
}
