//! Running `git` within limits.

use crate::process::{self, ProcessError};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Why git did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// `git` is not installed or cannot be started.
    #[error("cannot run git: {0}")]
    NotRun(String),
    /// The directory belongs to no git repository.
    #[error("not in a git repository")]
    NoRepository,
    /// git ended with an error.
    #[error("git failed: {0}")]
    Failed(String),
    /// git took too long.
    #[error("git took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// git said more than we take.
    #[error("git said more than {0} bytes")]
    TooLarge(u64),
    /// git said something that we do not understand.
    #[error("unexpected answer from git: {0}")]
    Unexpected(String),
    /// Files for git to work on could not be written or read.
    #[error("cannot use a temporary file: {0}")]
    Temp(String),
}

/// A `git` command in `dir` that asks nobody, pages nothing and runs no hooks of a watcher.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .args(["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl From<ProcessError> for GitError {
    fn from(error: ProcessError) -> GitError {
        match error {
            ProcessError::NotRun(_, reason) => GitError::NotRun(reason),
            ProcessError::TimedOut(limit) => GitError::TimedOut(limit),
            ProcessError::TooLarge(bytes) => GitError::TooLarge(bytes),
            ProcessError::Failed(reason) => GitError::Failed(reason),
        }
    }
}

/// What the exit code and the complaints of a git mean.
pub(crate) fn judge(code: Option<i32>, stderr: String) -> Result<(), GitError> {
    match code {
        Some(0) => Ok(()),
        _ if stderr.contains("not a git repository") => Err(GitError::NoRepository),
        _ => Err(GitError::Failed(stderr)),
    }
}

/// Like [`process::each_line`]; a git that fails is an error.
pub(crate) fn each_line(
    command: Command,
    limit: Duration,
    bytes_max: u64,
    line_max: usize,
    on_line: impl FnMut(&[u8]) -> bool,
) -> Result<(), GitError> {
    match process::each_line(command, limit, bytes_max, line_max, on_line)? {
        Some((code, stderr)) => judge(code, stderr),
        None => Ok(()),
    }
}

/// Its whole output, at most `bytes_max`, and its exit code.
pub(crate) fn output(
    command: Command,
    limit: Duration,
    bytes_max: u64,
) -> Result<(Option<i32>, Vec<u8>, String), GitError> {
    let out = process::output(command, None, limit, bytes_max)?;
    Ok((out.code, out.stdout, out.stderr))
}
