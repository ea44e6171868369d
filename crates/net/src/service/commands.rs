//! What the node asks for.

use super::{Service, to_libp2p};
use crate::codec::Answer;
use crate::counters::count;
use crate::error::{PullError, RequestError};
use crate::event::Event;
use crate::handle::Command;
use crate::outbox::Item;
use libp2p::Multiaddr;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use proto::limits::{FRAME_BYTES_MAX, RPC_BYTES_MAX};
use std::time::Instant;
use types::PeerId;

impl Service {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial(peer, addrs) => self.dial(peer, addrs),
            Command::Disconnect(peer) => {
                // Fails only when the peer is not connected.
                let _ = self.swarm.disconnect_peer_id(to_libp2p(&peer));
            }
            Command::Keep(peer, keep) => {
                // Whoever is let go of is idle from now on, not from long ago.
                self.touch(peer);
                let connections = self.paths.of(&peer);
                let behaviour = self.swarm.behaviour_mut();
                behaviour.streams.keep(to_libp2p(&peer), keep, connections);
                behaviour.admit(to_libp2p(&peer), keep, Instant::now());
            }
            Command::Subscribe(topic) => self.subscribe(topic),
            Command::Unsubscribe(topic) => self.unsubscribe(&topic),
            Command::Publish(topic, data) => self.publish(&topic, data),
            Command::Verdict(message, verdict) => self.judge(message, verdict),
            Command::Request(peer, id, body) => self.request(peer, id, body),
            Command::Respond(id, body) => self.respond(id.0, body),
            Command::Pull(peer, id, request) => self.pull(peer, id, request),
        }
    }

    fn dial(&mut self, peer: Option<PeerId>, addrs: Vec<Multiaddr>) {
        let dials = match peer {
            Some(peer) => vec![
                DialOpts::peer_id(to_libp2p(&peer))
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(addrs)
                    .build(),
            ],
            // An address may name its peer; then that peer must answer.
            None => addrs.into_iter().map(DialOpts::from).collect(),
        };
        for opts in dials {
            match self.swarm.dial(opts) {
                // Connected or being dialled already.
                Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "dial refused");
                    count(&self.counters.dials_failed);
                }
            }
        }
    }

    fn request(&mut self, peer: PeerId, id: u64, body: Vec<u8>) {
        // libp2p would dial, and keep any number of requests while it does.
        if !self.paths.is_connected(&peer) {
            return self.fail_request(id, RequestError::NotConnected, None);
        }
        match self.outgoing.push(peer, id, body, Instant::now()) {
            Ok(()) => self.send_requests(peer),
            Err(error) => self.fail_request(id, error, None),
        }
    }

    /// Sends what has a free slot.
    pub(super) fn send_requests(&mut self, peer: PeerId) {
        self.touch(peer);
        while let Some((id, body)) = self.outgoing.pop(&peer) {
            let to = to_libp2p(&peer);
            let (place, rpc) = self.swarm.behaviour_mut().rpc(&to);
            let request = rpc.send_request(&to, body);
            self.outgoing.sent((place, request), peer, id);
        }
    }

    fn respond(&mut self, id: u64, body: Vec<u8>) {
        let Some(channel) = self.incoming.remove(id) else {
            return count(&self.counters.answers_lost);
        };
        let answer = if body.len() > RPC_BYTES_MAX {
            count(&self.counters.answers_lost);
            Answer::TooLarge
        } else {
            Answer::Body(body)
        };
        if !self.swarm.behaviour_mut().respond(channel, answer) {
            count(&self.counters.answers_lost);
        }
    }

    fn pull(&mut self, peer: PeerId, id: u64, request: Vec<u8>) {
        let place = if request.len() > FRAME_BYTES_MAX {
            Err(PullError::TooLarge { len: request.len(), max: FRAME_BYTES_MAX })
        } else if !self.paths.is_connected(&peer) {
            Err(PullError::NotConnected)
        } else {
            self.pulls.ours(peer)
        };
        match place {
            Ok(pull) => {
                self.touch(peer);
                drop(self.tasks.spawn(pull.run(id, request)));
            }
            Err(error) => {
                self.outbox.push(Item::Answer(Event::PullEnd { id, result: Err(error) }, None));
            }
        }
    }
}
