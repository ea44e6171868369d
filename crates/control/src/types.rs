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

/// One call: a line of JSON. Fields that a version does not know are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The caller's number for it; the answers carry it.
    pub id: u64,
    /// What is asked, e.g. `beads.set`.
    pub method: String,
    /// With what.
    #[serde(default)]
    pub params: Value,
}

impl Request {
    /// Reads a line, with or without its newline; whoever reads the socket has seen to its size.
    ///
    /// # Errors
    /// When it is no request.
    pub fn from_line(line: &[u8]) -> Result<Request, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The line, with its newline.
    ///
    /// # Errors
    /// When the parameters cannot be written as JSON.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// One answer, or one message of progress before it: a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The call's number; 0 when the line had none.
    pub id: u64,
    /// How far things are; the answer follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Value>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Or why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

impl Response {
    /// Reads a line, with or without its newline.
    ///
    /// # Errors
    /// When it is no answer.
    pub fn from_line(line: &[u8]) -> Result<Response, serde_json::Error> {
        serde_json::from_slice(line)
    }

    pub(crate) fn progress(id: u64, progress: Value) -> Response {
        Response { id, progress: Some(progress), result: None, error: None }
    }

    pub(crate) fn done(id: u64, result: Result<Value, ApiError>) -> Response {
        match result {
            Ok(value) => Response { id, progress: None, result: Some(value), error: None },
            Err(error) => Response { id, progress: None, result: None, error: Some(error) },
        }
    }

    /// The line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        // SAFETY: a response holds only strings, numbers and JSON values.
        #[allow(clippy::expect_used)]
        let mut line = serde_json::to_vec(self).expect("a response is JSON");
        line.push(b'\n');
        line
    }
}
