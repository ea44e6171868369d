//! The engine as its shells see it.

mod files;
mod hostile;
mod rig;
