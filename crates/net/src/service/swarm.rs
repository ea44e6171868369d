//! What the swarm tells.

use super::{Service, from_libp2p};
use crate::behaviour::{BehaviourEvent, Place};
use crate::budget::Act;
use crate::codec::Answer;
use crate::counters::count;
use crate::error::RequestError;
use crate::event::{Event, InboundId};
use crate::outbox::Item;
use crate::paths::{Path, Turn};
use crate::{rpc, streams};
use libp2p::request_response::{self, InboundFailure, Message};
use libp2p::swarm::{Stream, SwarmEvent};
use libp2p::{PeerId as Libp2pId, identify, mdns, ping};
use std::sync::PoisonError;
use std::time::Instant;
use types::PeerId;

impl Service {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                // Others were refused before their connection stood.
                if let Some(peer) = from_libp2p(&peer_id) {
                    self.probe_older(peer);
                    let turn = self.paths.opened(peer, connection_id, Path::of(&endpoint));
                    self.on_turn(peer, peer_id, turn);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, num_established, "connection closed");
                if let Some(peer) = from_libp2p(&peer_id) {
                    let turn = self.paths.closed(peer, connection_id);
                    self.on_turn(peer, peer_id, turn);
                }
                if num_established > 0 && cause.is_some() {
                    self.want_mending();
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                let address = address.to_string();
                self.listening.lock().unwrap_or_else(PoisonError::into_inner).push(address.clone());
                self.outbox.listening(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let address = address.to_string();
                self.listening.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != address);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(peer = ?peer_id, %error, "dial failed");
                count(&self.counters.dials_failed);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "incoming connection failed");
                count(&self.counters.inbound_failed);
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "listener closed");
            }
            _ => {}
        }
    }

    fn on_turn(&mut self, peer: PeerId, libp2p_id: Libp2pId, turn: Turn) {
        match turn {
            Turn::Connected(path) => {
                self.active.insert(peer, Instant::now());
                self.outbox.connected(peer, path);
            }
            Turn::PathChanged(path) => self.outbox.path_changed(peer, path),
            Turn::Nothing => {}
            Turn::Disconnected => {
                self.active.remove(&peer);
                self.budgets.forget(&peer);
                self.outbox.disconnected(peer);
                self.known.retain(|(known, _)| *known != libp2p_id);
                for id in self.outgoing.gone(&peer) {
                    self.fail_request(id, RequestError::Closed, None);
                }
            }
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Rpc(event) => self.on_rpc(Place::Members, event),
            BehaviourEvent::Lobby(event) => self.on_rpc(Place::Strangers, event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Streams(streams::Event::Opened(peer, stream)) => self.on_stream(&peer, *stream),
            BehaviourEvent::Streams(streams::Event::Dead(connection)) => {
                count(&self.counters.stale_closed);
                self.swarm.close_connection(connection);
                // It never heard our topics: they were announced into the dead connection.
                self.want_mending();
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, .. }) => {
                if let Some(peer) = from_libp2p(&peer_id) {
                    self.allow(peer, Act::Identify);
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    let taken =
                        from_libp2p(&peer).is_some_and(|peer| self.outbox.discovered(peer, address.to_string()));
                    if !taken {
                        count(&self.counters.discoveries_dropped);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_ping(&mut self, ping::Event { peer, connection, result }: ping::Event) {
        match result {
            Ok(rtt) => {
                if let Some(peer) = from_libp2p(&peer).filter(|peer| self.paths.is_connected(peer)) {
                    self.outbox.rtt(peer, u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
                }
            }
            // A peer without ping is judged by its transport alone.
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                // libp2p keeps the first failure to itself: this is the second in a row.
                tracing::debug!(peer = %peer, %error, "closing a connection whose pings fail");
                count(&self.counters.pings_lost);
                self.swarm.close_connection(connection);
            }
        }
    }

    fn on_stream(&mut self, from: &Libp2pId, stream: Stream) {
        let Some(peer) = from_libp2p(from) else { return };
        let pull = if !self.swarm.behaviour().door.is_member(from) {
            self.offend(from);
            None
        } else if self.allow(peer, Act::Pull) {
            self.touch(peer);
            self.pulls.theirs(peer)
        } else {
            None
        };
        match pull {
            Some(pull) => drop(self.tasks.spawn(pull.run(stream))),
            None => count(&self.counters.pulls_refused),
        }
    }

    fn on_rpc(&mut self, place: Place, event: request_response::Event<Vec<u8>, Answer>) {
        match event {
            request_response::Event::Message {
                peer,
                message: Message::Request { request_id, request: body, channel },
                ..
            } => {
                let allowed = from_libp2p(&peer).filter(|peer| self.allow(*peer, Act::Rpc));
                if let Some(peer) = allowed {
                    self.touch(peer);
                }
                let refused = match allowed {
                    None => Some(channel),
                    Some(peer) => match self.incoming.insert(peer, (place, request_id), channel) {
                        Err(channel) => Some(channel),
                        Ok(id) => {
                            let event = Event::Request { peer, id: InboundId(id), body };
                            if self.outbox.push(Item::Request(event)) { None } else { self.incoming.remove(id) }
                        }
                    },
                };
                if let Some(channel) = refused {
                    count(&self.counters.requests_refused);
                    // Fails only when the peer is gone.
                    let _ = self.swarm.behaviour_mut().respond(channel, Answer::Busy);
                }
            }
            request_response::Event::Message { message: Message::Response { request_id, response }, .. } => {
                if let Some((peer, id)) = self.outgoing.answered(&(place, request_id)) {
                    match rpc::result(response) {
                        Ok(body) => {
                            let event = Event::Response { id, result: Ok(body) };
                            self.outbox.push(Item::Answer(event, Some(peer)));
                        }
                        Err(error) => self.fail_request(id, error, Some(peer)),
                    }
                }
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                if let Some((peer, id)) = self.outgoing.answered(&(place, request_id)) {
                    self.fail_request(id, rpc::failure(error), Some(peer));
                }
            }
            request_response::Event::InboundFailure { peer, request_id, error, .. } => {
                self.incoming.broken(&(place, request_id));
                if !matches!(error, InboundFailure::ResponseOmission) {
                    tracing::debug!(%error, "a peer's request broke off");
                    count(&self.counters.requests_broken);
                    self.offend(&peer);
                }
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }
}
