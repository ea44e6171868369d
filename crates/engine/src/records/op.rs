//! Op events, as received or made.
//!
//! Key: space (32) ‖ host (32) ‖ incarnation (8) ‖ seq (8) ‖ event id (32). Value: the event's JSON.
//! Both sides of a fork have a place.

use types::{Dot, EventId, PubKey, SpaceId, Writer};

/// Length of a key.
pub const KEY_LEN: usize = 32 + 32 + 8 + 8 + 32;

/// All ops of a space.
pub fn space_prefix(space: &SpaceId) -> Vec<u8> {
    space.0.to_vec()
}

/// All ops of a writer.
pub fn writer_prefix(space: &SpaceId, writer: &Writer) -> Vec<u8> {
    [&space.0[..], &writer.host.0, &writer.incarnation.to_be_bytes()].concat()
}

/// All ops of a writer with one number: one, or the sides of a fork. Also where a range begins.
pub fn seq_prefix(space: &SpaceId, writer: &Writer, seq: u64) -> Vec<u8> {
    let mut key = writer_prefix(space, writer);
    key.extend(seq.to_be_bytes());
    key
}

/// The op with this dot (up to a collision of its four-byte tag within one fork).
pub fn dot_prefix(space: &SpaceId, dot: &Dot) -> Vec<u8> {
    let mut key = seq_prefix(space, &dot.writer, dot.seq);
    key.extend(dot.tag.to_be_bytes());
    key
}

/// The key of one op.
pub fn key(space: &SpaceId, writer: &Writer, seq: u64, id: &EventId) -> Vec<u8> {
    let mut key = seq_prefix(space, writer, seq);
    key.extend(id.0);
    key
}

/// Writer, seq and event id of a key.
pub fn parse(key: &[u8]) -> Option<(Writer, u64, EventId)> {
    if key.len() != KEY_LEN {
        return None;
    }
    let be64 = |at: usize| key[at..at + 8].try_into().ok().map(u64::from_be_bytes);
    let writer = Writer { host: PubKey::from_slice(&key[32..64]).ok()?, incarnation: be64(64)? };
    Some((writer, be64(72)?, EventId::from_slice(&key[80..]).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_writer_and_number_and_read_back() {
        let space = SpaceId([1; 32]);
        let writer = Writer { host: PubKey([2; 32]), incarnation: 7 };
        let a = key(&space, &writer, 255, &EventId([9; 32]));
        let b = key(&space, &writer, 256, &EventId([0; 32]));
        assert!(a < b);
        assert_eq!(parse(&a), Some((writer, 255, EventId([9; 32]))));
        assert!(a.starts_with(&dot_prefix(&space, &Dot::new(writer, 255, &EventId([9; 32])))));
        assert_eq!(parse(&a[1..]), None);
    }
}
