//! What goes over the socket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Connections at once; further ones are closed.
pub const CONNECTIONS_MAX: usize = 64;

/// Calls of one connection that may wait for an answer at once.
pub const CALLS_MAX: usize = 32;

/// Longest path of a unix socket in bytes (`sun_path` on Linux, without its final NUL).
pub const SOCKET_PATH_MAX: usize = 107;

/// A typed no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Stable and machine-readable.
    pub code: String,
    /// For people.
    pub message: String,
    /// What may help, mostly commands.
    #[serde(default)]
    pub hints: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) params: Value,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Response {
    pub(crate) id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<ApiError>,
}

impl Response {
    pub(crate) fn progress(id: u64, progress: Value) -> Response {
        Response { id, progress: Some(progress), result: None, error: None }
    }

    pub(crate) fn done(id: u64, result: Result<Value, ApiError>) -> Response {
        match result {
            Ok(value) => Response { id, progress: None, result: Some(value), error: None },
            Err(error) => Response { id, progress: None, result: None, error: Some(error) },
        }
    }

    pub(crate) fn to_line(&self) -> Vec<u8> {
        // SAFETY: a response holds only strings, numbers and JSON values.
        #[allow(clippy::expect_used)]
        let mut line = serde_json::to_vec(self).expect("a response is JSON");
        line.push(b'\n');
        line
    }
}
