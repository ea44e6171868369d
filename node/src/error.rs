//! What a command says when it did not work: a stable code, a sentence, advice.

use crate::exit::Exit;
use serde::Serialize;

/// A command's failure. Printed on stderr, as JSON under `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// Stable and machine-readable; listed in `docs/operations.md`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
}

impl CliError {
    /// A failure without advice.
    pub fn new(code: &str, message: impl Into<String>) -> CliError {
        CliError { code: code.to_owned(), message: message.into(), hints: Vec::new() }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        Exit::of_code(&self.code)
    }

    /// A file or directory could not be used.
    pub fn disk(what: impl std::fmt::Display, err: &std::io::Error) -> CliError {
        CliError::new("disk", format!("{what}: {err}"))
    }

    /// A result that does not have the shape this binary expects: another version's daemon, or a defect.
    pub fn shape(what: &str) -> CliError {
        CliError::new("internal", format!("the node's answer lacks {what}"))
            .hint("restart the daemon, it may be of another version: townmesh down; townmesh up --background")
    }
}

impl From<engine::ApiError> for CliError {
    fn from(err: engine::ApiError) -> CliError {
        CliError { code: err.code, message: err.message, hints: err.hints }
    }
}
