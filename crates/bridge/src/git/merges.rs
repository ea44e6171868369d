//! The merges in a file's history, and what git's own line merge makes of three versions.

use super::run::{GitError, command, each_line, output};
use proto::limits::FILE_BYTES_MAX;
use std::path::Path;
use std::time::Duration;

const LOG_TIME_MAX: Duration = Duration::from_secs(120);
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
const STEP_TIME_MAX: Duration = Duration::from_secs(60);

/// A merge in which both parents had changed the file since their merge base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeCommit {
    /// The merge itself.
    pub commit: String,
    /// The first merge base of the parents.
    pub base: String,
    /// The first parent.
    pub ours: String,
    /// The second parent.
    pub theirs: String,
}

/// What git's line merge made of three versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineMerge {
    /// Conflicting regions; 0 is a clean merge. git counts no further than 127.
    pub conflicts: usize,
    /// The result, with conflict markers.
    pub merged: Vec<u8>,
}

/// The two-parent merges of any ref, oldest first, whose parents both changed `path` (relative to the repository's
/// top) relative to their merge base, in different ways. Merges without a base are left out.
///
/// # Errors
/// [`GitError`]; `NoRepository` if `repo` is none.
pub fn merge_commits(repo: &Path, path: &str) -> Result<Vec<MergeCommit>, GitError> {
    let mut git = command(repo);
    git.args(["log", "--all", "--merges", "--max-parents=2", "--reverse", "--format=%H %P"]);
    let mut merges = Vec::new();
    each_line(git, LOG_TIME_MAX, LOG_BYTES_MAX, 4096, |line| {
        let line = String::from_utf8_lossy(line);
        let mut ids = line.split(' ').map(str::to_string);
        if let (Some(commit), Some(ours), Some(theirs)) = (ids.next(), ids.next(), ids.next()) {
            merges.push((commit, ours, theirs));
        }
        true
    })?;
    let mut found = Vec::new();
    for (commit, ours, theirs) in merges {
        let (Some(our_blob), Some(their_blob)) = (blob(repo, &ours, path)?, blob(repo, &theirs, path)?) else {
            continue;
        };
        if our_blob == their_blob {
            continue;
        }
        let Some(base) = merge_base(repo, &ours, &theirs)? else { continue };
        let base_blob = blob(repo, &base, path)?;
        if base_blob.is_some_and(|base| base != our_blob && base != their_blob) {
            found.push(MergeCommit { commit, base, ours, theirs });
        }
    }
    Ok(found)
}

fn blob(repo: &Path, commit: &str, path: &str) -> Result<Option<String>, GitError> {
    let mut git = command(repo);
    git.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(format!("{commit}:{path}"));
    one_line(git)
}

fn merge_base(repo: &Path, ours: &str, theirs: &str) -> Result<Option<String>, GitError> {
    let mut git = command(repo);
    git.args(["merge-base", ours, theirs]);
    one_line(git)
}

/// The first line of the answer; `None` if git found nothing (exit code 1).
fn one_line(git: std::process::Command) -> Result<Option<String>, GitError> {
    match output(git, STEP_TIME_MAX, 64 * 1024)? {
        (Some(0), bytes, _) => Ok(String::from_utf8_lossy(&bytes).lines().next().map(String::from)),
        (Some(1), ..) => Ok(None),
        (_, _, stderr) => Err(GitError::Failed(stderr)),
    }
}

/// Merges three versions as git would, by lines. Needs no repository.
///
/// # Errors
/// [`GitError`].
pub fn line_merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<LineMerge, GitError> {
    let dir = tempfile::tempdir().map_err(|e| GitError::Temp(e.to_string()))?;
    for (name, content) in [("base", base), ("ours", ours), ("theirs", theirs)] {
        std::fs::write(dir.path().join(name), content).map_err(|e| GitError::Temp(e.to_string()))?;
    }
    let mut git = command(dir.path());
    git.args(["merge-file", "-p", "--quiet", "ours", "base", "theirs"]);
    match output(git, STEP_TIME_MAX, 3 * FILE_BYTES_MAX as u64)? {
        // The exit code counts conflicts, up to 127; above that it is an error.
        (Some(code @ 0..=127), merged, _) => Ok(LineMerge { conflicts: usize::try_from(code).unwrap_or(0), merged }),
        (_, _, stderr) => Err(GitError::Failed(stderr)),
    }
}
