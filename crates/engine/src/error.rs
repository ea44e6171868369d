//! Errors as the local API shows them: a stable code, a sentence, and what to do next.

use serde::{Deserialize, Serialize};

/// A typed no to a caller of the local API. The codes are listed in `docs/operations.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Stable, machine-readable: `snake_case`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// What the caller may do next: commands, mostly.
    pub hints: Vec<String>,
}

impl ApiError {
    /// An error without advice.
    pub fn new(code: &str, message: impl Into<String>) -> ApiError {
        ApiError { code: code.to_owned(), message: message.into(), hints: Vec::new() }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hints.push(hint.into());
        self
    }
}

impl From<types::ViewError> for ApiError {
    fn from(err: types::ViewError) -> ApiError {
        ApiError::new("store", err.to_string()).hint("townmesh status")
    }
}
