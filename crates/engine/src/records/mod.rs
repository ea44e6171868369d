//! Key layouts and value codecs of everything the node keeps, one file per record kind.
//!
//! Keys are fixed-width, big-endian and begin with what they are scanned by. Values that only this node reads are
//! postcard behind a version byte; signed events are kept as the JSON bytes that were signed.

pub mod bead;
pub mod charter;
pub mod host;
pub mod meta;
pub mod op;
pub mod shadow;
pub mod space;
pub mod ticket;
pub mod tips;
pub mod totals;
pub mod waiting;
pub mod workspace;

use serde::{Serialize, de::DeserializeOwned};
use types::{Table, ViewError};

/// Version byte in front of every postcard value.
const VALUE_VERSION: u8 = 1;

/// Writes a value behind the version byte.
pub(crate) fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    // SAFETY: record types hold only types that postcard can write; a Vec has no capacity limit to run into.
    #[allow(clippy::expect_used)]
    postcard::to_extend(value, vec![VALUE_VERSION]).expect("records are serialisable")
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, ViewError> {
    let broken = |reason: String| ViewError { table, reason };
    match bytes.split_first() {
        Some((&VALUE_VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| broken(e.to_string())),
        Some((v, _)) => Err(broken(format!("value version {v} is newer than this program"))),
        None => Err(broken("empty value".to_owned())),
    }
}
