//! A file's past: which whole versions git has, and which lines were once in it.

use super::run::{GitError, command, each_line};
use crate::files::Generation;
use proto::limits::LINE_BYTES_MAX;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

/// How far to look back. What lies beyond is not an error: the result says that it is partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Commits that touched the file. Default 2,000.
    pub commits_max: u64,
    /// Bytes of git's output. Default 1 GiB.
    pub bytes_max: u64,
    /// Default 60 s.
    pub time_max: Duration,
}

impl Default for HistoryLimits {
    fn default() -> HistoryLimits {
        HistoryLimits { commits_max: 2_000, bytes_max: 1 << 30, time_max: Duration::from_secs(60) }
    }
}

/// How far [`ancestors`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ancestors {
    /// Commits that were looked at.
    pub commits: u64,
    /// Lines that were handed over.
    pub lines: u64,
    /// Whether a limit ended it early.
    pub partial: bool,
}

/// Marks a commit in the output; no diff line begins like this.
const COMMIT_MARK: &[u8] = b"\x01commit";

/// The ids of all versions that the file ever had on any ref. To be asked when a directory is attached and kept from
/// then on. Empty when `dir` is in no repository or the file was never committed. `file` is relative to `dir`.
///
/// # Errors
/// [`GitError`]. There is no partial answer: a set with holes would take an old checkout for an edit.
pub fn blob_ids_of_file(dir: &Path, file: &Path, limits: &HistoryLimits) -> Result<HashSet<Generation>, GitError> {
    let mut git = command(dir);
    // `-m`: a merge's own version shows against each parent.
    git.args(["log", "--all", "-m", "--raw", "--no-abbrev", "--no-renames", "--format=", "--"]).arg(file);
    let mut ids = HashSet::new();
    let result = each_line(git, limits.time_max, limits.bytes_max, 4096, |line| {
        // `:100644 100644 <old> <new> M\t<path>`
        for part in line.split(|&b| b == b' ').skip(2).take(2) {
            let mut id = [0; 20];
            if hex::decode_to_slice(part, &mut id).is_ok() && id != crate::MISSING {
                ids.insert(id);
            }
        }
        true
    });
    match result {
        Ok(()) => Ok(ids),
        Err(GitError::NoRepository) => Ok(HashSet::new()),
        Err(other) => Err(other),
    }
}

/// Hands over every line that a commit of the current branch's history took out of the file (newest first, possibly
/// more than once), and the number of commits so far to `progress`. Lines longer than `LINE_BYTES_MAX` and lines that
/// are not UTF-8 are left out. No repository, no commit, no file: nothing to hand over.
///
/// # Errors
/// [`GitError`], but not for limits: those make the result partial.
pub fn ancestors(
    dir: &Path,
    file: &Path,
    limits: &HistoryLimits,
    mut on_line: impl FnMut(&str),
    mut progress: impl FnMut(u64),
) -> Result<Ancestors, GitError> {
    let mut git = command(dir);
    git.args(["log", "-p", "-m", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"])
        .arg(format!("--max-count={}", limits.commits_max.saturating_add(1)))
        .args(["--format=%x01commit", "--"])
        .arg(file);
    let mut done = Ancestors::default();
    let result = each_line(git, limits.time_max, limits.bytes_max, LINE_BYTES_MAX + 2, |line| {
        if line.starts_with(COMMIT_MARK) {
            if done.commits == limits.commits_max {
                done.partial = true;
                return false;
            }
            done.commits += 1;
            progress(done.commits);
        } else if let Some(old) = line.strip_prefix(b"-")
            && old.len() <= LINE_BYTES_MAX
            && !old.starts_with(b"-- ")
            && let Ok(text) = std::str::from_utf8(old)
        {
            done.lines += 1;
            on_line(text.strip_suffix('\r').unwrap_or(text));
        }
        true
    });
    match result {
        Ok(()) => Ok(done),
        Err(GitError::TimedOut(_) | GitError::TooLarge(_)) => Ok(Ancestors { partial: true, ..done }),
        Err(GitError::NoRepository) => Ok(done),
        // A repository without a commit.
        Err(GitError::Failed(reason)) if reason.contains("does not have any commits yet") => Ok(done),
        Err(other) => Err(other),
    }
}
