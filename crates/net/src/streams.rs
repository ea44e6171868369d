//! A behaviour of our own for held streams: opens them on the connection that it is told, hands up those that peers
//! open, keeps the connections of members alive, and refuses peers whose key is not Ed25519.

use crate::counters::{self, count};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Why a stream did not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The peer does not speak the protocol.
    Unsupported,
    /// Anything else.
    Failed(String),
}

/// Where an opened stream goes. Dropped unanswered when the connection closes meanwhile.
pub(crate) type Reply = oneshot::Sender<Result<Stream, OpenError>>;

/// A peer opened a stream.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) peer: PeerId,
    pub(crate) stream: Stream,
}

/// The peer's key is of another kind than ours.
#[derive(Debug, thiserror::Error)]
#[error("not an ed25519 peer id")]
struct ForeignKey;

/// See the module.
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    kept: HashSet<PeerId>,
    actions: VecDeque<ToSwarm<Opened, Order>>,
    counters: Arc<counters::Shared>,
}

impl Behaviour {
    pub(crate) fn new(protocol: StreamProtocol, counters: Arc<counters::Shared>) -> Behaviour {
        Behaviour { protocol, kept: HashSet::new(), actions: VecDeque::new(), counters }
    }

    /// Opens a stream on that connection.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId, reply: Reply) {
        self.tell(peer, connection, Order::Open(reply));
    }

    /// Keeps the connections of a peer alive when idle, or no longer.
    pub(crate) fn keep(&mut self, peer: PeerId, keep: bool, connections: impl Iterator<Item = ConnectionId>) {
        if keep {
            self.kept.insert(peer);
        } else {
            self.kept.remove(&peer);
        }
        for connection in connections {
            self.tell(peer, connection, Order::Keep(keep));
        }
    }

    /// Whether the connections of this peer are kept.
    pub(crate) fn is_kept(&self, peer: &PeerId) -> bool {
        self.kept.contains(peer)
    }

    fn tell(&mut self, peer_id: PeerId, connection: ConnectionId, event: Order) {
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event });
    }

    fn handler(&self, peer: PeerId) -> Result<Handler, ConnectionDenied> {
        if types::PeerId::from_bytes(&peer.to_bytes()).is_err() {
            count(&self.counters.foreign_keys);
            return Err(ConnectionDenied::new(ForeignKey));
        }
        Ok(Handler {
            protocol: self.protocol.clone(),
            keep: self.kept.contains(&peer),
            to_open: VecDeque::new(),
            opened: VecDeque::new(),
        })
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, stream: THandlerOutEvent<Self>) {
        self.actions.push_back(ToSwarm::GenerateEvent(Opened { peer, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Opened, THandlerInEvent<Self>>> {
        // Actions come only from calls that the swarm's own task makes; it polls again after each.
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What the behaviour tells a connection.
#[derive(Debug)]
pub(crate) enum Order {
    Open(Reply),
    Keep(bool),
}

/// One connection's part.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    keep: bool,
    to_open: VecDeque<Reply>,
    opened: VecDeque<Stream>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Stream;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Reply, Self::ToBehaviour>> {
        if let Some(stream) = self.opened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        match self.to_open.pop_front() {
            Some(reply) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), reply),
            }),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Open(reply) => self.to_open.push_back(reply),
            Order::Keep(keep) => self.keep = keep,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Reply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                self.opened.push_back(stream);
            }
            // Whoever asked may have given up meanwhile; the stream is dropped then.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info: reply }) => {
                drop(reply.send(Ok(stream)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    other => OpenError::Failed(other.to_string()),
                };
                drop(reply.send(Err(error)));
            }
            _ => {}
        }
    }
}
