//! Whole networks on the loopback interface: two or three nodes, and hostile peers made of plain libp2p.

// Clippy's leave to panic in tests covers test functions, not their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod connect;
mod gossip;
mod harness;
mod hostile;
mod pull;
mod rpc;
