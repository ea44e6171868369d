//! What peers may do, and what becomes of those who do more.

use super::{Service, from_libp2p, to_libp2p};
use crate::budget::Act;
use crate::counters::count;
use libp2p::PeerId as Libp2pId;
use std::time::Instant;
use types::PeerId;

impl Service {
    /// Whether a peer may do this now; when not, that is an offence.
    pub(super) fn allow(&mut self, peer: PeerId, act: Act) -> bool {
        let from = to_libp2p(&peer);
        let member = self.swarm.behaviour().door.is_member(&from);
        let allowed = self.budgets.allow(peer, member, act, Instant::now());
        if !allowed {
            count(&self.counters.over_rate);
            self.offend(&from);
        }
        allowed
    }

    /// A peer broke a rule. Once too often, and it is refused for a while.
    pub(super) fn offend(&mut self, from: &Libp2pId) {
        let Some(peer) = from_libp2p(from).filter(|peer| self.paths.is_connected(peer)) else { return };
        let now = Instant::now();
        let member = self.swarm.behaviour().door.is_member(from);
        if self.budgets.offend(peer, member, now) {
            return;
        }
        // What was under way when the ban began still arrives. One line per ban, and a ban lasts: no peer fills the log.
        if !self.swarm.behaviour_mut().door.ban(*from, now) {
            return;
        }
        if member {
            tracing::warn!(%peer, "a member broke the rules too often and is refused for a while");
        } else {
            tracing::debug!(%peer, "a stranger broke the rules too often and is refused for a while");
        }
        count(&self.counters.banned);
        // Fails only when the peer is gone already.
        let _ = self.swarm.disconnect_peer_id(*from);
    }

    /// Closes the connections of strangers whose time is over.
    pub(super) fn close_strangers(&mut self, now: Instant) {
        for connection in self.swarm.behaviour().door.overdue(now) {
            count(&self.counters.strangers_closed);
            self.swarm.close_connection(connection);
        }
    }

    /// A peer comes anew: perhaps it was killed, and its older connections only seem to stand. libp2p would notice
    /// after some pings, and gossip goes into the dead connection until then. Two hosts that dialled each other at
    /// once both answer, so neither closes anything.
    pub(super) fn probe_older(&mut self, peer: PeerId) {
        let older: Vec<_> = self.paths.of(&peer).collect();
        for connection in older {
            self.swarm.behaviour_mut().streams.probe(to_libp2p(&peer), connection);
        }
    }
}
