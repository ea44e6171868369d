//! How the node talks to its network.

use crate::behaviour::parse_address;
use crate::counters::{self, Counters, count};
use crate::error::{AddressError, PullError, Stopped};
use crate::event::{InboundId, MessageRef, StreamId, Verdict};
use crate::pull::{FrameSender, Pulls};
use libp2p::Multiaddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use types::PeerId;

/// Addresses in one dial.
const DIAL_ADDRS_MAX: usize = 32;

/// What the owner of the swarm is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Dial(Option<PeerId>, Vec<Multiaddr>),
    Disconnect(PeerId),
    Keep(PeerId, bool),
    Subscribe(String),
    Unsubscribe(String),
    Publish(String, Vec<u8>),
    Verdict(MessageRef, Verdict),
    Request(PeerId, u64, Vec<u8>),
    Respond(InboundId, Vec<u8>),
    Pull(PeerId, u64, Vec<u8>),
}

/// Talks to the network; cheap to clone. The network always takes commands, even while nobody reads events, so the
/// reader of events may wait here without a deadlock. Each call has a `try_` twin that never waits: it fails with
/// [`Stopped::Full`], counted in `commands_dropped`, when the queue is full.
#[derive(Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) counters: Arc<counters::Shared>,
    pub(crate) listening: Arc<Mutex<Vec<String>>>,
    pub(crate) pulls: Arc<Pulls>,
    pub(crate) peer: PeerId,
}

fn dial(peer: Option<PeerId>, addrs: &[String]) -> Result<Command, AddressError> {
    if addrs.is_empty() || addrs.len() > DIAL_ADDRS_MAX {
        return Err(AddressError::Count { count: addrs.len(), max: DIAL_ADDRS_MAX });
    }
    Ok(Command::Dial(peer, addrs.iter().map(|text| parse_address(text)).collect::<Result<_, _>>()?))
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident / $try_name:ident ($($arg:ident: $ty:ty),*) => $command:expr;)*) => {
        impl Handle {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Stopped::Stopped`] when the network has stopped.
                pub async fn $name(&self, $($arg: $ty),*) -> Result<(), Stopped> {
                    self.send($command).await
                }

                #[doc = concat!("[`Handle::", stringify!($name), "`], without waiting.")]
                ///
                /// # Errors
                /// [`Stopped`] when the network has stopped or its queue is full; nothing was done then.
                pub fn $try_name(&self, $($arg: $ty),*) -> Result<(), Stopped> {
                    self.try_send($command)
                }
            )*
        }
    };
}

calls! {
    /// Closes all connections to a peer.
    disconnect / try_disconnect(peer: PeerId) => Command::Disconnect(peer);
    /// Keeps the connection to a peer when it is idle, or no longer. Outlives the connection.
    keep / try_keep(peer: PeerId, keep: bool) => Command::Keep(peer, keep);
    /// Takes part in a topic.
    subscribe / try_subscribe(topic: String) => Command::Subscribe(topic);
    /// Leaves a topic.
    unsubscribe / try_unsubscribe(topic: String) => Command::Unsubscribe(topic);
    /// Sends to a topic, at most `GOSSIP_BYTES_MAX` bytes. That nobody listens is not an error but a counter:
    /// catching up stands behind it.
    publish / try_publish(topic: String, data: Vec<u8>) => Command::Publish(topic, data);
    /// Judges a gossip message.
    verdict / try_verdict(message: MessageRef, verdict: Verdict) => Command::Verdict(message, verdict);
    /// Asks a peer, at most `RPC_BYTES_MAX` bytes; ends in one `Event::Response` with this id.
    request / try_request(peer: PeerId, id: u64, body: Vec<u8>) => Command::Request(peer, id, body);
    /// Answers a peer, at most `RPC_BYTES_MAX` bytes; a larger answer reaches it as "too large".
    respond / try_respond(id: InboundId, body: Vec<u8>) => Command::Respond(id, body);
    /// Opens a pull stream and asks, at most `FRAME_BYTES_MAX` bytes; every frame is an `Event::PullFrame`, the
    /// end one `Event::PullEnd` with this id. It takes a direct connection rather than a relayed one.
    pull / try_pull(peer: PeerId, id: u64, request: Vec<u8>) => Command::Pull(peer, id, request);
}

impl Handle {
    /// Dials a peer, or (with no peer given) whoever answers at each of the addresses. Nothing happens when the peer
    /// is connected or being dialled already. Success is an `Event::Connected`; failure only a counter.
    ///
    /// # Errors
    /// [`AddressError`] when an address is none, or none or too many are given, or the network has stopped.
    pub async fn dial(&self, peer: Option<PeerId>, addrs: Vec<String>) -> Result<(), AddressError> {
        Ok(self.send(dial(peer, &addrs)?).await?)
    }

    /// [`Handle::dial`], without waiting.
    ///
    /// # Errors
    /// As [`Handle::dial`], and [`Stopped::Full`] when the queue is full.
    pub fn try_dial(&self, peer: Option<PeerId>, addrs: Vec<String>) -> Result<(), AddressError> {
        Ok(self.try_send(dial(peer, &addrs)?)?)
    }

    /// Takes over a stream that a peer opened, to send it frames. It waits `Limits::stall_timeout` for that.
    ///
    /// # Errors
    /// [`PullError::NoSuchStream`] when it is gone, or taken already.
    pub fn serve(&self, stream: StreamId) -> Result<FrameSender, PullError> {
        self.pulls.claim(stream)
    }

    /// The multiaddrs at which we listen now.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Our own peer id.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// What was dropped, refused or failed so far.
    pub fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped::Stopped)
    }

    fn try_send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => Stopped::Stopped,
            mpsc::error::TrySendError::Full(_) => {
                count(&self.counters.commands_dropped);
                Stopped::Full
            }
        })
    }
}
