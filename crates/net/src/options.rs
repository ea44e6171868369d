//! What a node's network needs to know before it starts.

use std::time::Duration;
use zeroize::Zeroizing;

/// Settings of the network; [`Options::new`] has the defaults of a real node.
pub struct Options {
    /// The Ed25519 secret of this host; its public half is the peer id. Wiped when dropped.
    pub key: Zeroizing<[u8; 32]>,
    /// Multiaddrs to listen on.
    pub listen: Vec<String>,
    /// Whether to announce ourselves on, and listen to, the local network.
    pub mdns: bool,
    /// The fast path for new records.
    pub gossip: GossipOptions,
    /// Whether peers that nobody keeps (see [`crate::Handle::keep`]) are strangers: few, for a short time, and with
    /// nothing to do but ask a little. Off means that everybody may do everything.
    pub guarded: bool,
    /// Sizes of queues and lengths of waits.
    pub limits: Limits,
}

impl Options {
    /// The defaults of a real node: any free TCP and QUIC port on every IPv4 interface, mDNS and gossip on.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Options {
        Options {
            key,
            listen: vec!["/ip4/0.0.0.0/tcp/0".into(), "/ip4/0.0.0.0/udp/0/quic-v1".into()],
            mdns: true,
            gossip: GossipOptions::default(),
            guarded: true,
            limits: Limits::default(),
        }
    }
}

/// Settings of gossip.
#[derive(Clone, Debug)]
pub struct GossipOptions {
    /// Off means that nothing is sent or taken; catching up still works.
    pub enabled: bool,
    /// Fault injection, for tests of lossy nets: the share of incoming messages (0 to 1) that is dropped unseen.
    pub loss: f64,
    /// Seed of the draw for `loss`.
    pub seed: u64,
}

impl Default for GossipOptions {
    fn default() -> GossipOptions {
        GossipOptions { enabled: true, loss: 0.0, seed: 0 }
    }
}

/// Sizes of queues and lengths of waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Events that may wait in the channel.
    pub events: usize,
    /// Commands that may wait in the channel.
    pub commands: usize,
    /// Gossip messages that may wait for the channel; more are dropped.
    pub gossip_waiting: usize,
    /// Requests of peers that may wait for the channel; more are answered "busy".
    pub requests_waiting: usize,
    /// Our requests to one peer that may wait for a free slot; more fail with `Busy`.
    pub requests_queued_per_peer: usize,
    /// Our pulls from one peer that may be under way or wait for a free slot; more fail with `Busy`.
    pub pulls_queued_per_peer: usize,
    /// How long a request may take once it was sent.
    pub request_timeout: Duration,
    /// How long opening a stream may take, and how long a peer that opened one may be silent before it asks.
    pub open_timeout: Duration,
    /// How long a pull may stand still: no frame came, or the peer took nothing.
    pub stall_timeout: Duration,
    /// How long a pull may wait for a free slot.
    pub pull_wait: Duration,
    /// Time between two pings, and how long one may take. A connection is closed when two in a row failed.
    pub ping: Duration,
    /// How long a connection that nobody keeps may be idle.
    pub idle: Duration,
    /// How soon the mended announcement of our topics (see `gossip`) may be repeated.
    pub resubscribe_cooldown: Duration,
    /// Connections that may stand at once.
    pub connections_max: u32,
    /// Above this many bytes of physical memory of the process no new connection is taken.
    pub memory_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            events: 256,
            commands: 1024,
            gossip_waiting: 256,
            requests_waiting: 64,
            requests_queued_per_peer: 256,
            pulls_queued_per_peer: 32,
            request_timeout: Duration::from_secs(10),
            open_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            pull_wait: Duration::from_secs(60),
            ping: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            resubscribe_cooldown: Duration::from_secs(30),
            connections_max: proto::limits::CONNECTIONS_MAX,
            memory_bytes_max: 4 << 30,
        }
    }
}
