//! Wire messages, protocol names, size limits and format versions.
//!
//! The messages in [`wire`] are generated from `townmesh/v1/wire.proto` and checked in; the test
//! `generated_code_is_current` fails when they drift and says how to renew them.

pub mod codec;
pub mod limits;
pub mod names;
/// Generated from `townmesh/v1/wire.proto`.
#[allow(missing_docs, clippy::all)]
#[rustfmt::skip]
pub mod wire;

pub use codec::{DecodeError, decode, encode};
