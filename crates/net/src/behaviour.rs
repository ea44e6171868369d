//! The swarm: transports and behaviours, put together.

use crate::codec::{Answer, Codec};
use crate::counters;
use crate::door::Door;
use crate::error::{AddressError, Error};
use crate::gate::{Gate, Who};
use crate::{gossip, options::Options, streams};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, SwarmBuilder, identify, identity, mdns, memory_connection_limits, noise, ping,
    request_response, tcp, yamux,
};
use proto::limits::{
    self, CONNECTIONS_PER_PEER_MAX, PENDING_MAX, RPC_BYTES_MAX, RPC_CONCURRENT_MAX, STRANGER_RPC_BYTES_MAX,
    STRANGER_RPC_CONCURRENT_MAX,
};
use proto::names;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest address text in bytes.
const ADDRESS_LEN_MAX: usize = 512;
/// Connections of our own that are being set up at once.
const PENDING_OUT_MAX: u32 = 32;
/// Streams per connection. The defaults allow more memory than a host wants to give a peer: each stream may hold
/// 256 KiB that nobody has read yet.
const STREAMS_MAX: u32 = 128;
/// Streams per connection whose protocol is not agreed yet.
const NEGOTIATING_MAX: usize = 32;
/// How long setting up a connection may take.
const HANDSHAKE: Duration = Duration::from_secs(limits::HANDSHAKE_S_MAX);
/// Bytes that QUIC may hold unread, per stream and per connection.
const QUIC_STREAM_BYTES_MAX: u32 = 2 * 1024 * 1024;
const QUIC_CONNECTION_BYTES_MAX: u32 = 6 * 1024 * 1024;

/// Everything that speaks on a connection. Limits come first, so that they refuse before anybody else sees a peer.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) door: Door,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    identify: identify::Behaviour,
    ping: Gate<ping::Behaviour>,
    rpc: Gate<request_response::Behaviour<Codec>>,
    lobby: Gate<request_response::Behaviour<Codec>>,
    gossip: Gate<Toggle<gossip::Behaviour>>,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

impl Behaviour {
    /// Tells every part who is a member.
    pub(crate) fn admit(&mut self, peer: libp2p::PeerId, member: bool, now: Instant) {
        self.door.admit(peer, member, now);
        self.ping.admit(peer, member);
        self.rpc.admit(peer, member);
        self.lobby.admit(peer, member);
        self.gossip.admit(peer, member);
    }

    /// Gossip, unless it is off.
    pub(crate) fn gossip(&self) -> Option<&gossip::Behaviour> {
        self.gossip.get().as_ref()
    }

    /// Gossip, unless it is off.
    pub(crate) fn gossip_mut(&mut self) -> Option<&mut gossip::Behaviour> {
        self.gossip.get_mut().as_mut()
    }

    /// Where to ask a peer: members have more room than strangers.
    pub(crate) fn rpc(&mut self, peer: &libp2p::PeerId) -> (Place, &mut request_response::Behaviour<Codec>) {
        if self.door.is_member(peer) {
            (Place::Members, self.rpc.get_mut())
        } else {
            (Place::Strangers, self.lobby.get_mut())
        }
    }

    /// Answers; false when the peer is gone.
    pub(crate) fn respond(&mut self, channel: request_response::ResponseChannel<Answer>, answer: Answer) -> bool {
        self.rpc.get_mut().send_response(channel, answer).is_ok()
    }
}

/// Which of the two request-response behaviours: each counts its requests on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Of members.
    Members,
    /// Of strangers.
    Strangers,
}

/// Reads a multiaddr.
pub(crate) fn parse_address(text: &str) -> Result<Multiaddr, AddressError> {
    if text.len() > ADDRESS_LEN_MAX {
        return Err(AddressError::TooLong { len: text.len(), max: ADDRESS_LEN_MAX });
    }
    text.parse().map_err(|error: libp2p::multiaddr::Error| AddressError::Malformed {
        text: text.chars().take(80).collect(),
        reason: error.to_string(),
    })
}

