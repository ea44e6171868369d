//! Key layouts and value codecs of everything the node keeps, one file per record kind.
//!
//! Keys are fixed-width, big-endian and begin with what they are scanned by. Values that only this node reads are
//! postcard behind a version byte; signed events are kept as the JSON bytes that were signed.

pub mod bead;
pub mod charter;
pub mod checkpoint;
pub mod host;
pub mod meta;
pub mod op;
pub mod shadow;
pub mod space;
pub mod ticket;
pub mod tips;
pub mod totals;
pub mod waiting;
pub mod work;
pub mod workspace;

use serde::{Serialize, de::DeserializeOwned};
use types::{Step, Stride, Table, View, ViewError};

/// The steps from the store's first format to the present one ([`proto::names::STORE_VERSION`]), oldest first; none is
/// ever taken out. A program that learns a unit, an op version or another layout adds a step that brings what is kept
/// to where a program that always knew it would be.
pub const STEPS: &[Step] =
    &[Step { name: "room for checkpoints", stride: room }, Step { name: "room for work", stride: room }];

/// A table is there as soon as the store is open; a program that does not know it must not open the store.
fn room(_: &dyn View, _: &[u8]) -> Result<Stride, ViewError> {
    Ok(Stride { puts: Vec::new(), next: None })
}

/// Version byte in front of every postcard value.
const VALUE_VERSION: u8 = 1;

/// Writes a value behind the version byte.
pub fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    // SAFETY: record types hold only types that postcard can write; a Vec has no capacity limit to run into.
    #[allow(clippy::expect_used)]
    postcard::to_extend(value, vec![VALUE_VERSION]).expect("records are serialisable")
}

/// Reads what [`pack`] wrote; `table` is where it was found.
///
/// # Errors
/// [`ViewError`] for another version and for bytes that are not one whole value.
pub fn unpack<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, ViewError> {
    let broken = |reason: String| ViewError { table, reason };
    match bytes.split_first() {
        Some((&VALUE_VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            // Of another shape: what cannot be read whole is not read at all.
            Ok((_, left)) => Err(broken(format!("{} bytes behind the end", left.len()))),
            Err(e) => Err(broken(e.to_string())),
        },
        Some((v, _)) => Err(broken(format!("value version {v} is newer than this program"))),
        None => Err(broken("empty value".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_lead_to_the_present_format() {
        assert_eq!(STEPS.len() as u32 + 1, proto::names::STORE_VERSION);
    }

    #[test]
    fn values_of_another_version_or_shape_are_refused() {
        let good = pack(&(7u64, "seven".to_owned()));
        let read = |bytes: &[u8]| unpack::<(u64, String)>(Table::Meta, bytes);
        assert_eq!(read(&good).unwrap(), (7, "seven".to_owned()));
        let longer = [&good[..], &[0]].concat();
        let newer = [&[2], &good[1..]].concat();
        for (bytes, why) in [(&longer[..], "behind the end"), (&newer, "newer"), (&good[..3], ""), (&[], "empty")] {
            let err = read(bytes).unwrap_err();
            assert!(err.reason.contains(why), "{err}");
        }
    }
}
