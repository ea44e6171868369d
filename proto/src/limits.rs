//! The size of everything that comes from outside. A number here is a promise: nothing larger is read into memory.

/// One Nostr event's JSON, in bytes.
pub const EVENT_BYTES_MAX: usize = 60_000;

/// One gossipsub message, in bytes: several events fit.
pub const GOSSIP_BYTES_MAX: usize = 256 * 1024;

/// One request or response on [`crate::names::RPC`], in bytes.
pub const RPC_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One frame on [`crate::names::PULL`], in bytes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Target size of a page of ops that we serve: a page ends with the event that crosses it.
pub const PAGE_BYTES: usize = 512 * 1024;

/// Requests of one peer that may be under way at once, each direction.
pub const RPC_CONCURRENT_MAX: usize = 32;

/// Pull streams that one peer may have open to us at once.
pub const PULLS_PER_PEER_MAX: usize = 4;

/// A checkpoint's parts are this large, but the manifest and the last one.
pub const CHECKPOINT_PART_BYTES: usize = 512 * 1024;

/// All bead states of one checkpoint, in bytes; a larger space makes none.
pub const CHECKPOINT_BYTES_MAX: u64 = 256 << 20;

/// Ranges in one pull request.
pub const PULL_RANGES_MAX: usize = 1_000;

/// Tips in one `Heads`.
pub const TIPS_MAX: usize = 10_000;

/// Connections: in total and per peer.
pub const CONNECTIONS_MAX: u32 = 512;
/// Connections per peer; more than one is normal while a direct path replaces a relayed one.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 6;

/// Ops per space that may wait for a charter, a predecessor or a clock.
pub const WAITING_MAX: usize = 1_000;

/// One line of a beads file, in bytes.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// One beads file, in bytes.
pub const FILE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// One value of one field inside an op, in bytes; larger ones wait for blobs.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Writes in one op.
pub const OP_WRITES_MAX: usize = 5_000;

/// One request on the local control socket, in bytes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Op events in one `Work` or its answer; more come by the usual way.
pub const WORK_OPS_MAX: usize = 64;

/// Grants of which a log is wanted, in one question.
pub const LOG_GRANTS_MAX: usize = 16;

/// One part of a log, in bytes.
pub const LOG_PART_BYTES_MAX: usize = 64 * 1024;

/// Leases that are renewed in one `Work`.
pub const RENEWALS_MAX: usize = 256;

/// Members of one space.
pub const MEMBERS_MAX: usize = 1_000;

/// Abilities that a peer may name in its greeting, and the bytes of one name; further and longer ones are not kept.
pub const CAPABILITIES_MAX: usize = 32;
/// Bytes of an ability's name.
pub const CAPABILITY_BYTES_MAX: usize = 64;

// --- Strangers: peers that are no members of any space here. All they may do is show a ticket. ------------------------

/// Incoming connections of strangers, all together; members always find the rest of [`CONNECTIONS_MAX`].
pub const STRANGERS_MAX: usize = 32;

/// Connections of one stranger.
pub const STRANGER_CONNECTIONS_MAX: usize = 2;

/// A stranger that has not become a member after so many seconds is disconnected.
pub const STRANGER_S_MAX: u64 = 30;

/// One request of a stranger, in bytes: a ticket's proof and a host card fit several times.
pub const STRANGER_RPC_BYTES_MAX: usize = 64 * 1024;

/// Requests of one stranger that may be under way at once.
pub const STRANGER_RPC_CONCURRENT_MAX: usize = 4;

// --- Rates, as token buckets: so many at once, then so many a second. ------------------------------------------------

/// A bucket of tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens in a full bucket.
    pub burst: f64,
    /// Tokens that come back in a second.
    pub per_second: f64,
}

/// Incoming connections from one address (IPv4) or one /64 (IPv6).
pub const CONNECTIONS_RATE: Rate = Rate { burst: 128.0, per_second: 16.0 };

/// Incoming connections from one address or /64 that are being set up at once.
pub const PENDING_PER_ADDRESS_MAX: usize = 24;

/// Incoming connections that are being set up at once, all together.
pub const PENDING_MAX: u32 = 64;
/// How long setting up a connection may take, in seconds.
pub const HANDSHAKE_S_MAX: u64 = 5;

/// Requests of one member; more are answered "busy".
pub const RPC_RATE: Rate = Rate { burst: 512.0, per_second: 128.0 };

/// Requests of one stranger.
pub const STRANGER_RPC_RATE: Rate = Rate { burst: 8.0, per_second: 1.0 };

/// Pull streams of one member.
pub const PULL_RATE: Rate = Rate { burst: 64.0, per_second: 8.0 };

/// Gossip messages handed over by one member.
pub const GOSSIP_RATE: Rate = Rate { burst: 4_096.0, per_second: 1_024.0 };

/// Bytes of gossip handed over by one member.
pub const GOSSIP_BYTES_RATE: Rate = Rate { burst: 64.0 * 1024.0 * 1024.0, per_second: 4.0 * 1024.0 * 1024.0 };

/// Identify messages of one peer.
pub const IDENTIFY_RATE: Rate = Rate { burst: 16.0, per_second: 1.0 };

/// Offences of one peer: what exceeds a rate, breaks the framing or is proven invalid. A peer whose bucket is empty is
/// disconnected and refused for [`BAN_S`] seconds.
pub const OFFENCES_RATE: Rate = Rate { burst: 128.0, per_second: 2.0 };

/// How long an offender is refused, in seconds.
pub const BAN_S: u64 = 60;

/// Gossip messages that may wait for one slow peer.
pub const GOSSIP_QUEUE_MAX: usize = 256;

/// Messages that are asked of one peer in a second because it offered them.
pub const GOSSIP_WANTED_MAX: usize = 512;
/// Topics that one peer may subscribe to, and name in one message.
pub const TOPICS_PER_PEER_MAX: usize = 128;

// --- What all of this may cost together, measured by `townmesh-hostile`. ---------------------------------------------

/// Memory over what the node had before, in bytes.
pub const ATTACK_RSS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Open descriptors over what the node had before.
pub const ATTACK_DESCRIPTORS_MAX: u64 = 160;

/// Growth of the home directory in bytes, beside what honest edits need.
pub const ATTACK_DISK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Growth of the log in bytes per minute.
pub const ATTACK_LOG_BYTES_PER_MINUTE_MAX: u64 = 64 * 1024;
