//! Closing what nobody uses. libp2p's own timeout does not do: gossipsub holds a stream on every connection as soon as
//! it said anything, and connections with a stream are not idle to libp2p.

use super::{Service, to_libp2p};
use std::collections::HashSet;
use std::time::Instant;
use types::PeerId;

impl Service {
    /// Something was asked, answered, pulled or published by or for this peer.
    pub(super) fn touch(&mut self, peer: PeerId) {
        if let Some(last) = self.active.get_mut(&peer) {
            *last = Instant::now();
        }
    }

    /// Closes the connections to peers that nobody keeps, that are in no mesh of ours and with whom nothing happened
    /// for `Limits::idle`.
    pub(super) fn close_idle(&mut self, now: Instant) {
        let idle = self.limits.idle;
        if self.active.values().all(|last| now.duration_since(*last) < idle) {
            return;
        }
        let behaviour = self.swarm.behaviour();
        let mesh: HashSet<_> = behaviour.gossip().into_iter().flat_map(|gossip| gossip.all_mesh_peers()).collect();
        let idle: Vec<PeerId> = self
            .active
            .iter()
            .filter(|(_, last)| now.duration_since(**last) >= idle)
            .map(|(peer, _)| *peer)
            .filter(|peer| {
                let id = to_libp2p(peer);
                !behaviour.streams.is_kept(&id) && !mesh.contains(&id) && !self.pulls.is_busy(peer)
            })
            .collect();
        for peer in idle {
            tracing::debug!(%peer, "closing an idle connection");
            // Fails only when the peer is gone already.
            let _ = self.swarm.disconnect_peer_id(to_libp2p(&peer));
        }
    }
}
