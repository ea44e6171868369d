//! Laws and behaviour of the crate as its users see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]
#![expect(clippy::disallowed_methods, reason = "tests read files; the crate does not")]

mod births;
mod codec;
mod deletes;
mod docs;
mod files;
mod laws;
mod merges;
mod merging;
mod real_data;
mod world;
