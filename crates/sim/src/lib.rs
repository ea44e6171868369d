//! Many engines in one seeded world.
//!
//! Time is virtual, links lose, repeat and reorder, machines are cut off, crash, are restored and copied, clocks are
//! wrong, members are hostile and come and go; events are really signed and really verified. The same seed gives the
//! same trace. [`run`] plays one seed and checks what must hold (promises 1, 3, 5 and 8); [`shrink`] makes a failing
//! run smaller.

mod check;
mod disk;
mod gather;
mod links;
mod model;
mod node;
mod play;
mod rng;
mod runs;
mod shrink;
mod slings;
mod trouble;
mod world;

pub use check::Failure;
pub use play::{Bug, COUNTED, Options, Report, run};
pub use shrink::{replay_command, shrink};
pub use slings::{SlingOptions, SlingReport, run_slings};
pub use trouble::{Trouble, Troubles};
