//! The engine as its shells see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checkpoint;
mod files;
mod hostile;
mod poison;
mod removal;
mod rig;
mod second;
mod versions;
