//! The swarm: transports and behaviours, put together.

use crate::codec::Codec;
use crate::counters;
use crate::error::{AddressError, Error};
use crate::{gossip, options::Options, streams};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Multiaddr, StreamProtocol, Swarm, SwarmBuilder, gossipsub, identify, identity, mdns, memory_connection_limits,
    noise, ping, request_response, tcp, yamux,
};
use proto::limits::{CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, RPC_CONCURRENT_MAX};
use proto::names;
use std::sync::Arc;

/// Longest address text in bytes.
const ADDRESS_LEN_MAX: usize = 512;
/// Connections that are being set up at once, each direction.
const PENDING_MAX: u32 = 32;
/// Yamux streams per connection. Its own default allows more memory than a host wants to give a stranger.
const YAMUX_STREAMS_MAX: usize = 256;

/// Everything that speaks on a connection. Limits come first, so that they refuse before anybody else sees a peer.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub(crate) streams: streams::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) rpc: request_response::Behaviour<Codec>,
    pub(crate) gossip: Toggle<gossipsub::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
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
        config.set_max_num_streams(YAMUX_STREAMS_MAX);
        config
    };
    let idle = options.limits.idle;
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, mux)
        .map_err(|error| setup("tcp", error.to_string()))?
        .with_quic()
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup("behaviour", error.to_string()))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(idle).with_smart_dial())
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
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
    // Both directions share this number; our own side of it is kept by a queue (`rpc`).
    let rpc = request_response::Config::default()
        .with_request_timeout(options.limits.request_timeout)
        .with_max_concurrent_streams(2 * RPC_CONCURRENT_MAX);
    let ping = ping::Config::new().with_interval(options.limits.ping).with_timeout(options.limits.ping);
    let gossip = options.gossip.enabled.then(gossip::behaviour).transpose()?;
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
        limits: connection_limits::Behaviour::new(limits),
        memory: memory_connection_limits::Behaviour::with_max_bytes(options.limits.memory_bytes_max),
        streams: streams::Behaviour::new(StreamProtocol::new(names::PULL), counters.clone()),
        identify: identify::Behaviour::new(identify::Config::new(names::IDENTIFY.into(), key.public())),
        ping: ping::Behaviour::new(ping),
        rpc: request_response::Behaviour::with_codec(
            Codec::new(counters.clone()),
            [(StreamProtocol::new(names::RPC), request_response::ProtocolSupport::Full)],
            rpc,
        ),
        gossip: Toggle::from(gossip),
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
