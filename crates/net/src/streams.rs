//! A behaviour of our own for held streams: opens them on the connection that it is told, hands up those that peers
//! open, keeps the connections of members alive, and refuses peers whose key is not Ed25519.
//!
//! It also tells whether somebody still lives at the other end of a connection: whoever answers a wish for another
//! stream, even with a refusal, does.

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
use libp2p::{Multiaddr, PeerId, identify};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the answer to a probe may take. Only connections that have a younger sister are probed.
const PROBE_TIMEOUT: Duration = Duration::from_millis(400);

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

/// What happened on a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// The peer opened a stream.
    Opened(PeerId, Box<Stream>),
    /// Nobody answered a probe.
    Dead(ConnectionId),
}

/// The peer's key is of another kind than ours.
#[derive(Debug, thiserror::Error)]
#[error("not an ed25519 peer id")]
struct ForeignKey;

/// See the module.
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    kept: HashSet<PeerId>,
    actions: VecDeque<ToSwarm<Event, Order>>,
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

    /// Asks for a sign of life on that connection; [`Event::Dead`] when none comes in time.
    pub(crate) fn probe(&mut self, peer: PeerId, connection: ConnectionId) {
        self.tell(peer, connection, Order::Probe);
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
            told: VecDeque::new(),
        })
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

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

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        let event = event.map_or(Event::Dead(id), |stream| Event::Opened(peer, Box::new(stream)));
        self.actions.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        // Actions come only from calls that the swarm's own task makes; it polls again after each.
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What the behaviour tells a connection.
#[derive(Debug)]
pub(crate) enum Order {
    Open(Reply),
    Probe,
    Keep(bool),
}

/// What a stream of ours is for.
#[derive(Debug)]
pub(crate) enum Aim {
    Use(Reply),
    Probe,
}

/// One connection's part.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    keep: bool,
    to_open: VecDeque<Aim>,
    /// Streams of the peer's; nothing stands for a probe that nobody answered.
    told: VecDeque<Option<Stream>>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Option<Stream>;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Aim;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keep
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Aim, Self::ToBehaviour>> {
        if let Some(told) = self.told.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(told));
        }
        let Some(aim) = self.to_open.pop_front() else { return Poll::Pending };
        let protocol = match aim {
            Aim::Use(_) => SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), aim),
            // Identify answers once and costs little; what it says does not matter here.
            Aim::Probe => {
                SubstreamProtocol::new(ReadyUpgrade::new(identify::PROTOCOL_NAME), aim).with_timeout(PROBE_TIMEOUT)
            }
        };
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Open(reply) => self.to_open.push_back(Aim::Use(reply)),
            Order::Probe => self.to_open.push_back(Aim::Probe),
            Order::Keep(keep) => self.keep = keep,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Aim>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. }) => {
                self.told.push_back(Some(stream));
            }
            // Whoever asked may have given up meanwhile; the stream is dropped then.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: Aim::Use(reply),
            }) => drop(reply.send(Ok(stream))),
            ConnectionEvent::FullyNegotiatedOutbound(_) => {}
            // That the other end does not know the protocol is an answer, too.
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: Aim::Probe,
                error: StreamUpgradeError::NegotiationFailed,
            }) => {}
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: Aim::Probe, .. }) => self.told.push_back(None),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: Aim::Use(reply), error }) => {
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
