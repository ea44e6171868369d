//! Which connections a peer has, and which of them is the best.

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use std::collections::HashMap;
use types::PeerId;

/// How a peer is reached on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The remote multiaddr, without the peer id.
    pub(crate) address: String,
    /// `tcp`, `quic` or `relay`.
    pub(crate) transport: &'static str,
    /// Whether we dialled.
    pub(crate) outbound: bool,
}

impl Path {
    pub(crate) fn of(endpoint: &ConnectedPoint) -> Path {
        let mut address = endpoint.get_remote_address().clone();
        let transport = if endpoint.is_relayed() {
            "relay"
        } else if address.iter().any(|part| matches!(part, Protocol::QuicV1)) {
            "quic"
        } else {
            "tcp"
        };
        if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
            address.pop();
        }
        Path { address: address.to_string(), transport, outbound: endpoint.is_dialer() }
    }

    /// Direct beats relayed; QUIC notices a dead path sooner than TCP.
    fn rank(&self) -> u8 {
        match self.transport {
            "quic" => 2,
            "tcp" => 1,
            _ => 0,
        }
    }
}

/// What a connection's opening or closing means for its peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was the first.
    Connected(Path),
    /// The best connection is another one.
    PathChanged(Path),
    /// It was the last.
    Disconnected,
    /// Nothing that anybody notices.
    Nothing,
}

/// All connections, by peer.
#[derive(Default)]
pub(crate) struct Paths {
    peers: HashMap<PeerId, Vec<(ConnectionId, Path)>>,
}

impl Paths {
    fn best_of(connections: &[(ConnectionId, Path)]) -> Option<&(ConnectionId, Path)> {
        // The oldest of the best: `max_by_key` would take the newest.
        connections.iter().rev().max_by_key(|(_, path)| path.rank())
    }

    /// The connection that new streams to this peer should use.
    pub(crate) fn best(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.peers.get(peer).and_then(|connections| Self::best_of(connections)).map(|(id, _)| *id)
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Every connection of this peer.
    pub(crate) fn of(&self, peer: &PeerId) -> impl Iterator<Item = ConnectionId> + '_ {
        self.peers.get(peer).into_iter().flatten().map(|(id, _)| *id)
    }

    pub(crate) fn opened(&mut self, peer: PeerId, id: ConnectionId, path: Path) -> Turn {
        let connections = self.peers.entry(peer).or_default();
        connections.push((id, path.clone()));
        if connections.len() == 1 {
            return Turn::Connected(path);
        }
        match Self::best_of(connections) {
            Some((best, _)) if *best == id => Turn::PathChanged(path),
            _ => Turn::Nothing,
        }
    }

    pub(crate) fn closed(&mut self, peer: PeerId, id: ConnectionId) -> Turn {
        let Some(connections) = self.peers.get_mut(&peer) else { return Turn::Nothing };
        let before = Self::best_of(connections).map(|(id, _)| *id);
        connections.retain(|(other, _)| *other != id);
        let turn = match Self::best_of(connections) {
            None => Turn::Disconnected,
            Some((now, path)) if Some(*now) != before => Turn::PathChanged(path.clone()),
            Some(_) => Turn::Nothing,
        };
        if turn == Turn::Disconnected {
            self.peers.remove(&peer);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_beats_relayed_and_only_the_last_close_disconnects() {
        let peer = PeerId::from_ed25519([1; 32]);
        let [a, b, c] = [1, 2, 3].map(ConnectionId::new_unchecked);
        let path = |transport: &'static str| Path { address: transport.into(), transport, outbound: true };
        let mut paths = Paths::default();
        assert_eq!(paths.opened(peer, a, path("relay")), Turn::Connected(path("relay")));
        assert_eq!(paths.opened(peer, b, path("tcp")), Turn::PathChanged(path("tcp")));
        assert_eq!(paths.opened(peer, c, path("tcp")), Turn::Nothing);
        assert_eq!(paths.best(&peer), Some(b));
        assert_eq!(paths.closed(peer, b), Turn::PathChanged(path("tcp")));
        assert_eq!(paths.best(&peer), Some(c));
        assert_eq!(paths.closed(peer, c), Turn::PathChanged(path("relay")));
        assert_eq!(paths.closed(peer, a), Turn::Disconnected);
        assert!(!paths.is_connected(&peer));
        assert_eq!(paths.closed(peer, a), Turn::Nothing);
    }
}
