//! A local net of real `townmesh` processes, for the demo and for the tests that need processes.
//!
//! [`Net`] has [`Node`]s with homes and workspace directories of their own, on loopback, without mDNS. Nodes are steered
//! through the command line and judged by what they print and write; only [`hostile`] knows the formats, to break them.

mod asleep;
pub mod bd;
pub mod bench;
mod binary;
pub mod compare;
pub mod control;
pub mod crash;
pub mod fixture;
pub mod hostile;
pub mod latency;
mod net;
mod node;
pub mod random;
pub mod sling;
pub mod slung;
mod wait;

pub use asleep::Asleep;
pub use binary::{binary, workspace};
pub use net::Net;
pub use node::{Node, Output, PATIENCE, kill_now};
pub use random::Random;
pub use wait::wait_until;
