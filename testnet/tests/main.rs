//! The rules of the house, and what only real processes can show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bd;
mod crash;
mod house;
mod merge;
mod mesh;
