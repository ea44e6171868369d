//! The binary `townmesh`: the command line ([`cli`], a file per command) and the daemon ([`daemon`]).
//!
//! The daemon joins the pure engine to its shells: one thread runs the engine, `daemon/boot.rs` turns what the shells
//! report into inputs, `daemon/perform.rs` turns effects into calls. The command line talks to it over the control
//! socket in the node's home ([`home`]) and holds no logic of its own.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod error;
pub mod exit;
pub mod history;
pub mod home;
pub mod keys;
pub mod logging;
pub mod ports;

pub use error::CliError;
pub use exit::Exit;
