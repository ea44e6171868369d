//! A behaviour behind a gate: on connections to peers that are not let in it does not exist. Its protocols are not
//! offered, nothing of it is sent, and it does not even know that the connection is there. The gate opens on
//! connections that stand already as soon as their peer is let in.
//!
//! Two hosts never let each other in at the same moment, and a protocol that was refused once is not tried again on
//! that connection. So a gate may offer its protocol while it is shut: the newest stream of a peer then waits, unread,
//! for the gate to open ([`Gate::holding`]).

mod handler;

use handler::{GateHandler, Offer, Order};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Peers that the gate was opened for.
    Members,
    /// Peers that the gate was not opened for when their connection began.
    Strangers,
    /// All.
    Everybody,
}

/// A connection as the gate sees it.
struct Seen {
    peer: PeerId,
    endpoint: ConnectedPoint,
}

/// See the module.
pub(crate) struct Gate<B: NetworkBehaviour> {
    inner: B,
    who: Who,
    members: HashSet<PeerId>,
    /// Connections that stand.
    seen: HashMap<ConnectionId, Seen>,
    /// Connections on which the inner behaviour has, or will have, a handler.
    inside: HashSet<ConnectionId>,
    actions: VecDeque<ToSwarm<B::ToSwarm, Order<THandler<B>>>>,
    offer: Option<Offer<THandler<B>>>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(crate) fn new(inner: B, who: Who) -> Gate<B> {
        Gate {
            inner,
            who,
            members: HashSet::new(),
            seen: HashMap::new(),
            inside: HashSet::new(),
            actions: VecDeque::new(),
            offer: None,
        }
    }

    /// While it is shut, streams wait. What they speak is asked of a handler of another behaviour of the same kind.
    pub(crate) fn holding(mut self, mut twin: B) -> Gate<B> {
        let (nobody, nowhere) = (PeerId::random(), Multiaddr::empty());
        let id = ConnectionId::new_unchecked(usize::MAX);
        let handler = twin.handle_established_inbound_connection(id, nobody, &nowhere, &nowhere);
        // None of ours refuses; without its handler the gate offers nothing while it is shut.
        self.offer = handler.ok().map(Offer::of);
        self
    }

    /// The behaviour behind the gate.
    pub(crate) fn get(&self) -> &B {
        &self.inner
    }

    /// The behaviour behind the gate.
    pub(crate) fn get_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Lets a peer in, or no longer. What stands already stays as it is when a peer is shut out.
    pub(crate) fn admit(&mut self, peer: PeerId, member: bool) {
        if !member {
            self.members.remove(&peer);
        } else if self.members.insert(peer) && self.who == Who::Members {
            self.open(peer);
        }
    }

    fn welcome(&self, peer: &PeerId) -> bool {
        match self.who {
            Who::Members => self.members.contains(peer),
            Who::Strangers => !self.members.contains(peer),
            Who::Everybody => true,
        }
    }

    fn of(&self, peer: PeerId) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.seen.iter().filter(|(_, seen)| seen.peer == peer).map(|(id, _)| *id).collect();
        ids.sort();
        ids
    }

    /// How many connections of this peer the inner behaviour knows, but for one.
    fn others(&self, peer: PeerId, but: ConnectionId) -> usize {
        self.seen.iter().filter(|(id, seen)| seen.peer == peer && **id != but && self.inside.contains(id)).count()
    }

    fn open(&mut self, peer: PeerId) {
        for id in self.of(peer) {
            if self.inside.contains(&id) {
                continue;
            }
            let Some(Seen { endpoint, .. }) = self.seen.get(&id) else { continue };
            let endpoint = endpoint.clone();
            let handler = match &endpoint {
                ConnectedPoint::Listener { local_addr, send_back_addr } => {
                    self.inner.handle_established_inbound_connection(id, peer, local_addr, send_back_addr)
                }
                ConnectedPoint::Dialer { address, role_override, port_use } => {
                    self.inner.handle_established_outbound_connection(id, peer, address, *role_override, *port_use)
                }
            };
            // No behaviour of ours refuses; one that did would only stay outside.
            let Ok(handler) = handler else { continue };
            let event = Order::Begin(Box::new(handler));
            self.actions.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler: NotifyHandler::One(id), event });
            self.enter(id, peer, &endpoint, &[]);
        }
    }

    fn enter(&mut self, id: ConnectionId, peer: PeerId, endpoint: &ConnectedPoint, failed: &[Multiaddr]) {
        let other_established = self.others(peer, id);
        self.inside.insert(id);
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: id,
            endpoint,
            failed_addresses: failed,
            other_established,
        }));
    }

    fn leave(&mut self, id: ConnectionId, cause: Option<&libp2p::swarm::ConnectionError>) {
        let Some(Seen { peer, endpoint }) = self.seen.get(&id) else { return };
        let (peer, endpoint) = (*peer, endpoint.clone());
        if !self.inside.remove(&id) {
            return;
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: peer,
            connection_id: id,
            endpoint: &endpoint,
            cause,
            remaining_established: self.others(peer, id),
        }));
    }

    fn handler(&self, handler: Option<THandler<B>>) -> GateHandler<THandler<B>> {
        GateHandler::new(handler, self.offer.clone())
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = GateHandler<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.welcome(&peer) {
            return Ok(self.handler(None));
        }
        let handler = self.inner.handle_established_inbound_connection(id, peer, local, remote)?;
        self.inside.insert(id);
        Ok(self.handler(Some(handler)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.welcome(&peer) {
            return Ok(self.handler(None));
        }
        let handler = self.inner.handle_established_outbound_connection(id, peer, address, role, port)?;
        self.inside.insert(id);
        Ok(self.handler(Some(handler)))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                failed_addresses,
                ..
            }) => {
                let seen = Seen { peer: peer_id, endpoint: endpoint.clone() };
                self.seen.insert(connection_id, seen);
                if self.inside.contains(&connection_id) {
                    self.enter(connection_id, peer_id, endpoint, failed_addresses);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, cause, .. }) => {
                self.leave(connection_id, cause);
                self.seen.remove(&connection_id);
            }
            FromSwarm::AddressChange(ref change) => {
                if let Some(seen) = self.seen.get_mut(&change.connection_id) {
                    seen.endpoint = change.new.clone();
                }
                if self.inside.contains(&change.connection_id) {
                    self.inner.on_swarm_event(event);
                }
            }
            FromSwarm::DialFailure(ref failure) => {
                self.inside.remove(&failure.connection_id);
                self.inner.on_swarm_event(event);
            }
            FromSwarm::ListenFailure(ref failure) => {
                self.inside.remove(&failure.connection_id);
                self.inner.on_swarm_event(event);
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        // What a handler said before it was replaced is of no use to its successor.
        if self.inside.contains(&id) {
            self.inner.on_connection_handler_event(peer, id, event);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<B::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        self.inner.poll(cx).map(|action| action.map_in(Order::Inner))
    }
}
