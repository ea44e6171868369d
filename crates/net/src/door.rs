//! Who may connect. Strangers have few places and little time, so that members always find room; offenders wait.

use crate::budget::Bucket;
use crate::counters::{self, count};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};
use proto::limits;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Addresses and offenders that are remembered; when there are more, those that matter least are forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("too many connections from this address")]
    Address,
    #[error("too many strangers are connected")]
    Strangers,
    #[error("this peer broke the rules a moment ago")]
    Banned,
}

/// An IPv4 address, or the /64 that one customer usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin([u8; 8]);

impl Origin {
    fn of(address: &Multiaddr) -> Option<Origin> {
        let ip = address.iter().find_map(|part| match part {
            Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
            Protocol::Ip6(ip) => Some(ip.to_canonical()),
            _ => None,
        })?;
        Some(Origin(match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                [0, 0, 0, 0, a, b, c, d]
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                [a, b, c, d, e, f, g, h]
            }
        }))
    }
}

/// See the module.
pub(crate) struct Door {
    members: HashSet<PeerId>,
    /// Whether there are strangers at all.
    guarded: bool,
    origins: HashMap<Origin, Bucket>,
    pending: HashMap<ConnectionId, Origin>,
    /// Incoming connections that stand or are about to.
    inbound: HashMap<ConnectionId, (PeerId, Instant)>,
    banned: HashMap<PeerId, Instant>,
    counters: Arc<counters::Shared>,
}

impl Door {
    pub(crate) fn new(guarded: bool, counters: Arc<counters::Shared>) -> Door {
        Door {
            members: HashSet::new(),
            guarded,
            origins: HashMap::new(),
            pending: HashMap::new(),
            inbound: HashMap::new(),
            banned: HashMap::new(),
            counters,
        }
    }

    /// Tells who is a member.
    pub(crate) fn admit(&mut self, peer: PeerId, member: bool, now: Instant) {
        if member {
            self.members.insert(peer);
        } else {
            self.members.remove(&peer);
            for (_, since) in self.inbound.values_mut().filter(|(other, _)| *other == peer) {
                *since = now;
            }
        }
    }

    pub(crate) fn is_member(&self, peer: &PeerId) -> bool {
        !self.guarded || self.members.contains(peer)
    }

