//! Whole networks on the loopback interface: two or three nodes, and hostile peers made of plain libp2p.

mod connect;
mod gossip;
mod harness;
mod hostile;
mod pull;
mod rpc;
