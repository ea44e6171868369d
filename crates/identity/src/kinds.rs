//! Nostr event kinds. The band x731 to x739 is townmesh's own.

/// A batch of bead writes (regular).
pub const BEAD_OP: u16 = 8731;
/// A step of the transcript of slung work: offer, accept, decline, grant, renew, result, cancel (regular).
pub const GRANT: u16 = 8732;
/// A merge queue ticket (regular).
pub const MERGE_TICKET: u16 = 8733;
/// A witness's report (regular).
pub const WITNESS_REPORT: u16 = 8734;
/// A completion stamp (regular).
pub const COMPLETION: u16 = 8735;
/// A checkpoint of a space (regular).
pub const CHECKPOINT: u16 = 8736;
/// A charter version (regular, hash-linked).
pub const CHARTER: u16 = 8737;
/// A nudge: now or never (ephemeral).
pub const NUDGE: u16 = 28732;
/// A heartbeat (ephemeral).
pub const HEARTBEAT: u16 = 28733;
/// An agent card (addressable, `d` = the agent's address).
pub const AGENT_CARD: u16 = 38732;
/// A host card (addressable, `d` = the peer id).
pub const HOST_CARD: u16 = 38733;
/// The status of a key: active, retired, revoked (addressable).
pub const KEY_STATUS: u16 = 38735;
/// A vouch: a signed amount of credit (addressable).
pub const VOUCH: u16 = 38736;
