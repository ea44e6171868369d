//! What the network tells.

use crate::error::{PullError, RequestError};
use types::PeerId;

/// A gossip message that waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageRef(pub u64);

/// A peer's request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InboundId(pub u64);

/// A peer's pull stream that waits to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u64);

/// What becomes of a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: pass it on.
    Accept,
    /// Not ours to judge: do not pass it on, do not blame the sender.
    Ignore,
    /// Proven invalid: do not pass it on; counted against the sender.
    Reject,
}

/// Something that happened. The crate's page says what happens to each kind when the reader is slow.
#[derive(Debug)]
pub enum Event {
    /// We listen at this multiaddr.
    Listening(String),
    /// The first connection to a peer stands.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// Its multiaddr on this connection.
        address: String,
        /// `tcp`, `quic` or `relay`.
        transport: &'static str,
        /// Whether we dialled.
        outbound: bool,
    },
    /// The best connection to a connected peer is another one now.
    PathChanged {
        /// The peer.
        peer: PeerId,
        /// Its multiaddr on the best connection.
        address: String,
        /// `tcp`, `quic` or `relay`.
        transport: &'static str,
        /// Whether we dialled.
        outbound: bool,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A measured round trip.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// Microseconds.
        micros: u64,
    },
    /// Somebody announced themselves on the local network. Anybody may claim anything there.
    Discovered {
        /// Who they say they are.
        peer: PeerId,
        /// Where they say they are.
        addrs: Vec<String>,
    },
    /// A gossip message, the first copy of it. It is passed on only after [`Verdict::Accept`], within five seconds.
    Gossip {
        /// Who handed it to us (not its author).
        peer: PeerId,
        /// The topic's name.
        topic: String,
        /// The payload, at most `GOSSIP_BYTES_MAX`.
        data: Vec<u8>,
        /// For the verdict.
        message: MessageRef,
    },
    /// A peer asks.
    Request {
        /// Who.
        peer: PeerId,
        /// For the answer.
        id: InboundId,
        /// The question, at most `RPC_BYTES_MAX`.
        body: Vec<u8>,
    },
    /// The answer to our request. Every request has exactly one.
    Response {
        /// The id that we gave the request.
        id: u64,
        /// The answer, or why there is none.
        result: Result<Vec<u8>, RequestError>,
    },
    /// A peer opened a pull stream and asked.
    PullRequested {
        /// Who.
        peer: PeerId,
        /// For serving.
        stream: StreamId,
        /// The question, at most `FRAME_BYTES_MAX`.
        body: Vec<u8>,
    },
    /// One frame of a pull of ours.
    PullFrame {
        /// The id that we gave the pull.
        id: u64,
        /// The frame.
        body: Vec<u8>,
    },
    /// A pull of ours is over. Every pull has exactly one, after its last frame.
    PullEnd {
        /// The id that we gave the pull.
        id: u64,
        /// `Ok` only when the peer said that this was all.
        result: Result<(), PullError>,
    },
}
