//! What a workspace reports and answers.

use super::edit::EditError;
use super::generation::Generation;
use super::line::LineError;
use super::read::ReadError;
use std::path::PathBuf;

/// A line that differs from what this workspace knew under its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedLine {
    /// Line number, from 1.
    pub line_no: u32,
    /// The bead.
    pub id: String,
    /// The text, without the end of line.
    pub text: String,
}

/// A further line under an id that an earlier line has already. Both stay in the file; the earlier one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedLine {
    /// Line number, from 1.
    pub line_no: u32,
    /// The line that counts.
    pub first_line: u32,
    /// The bead.
    pub id: String,
    /// The text, without the end of line.
    pub text: String,
}

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLine {
    /// Line number, from 1.
    pub line_no: u32,
    /// Why.
    pub error: LineError,
}

/// The file as it was found, as the difference to the last snapshot or apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The whole file's generation; [`super::MISSING`] when there is no file. A file that is gone reports no
    /// `missing`: that somebody moved it away is no statement about its beads.
    pub generation: Generation,
    /// Lines, of every kind.
    pub lines_total: u32,
    /// Different beads.
    pub beads_total: u32,
    /// Lines that are neither beads nor broken (memories, headers, unknown kinds, blank lines): passed through.
    pub others_total: u32,
    /// New and changed lines, in file order; every bead when `first`.
    pub changed: Vec<ChangedLine>,
    /// Ids that were known and are gone, sorted. Believed only of a file that has been still for a while.
    pub missing: Vec<String>,
    /// Further lines under an id, at most [`super::REPORT_MAX`] of them; all of them in every snapshot.
    pub repeated: Vec<RepeatedLine>,
    /// Lines that cannot be read, at most [`super::REPORT_MAX`] of them; all of them in every snapshot. The ids that
    /// they hid are in `missing`, so a file with broken lines says nothing about deletes.
    pub broken: Vec<BrokenLine>,
    /// How many lines cannot be read.
    pub broken_total: u32,
    /// Whether the generation is one that git had before ([`super::Options::history`]).
    pub from_git_history: bool,
    /// Whether the file ends with a newline (or is empty).
    pub ends_cleanly: bool,
    /// Whether this is the first look, or the one after [`super::Handle::rescan`].
    pub first: bool,
}

/// Something that a workspace reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The file changed, or was looked at for the first time.
    Snapshot(Box<Snapshot>),
    /// The file cannot be read; said once per reason, and looked at again later.
    Failed(ReadError),
    /// Somebody's version was displaced in a race and could not be put back line by line. It lies here, untouched.
    Rescued(PathBuf),
}

/// A write that is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The file's generation now.
    pub generation: Generation,
}

/// Why a write did not happen. The file is as its last writer left it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The file is not the expected generation; a [`Snapshot`] follows, even if it holds no change.
    #[error("file changed meanwhile")]
    Changed,
    /// The file has lines that cannot be read, and is left alone until somebody mends it.
    #[error("file has {total} broken lines, first {line_no}: {error}")]
    Broken {
        /// How many.
        total: u32,
        /// The first of them, from 1.
        line_no: u32,
        /// What is wrong with it.
        error: LineError,
    },
    /// One of the new lines is unusable.
    #[error("line for {id:?}: {error}")]
    Line {
        /// Its id.
        id: String,
        /// What is wrong.
        error: EditError,
    },
    /// The file cannot be read, or would become too large.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No right to write: read-only directory, file or file system.
    #[error("no right to write {path}")]
    ReadOnly {
        /// What could not be written.
        path: String,
    },
    /// The disk or the quota is full.
    #[error("no space left to write {path}")]
    DiskFull {
        /// What could not be written.
        path: String,
    },
    /// The file belongs to somebody else and a new version could not be given to them.
    #[error("cannot keep the owner of {path}")]
    Owner {
        /// The file.
        path: String,
    },
    /// Anything else that the system said.
    #[error("cannot write {path}: {reason}")]
    Io {
        /// What could not be written.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The workspace is closed.
    #[error("workspace is closed")]
    Closed,
}

impl ApplyError {
    /// Sorts an error of the system by what a person can do about it.
    pub(crate) fn from_io(path: &std::path::Path, error: &std::io::Error) -> ApplyError {
        use std::io::ErrorKind;
        let path = path.display().to_string();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ApplyError::ReadOnly { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                ApplyError::DiskFull { path }
            }
            _ => ApplyError::Io { path, reason: error.to_string() },
        }
    }
}
