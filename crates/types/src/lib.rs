//! Ids, addresses, clocks, digests and storage tables: the words that every layer shares.
//!
//! Nothing here does I/O, reads a clock or draws randomness.

mod address;
mod digest;
mod dot;
mod fence;
mod hlc;
mod ids;
mod migrate;
mod table;
mod time;
mod usage;
mod view;

pub use address::{Address, AddressError};
pub use digest::Digest;
pub use dot::{Dot, Writer};
pub use fence::Fence;
pub use hlc::{Hlc, HlcClock, HlcError, MAX_AHEAD_MS, MAX_PUSH_MS};
pub use ids::{EventId, IdError, KeyId, MeshId, PeerId, PubKey, SpaceId};
pub use migrate::{Step, Stride};
pub use table::Table;
pub use time::{UnixMs, UnixSecs};
pub use usage::{Limit, Usage};
pub use view::{Each, Put, View, ViewError};
