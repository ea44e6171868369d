//! Calls of the program `git` that obey nobody but us.

use crate::process::{Helped, HelperError, Input, help};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Longest answer that is read, in bytes. Commit ids and the like.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Variables that do not say which repository is meant: whose commits these are, and how servers are reached.
const KEPT: &[&str] = &[
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_ASKPASS",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
];

/// Settings of every call, whatever the repository's own are: no program of the repository's is run on the way, nothing
/// is tidied up in the background, and a tree is a whole tree.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.sparseCheckout=false",
    "core.safecrlf=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.addEmbeddedRepo=false",
    "protocol.version=2",
    "protocol.file.allow=always",
];

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// It could not be run to its end.
    #[error("git: {0}")]
    Helper(#[from] HelperError),
    /// It said no.
    #[error("git: {said} ({status})")]
    Refused {
        /// Its complaints.
        said: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Its answer is none.
    #[error("git gave no answer that makes sense")]
    Nonsense,
}

/// Takes away the variables that would make a git work on another repository than the one that it is in.
pub(crate) fn forget_variables(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_str().is_some_and(|name| name.starts_with("GIT_") && !KEPT.contains(&name)))
    {
        command.env_remove(name);
    }
}

/// A git in a directory.
pub(crate) fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    forget_variables(&mut command);
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.args(settings()).arg("-C").arg(dir);
    command
}

/// The arguments that come before everything else.
pub(crate) fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| ["-c", setting])
}

/// Runs it: what it said, trimmed.
pub(crate) async fn ask(command: Command, input: Input, time_max: Duration) -> Result<String, GitError> {
    let mut said = Vec::new();
    let helped = help(command, input, time_max, ANSWER_BYTES_MAX, &mut said).await?;
    if !helped.status.success() {
        return Err(refused(helped));
    }
    Ok(String::from_utf8_lossy(&said).trim().to_string())
}

/// Runs it: the commit or tree that it named.
pub(crate) async fn ask_id(command: Command, input: Input, time_max: Duration) -> Result<String, GitError> {
    let id = ask(command, input, time_max).await?;
    if crate::job::is_commit(&id) { Ok(id) } else { Err(GitError::Nonsense) }
}

/// What a git that ended badly has to say.
pub(crate) fn refused(helped: Helped) -> GitError {
    GitError::Refused { said: helped.stderr, status: helped.status }
}
