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

/// Members of one space.
pub const MEMBERS_MAX: usize = 1_000;

/// Abilities that a peer may name in its greeting, and the bytes of one name; further and longer ones are not kept.
pub const CAPABILITIES_MAX: usize = 32;
/// Bytes of an ability's name.
pub const CAPABILITY_BYTES_MAX: usize = 64;
