//! The running node.
//!
//! One thread owns the engine ([`turn`]); everything else is small async tasks around it. [`boot`] turns what the
//! shells report into inputs, [`perform`] turns effects into calls. Inputs go through one bounded channel.
//!
//! The end: the tasks that make inputs stop first, the engine finishes the group it is in and syncs it, then the
//! network closes and the store lets go of the home.

mod boot;
mod calls;
mod inputs;
mod killpoint;
mod lifecycle;
mod local;
mod perform;
mod serve;
mod turn;
mod work;
mod workspaces;

pub use lifecycle::run_until_signal;
pub use local::Local;
