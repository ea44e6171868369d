//! Who may say what: signed events, keys, cards, charters, sealing and tickets.
//!
//! Pure: time and entropy are arguments, nothing is read or written. An [`Event`] exists only verified or freshly
//! signed, so nothing unverified can be used by mistake.

mod attest;
mod card;
mod charter;
mod event;
mod keys;
pub mod kinds;
mod seal;
mod secp;
mod text;
mod ticket;

pub use attest::{Attestation, AttestationError, CONDITIONS_BYTES_MAX, Conditions};
pub use card::{AgentCard, CAPABILITIES_MAX, CARD_AHEAD_SECS_MAX, CARD_SECS_MAX, CardError, HostCard};
pub use charter::{
    BodyError, CHARTER_BODY_VERSION, CHARTER_VERSIONS_MAX, Charter, CharterChain, CharterError, Cutoff, KeyEntry,
    Member, OpRefusal, Removed, Role, Visibility,
};
pub use event::{Event, EventError, TAG_VALUE_BYTES_MAX, TAG_VALUES_MAX, TAGS_MAX, Unverified};
pub use keys::{AgentKey, Commitment, HostKey, KEY_FILE_BYTES_MAX, KEY_FILE_VERSION, KeyError, NostrKey, OwnerKey};
pub use seal::{
    SEAL_VERSION, SealError, SpaceKey, WrapError, h_tag, open, public_topic, seal, topic, unwrap_key, wrap_key,
};
pub use text::LABEL_BYTES_MAX;
pub use ticket::{TICKET_ADDRS_MAX, TICKET_CHARS_MAX, TICKET_VERSION, Ticket, TicketError, TicketId, TicketSecret};
