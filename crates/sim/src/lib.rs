//! Many engines in one seeded world.
//!
//! Time is virtual, links lose, repeat and reorder, hosts are cut off, crash and come back; events are really signed
//! and really verified. The same seed gives the same trace. [`run`] plays one seed and checks what must hold.

mod check;
mod node;
mod play;
mod rng;
mod world;

pub use check::Failure;
pub use play::{Fault, Options, Report, run};
