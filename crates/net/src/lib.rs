//! The libp2p shell of a townmesh node, and the only crate that knows libp2p.
//!
//! One task owns the swarm ([`spawn`]). Commands go in through a cloneable [`Handle`], [`Event`]s come out of one bounded
//! channel. Nothing is verified or decoded here beyond framing: records are handed up as bytes, and what they are
//! worth is decided above. Peers are Ed25519 [`types::PeerId`]s, addresses are multiaddr texts.
//!
//! **Strangers** are peers that nobody keeps ([`Handle::keep`]). They get few places and little time (`door`), may ask a
//! few small questions, and see no gossip (`gate`). What every peer may do, and how often, has a limit (`budget`); who
//! goes over it is answered "busy" or not heard, and after too many offences refused for a while.
//!
//! **When the reader of events is slow**, each kind of event has its own way to bend, and the swarm never waits:
//! - connection events, round trips and discoveries coalesce per peer; a `Connected` or `Disconnected` is never lost,
//!   and a peer that went and came back in between is reported as both;
//! - answers to our own requests wait; the slot of a request is freed when its answer was taken, so there are at most
//!   `RPC_CONCURRENT_MAX` waiting answers per peer;
//! - gossip waits in a bounded queue, then is dropped, counted and judged [`Verdict::Ignore`];
//! - requests of peers wait in a bounded queue, then are answered "busy" and counted;
//! - frames of pulls wait in the stream's own task, so the stream (and in the end the sender) slows down. These come
//!   from tasks of their own and are not ordered against the connection events.

mod behaviour;
mod budget;
mod codec;
mod counters;
mod door;
mod error;
mod event;
mod frames;
mod gate;
mod gossip;
mod handle;
mod options;
mod outbox;
mod paths;
mod pull;
mod rpc;
mod service;
mod streams;

pub use counters::Counters;
pub use error::{AddressError, Error, PullError, RequestError, Stopped};
pub use event::{Event, InboundId, MessageRef, StreamId, Verdict};
pub use handle::Handle;
pub use options::{GossipOptions, Limits, Options};
pub use pull::FrameSender;
pub use service::spawn;
