//! libp2p protocol names: `/townmesh/<what>/<version>`.

/// Questions and answers ([`crate::wire::Request`], [`crate::wire::Response`]) over request-response.
pub const RPC: &str = "/townmesh/rpc/1";

/// Bulk transfer of ops: one [`crate::wire::PullRequest`] frame, then [`crate::wire::PullPage`] frames.
pub const PULL: &str = "/townmesh/pull/1";

/// What identify announces as protocol version.
pub const IDENTIFY: &str = "/townmesh/id/1";

/// Version of the wire protocol, exchanged in `Hello`.
pub const WIRE_VERSION: u32 = 1;

/// Heads, charters, hosts and pulls: what two members compare and fetch ops with.
pub const SYNC: &str = "sync/1";

/// Checkpoints in heads and pulls.
pub const CHECKPOINTS: &str = "checkpoint/1";

/// Slung work told at once.
pub const WORK: &str = "work/1";

/// What this program can do beyond the version, told in `Hello`: a peer that does not name an ability is not asked for
/// it, and names that nobody here knows are shown and otherwise ignored.
pub const CAPABILITIES: &[&str] = &[SYNC, CHECKPOINTS, WORK];

/// Version of the op, charter and card formats (tag `["v", …]` of the events).
pub const EVENT_VERSION: u32 = 1;

/// Version of the store's layout.
pub const STORE_VERSION: u32 = 3;
