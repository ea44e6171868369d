//! Charters (kind 8737): the rules of a space as a hash-linked set of owner-signed versions.

mod body;
mod chain;
mod codec;
mod graph;
mod ops;
#[cfg(test)]
mod tests;

pub use body::{Charter, Cutoff, KeyEntry, Member, Removed, Role, Visibility};
pub use chain::{CHARTER_VERSIONS_MAX, CharterChain, CharterError};
pub use codec::{BodyError, CHARTER_BODY_VERSION};
pub use ops::OpRefusal;
