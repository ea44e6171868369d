//! Ops: made here, taken in from others, caught up with.

mod exchange;
mod gossip;
mod heads;
mod ingest;
mod local;
mod serve;

pub(crate) use exchange::first_exchange;
pub(crate) use heads::{Ends, RemoteTip, remote_tips, wire_tips};
pub(crate) use ingest::Taken;
pub use serve::{ServePlan, serve_page};