/// Builds the swarm and begins to listen. Must be called inside a tokio runtime.
pub(crate) fn build(options: &Options, counters: &Arc<counters::Shared>) -> Result<Swarm<Behaviour>, Error> {
    let mut secret = options.key.clone();
    let key = identity::Keypair::ed25519_from_bytes(secret.as_mut_slice()).map_err(|_| Error::Key)?;
    let behaviour = behaviour(&key, options, counters)?;
    let setup = |part: &'static str, reason: String| Error::Setup { part, reason };
    let mux = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX as usize);
        config
    };
    let idle = options.limits.idle;
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, mux)
        .map_err(|error| setup("tcp", error.to_string()))?
        .with_quic_config(|mut config| {
            config.handshake_timeout = HANDSHAKE;
            config.max_concurrent_stream_limit = STREAMS_MAX;
            config.max_stream_data = QUIC_STREAM_BYTES_MAX;
            config.max_connection_data = QUIC_CONNECTION_BYTES_MAX;
            config
        })
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup("behaviour", error.to_string()))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(idle)
                .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
                .with_smart_dial()
        })
        .with_connection_timeout(HANDSHAKE)
        .build();
    for address in &options.listen {
        let multiaddr = parse_address(address)?;
        swarm
            .listen_on(multiaddr)
            .map_err(|error| Error::Listen { address: address.clone(), reason: error.to_string() })?;
    }
    Ok(swarm)
}

fn behaviour(key: &identity::Keypair, options: &Options, counters: &Arc<counters::Shared>) -> Result<Behaviour, Error> {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MAX))
        .with_max_pending_outgoing(Some(PENDING_OUT_MAX))
        .with_max_established(Some(options.limits.connections_max))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
    // Both directions share this number; our own side of it is kept by a queue (`rpc`).
    let rpc = |streams: usize, bytes: usize| {
        let config = request_response::Config::default()
            .with_request_timeout(options.limits.request_timeout)
            .with_max_concurrent_streams(2 * streams);
        let protocols = [(StreamProtocol::new(names::RPC), request_response::ProtocolSupport::Full)];
        request_response::Behaviour::with_codec(Codec::new(counters.clone(), bytes), protocols, config)
    };
    let members = if options.guarded { Who::Members } else { Who::Everybody };
    let ping = ping::Config::new().with_interval(options.limits.ping).with_timeout(options.limits.ping);
    let gossip = || options.gossip.enabled.then(gossip::behaviour).transpose().map(Toggle::from);
    let mdns = options.mdns.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), key.public().to_peer_id()));
    let mdns = mdns.and_then(|result| match result {
        Ok(mdns) => Some(mdns),
        Err(error) => {
            // Containers and some networks have no multicast: everything else works without.
            tracing::warn!(%error, "no discovery on the local network");
            None
        }
    });
    Ok(Behaviour {
        door: Door::new(options.guarded, counters.clone()),
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_bytes(options.limits.memory_bytes_max),
        streams: streams::Behaviour::new(StreamProtocol::new(names::PULL), counters.clone()),
        identify: identify::Behaviour::new(identify::Config::new(names::IDENTIFY.into(), key.public())),
        ping: Gate::new(ping::Behaviour::new(ping.clone()), members).holding(ping::Behaviour::new(ping)),
        rpc: Gate::new(rpc(RPC_CONCURRENT_MAX, RPC_BYTES_MAX), members),
        lobby: Gate::new(rpc(STRANGER_RPC_CONCURRENT_MAX, STRANGER_RPC_BYTES_MAX), Who::Strangers),
        gossip: Gate::new(gossip()?, members).holding(gossip()?),
        mdns: Toggle::from(mdns),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_addresses_are_typed_errors() {
        assert!(parse_address("/ip4/127.0.0.1/udp/1/quic-v1").is_ok());
        assert!(matches!(parse_address("127.0.0.1:80"), Err(AddressError::Malformed { .. })));
        assert!(matches!(parse_address(&"/ip4".repeat(1000)), Err(AddressError::TooLong { len: 4000, max: 512 })));
        assert!(matches!(parse_address("/ip4/1.2.3.4/tcp/99999"), Err(AddressError::Malformed { .. })));
    }
}
