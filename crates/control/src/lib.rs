//! The local API: JSON lines over a unix socket in the node's home.
//!
//! A request is `{"id": 1, "method": "…", "params": {…}}`. It is answered by any number of
//! `{"id": 1, "progress": …}` and one `{"id": 1, "result": …}` or `{"id": 1, "error": {"code", "message", "hints"}}`.
//! What the methods are is the daemon's business. Only the user who runs the daemon is let in.

mod client;
mod server;
#[cfg(test)]
mod tests;
mod types;

pub use client::{Client, ClientError};
pub use server::{BindError, Call, Replier, Server};
pub use types::{ApiError, CALLS_MAX, CONNECTIONS_MAX, Request, Response, SOCKET_PATH_MAX};