    /// Refuses a peer from now on, for a while. Returns whether it was not refused before.
    pub(crate) fn ban(&mut self, peer: PeerId, now: Instant) -> bool {
        let until = now + Duration::from_secs(limits::BAN_S);
        self.banned.retain(|_, until| *until > now);
        if self.banned.len() >= REMEMBERED_MAX
            && let Some(first) = self.banned.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer)
        {
            self.banned.remove(&first);
        }
        self.banned.insert(peer, until).is_none()
    }

    /// Incoming connections of strangers whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<ConnectionId> {
        let max = Duration::from_secs(limits::STRANGER_S_MAX);
        let late = |peer: &PeerId, since: &Instant| !self.is_member(peer) && now.duration_since(*since) >= max;
        self.inbound.iter().filter(|(_, (peer, since))| late(peer, since)).map(|(id, _)| *id).collect()
    }

    fn check_origin(&mut self, id: ConnectionId, origin: Origin, now: Instant) -> Result<(), Refused> {
        if self.pending.values().filter(|other| **other == origin).count() >= limits::PENDING_PER_ADDRESS_MAX {
            return Err(Refused::Address);
        }
        if self.origins.len() >= REMEMBERED_MAX {
            self.origins.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.origins.len() >= REMEMBERED_MAX && !self.origins.contains_key(&origin) {
            return Err(Refused::Address);
        }
        let bucket = self.origins.entry(origin).or_insert_with(|| Bucket::new(limits::CONNECTIONS_RATE, now));
        if !bucket.take(1.0, now) {
            return Err(Refused::Address);
        }
        self.pending.insert(id, origin);
        Ok(())
    }

    fn check_peer(&mut self, peer: PeerId, now: Instant) -> Result<(), Refused> {
        if self.banned.get(&peer).is_some_and(|until| *until > now) {
            return Err(Refused::Banned);
        }
        if self.is_member(&peer) {
            return Ok(());
        }
        let strangers = || self.inbound.values().filter(|(other, _)| !self.is_member(other));
        let same = strangers().filter(|(other, _)| *other == peer).count();
        if same >= limits::STRANGER_CONNECTIONS_MAX || strangers().count() >= limits::STRANGERS_MAX {
            return Err(Refused::Strangers);
        }
        Ok(())
    }

    fn refuse(&self, refused: Refused) -> ConnectionDenied {
        count(&self.counters.connections_refused);
        ConnectionDenied::new(refused)
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        match Origin::of(remote) {
            Some(origin) if self.guarded => {
                self.check_origin(id, origin, Instant::now()).map_err(|refused| self.refuse(refused))
            }
            _ => Ok(()),
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let now = Instant::now();
        self.pending.remove(&id);
        self.check_peer(peer, now).map_err(|refused| self.refuse(refused))?;
        self.inbound.insert(id, (peer, now));
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.banned.get(&peer).is_some_and(|until| *until > Instant::now()) {
            return Err(self.refuse(Refused::Banned));
        }
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { connection_id, endpoint, .. }) => {
                if matches!(endpoint, ConnectedPoint::Dialer { .. }) {
                    self.inbound.remove(&connection_id);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.inbound.remove(&connection_id);
            }
            // Refused by somebody else, or failed before it stood.
            FromSwarm::ListenFailure(failure) => {
                self.pending.remove(&failure.connection_id);
                self.inbound.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::new(true, Arc::default())
    }

    fn enter(door: &mut Door, at: usize, peer: PeerId) -> bool {
        let any: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        door.handle_established_inbound_connection(ConnectionId::new_unchecked(at), peer, &any, &any).is_ok()
    }

    #[test]
    fn strangers_have_few_places_and_members_always_find_room() {
        let mut door = door();
        let one = PeerId::random();
        assert_eq!((0..10).filter(|at| enter(&mut door, *at, one)).count(), limits::STRANGER_CONNECTIONS_MAX);
        let others = (10..200).filter(|at| enter(&mut door, *at, PeerId::random())).count();
        assert_eq!(others, limits::STRANGERS_MAX - limits::STRANGER_CONNECTIONS_MAX);
        let member = PeerId::random();
        assert!(!enter(&mut door, 200, member));
        door.admit(member, true, Instant::now());
        assert!(enter(&mut door, 200, member));
        // A stranger that became a member frees its places, and its time does not run out.
        door.admit(one, true, Instant::now());
        assert!(enter(&mut door, 201, PeerId::random()));
        let late = Instant::now() + Duration::from_secs(limits::STRANGER_S_MAX + 1);
        let overdue = door.overdue(late);
        assert_eq!(overdue.len(), limits::STRANGERS_MAX - limits::STRANGER_CONNECTIONS_MAX + 1);
        assert!(door.overdue(Instant::now()).is_empty());
        assert_eq!(door.counters.snapshot().connections_refused, 8 + 160 + 1);
    }

    #[test]
    fn offenders_are_refused_for_a_while_and_forgotten() {
        let mut door = door();
        let (peer, now) = (PeerId::random(), Instant::now());
        door.admit(peer, true, now);
        door.ban(peer, now);
        assert!(!enter(&mut door, 1, peer));
        let later = now + Duration::from_secs(limits::BAN_S + 1);
        assert!(door.check_peer(peer, later).is_ok());
        for _ in 0..REMEMBERED_MAX + 10 {
            door.ban(PeerId::random(), now);
        }
        assert_eq!(door.banned.len(), REMEMBERED_MAX);
        door.ban(PeerId::random(), later);
        assert_eq!(door.banned.len(), 1);
    }

    #[test]
    fn one_address_has_its_rate_and_others_theirs() {
        let mut door = door();
        let now = Instant::now();
        let origin = |text: &str| Origin::of(&text.parse().unwrap()).unwrap();
        assert_eq!(origin("/ip6/2001:db8::1/udp/1/quic-v1"), origin("/ip6/2001:db8::2/tcp/7"));
        assert_eq!(origin("/ip6/::ffff:1.2.3.4/tcp/7"), origin("/ip4/1.2.3.4/tcp/7"));
        let (a, b) = (origin("/ip4/1.2.3.4/tcp/7"), origin("/ip4/1.2.3.5/tcp/7"));
        let mut ids = (0..).map(ConnectionId::new_unchecked);
        let pending = ids.by_ref().take(100).filter(|id| door.check_origin(*id, a, now).is_ok()).count();
        assert_eq!(pending, limits::PENDING_PER_ADDRESS_MAX);
        door.pending.clear();
        let mut taken = pending;
        for id in ids.by_ref().take(1_000) {
            taken += usize::from(door.check_origin(id, a, now).is_ok());
            door.pending.clear();
        }
        assert_eq!(taken as f64, limits::CONNECTIONS_RATE.burst);
        assert!(ids.next().is_some_and(|id| door.check_origin(id, b, now).is_ok()));
        for n in 0..=u16::MAX {
            let [c, d] = n.to_be_bytes();
            let id = ConnectionId::new_unchecked(1_000_000 + usize::from(n));
            let _ = door.check_origin(id, Origin([0, 0, 0, 0, 9, 9, c, d]), now);
            door.pending.clear();
        }
        assert!(door.origins.len() <= REMEMBERED_MAX);
    }
}
