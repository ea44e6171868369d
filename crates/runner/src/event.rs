//! What is said about a job while it runs, and how it ended.

use std::path::PathBuf;

/// Something that happened to a job, in order. `Started` comes at most once, `Ended` exactly once and last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The program runs.
    Started {
        /// Its worktree, as this host sees it. It is gone when the job has ended.
        worktree: PathBuf,
    },
    /// The program said something about itself.
    Report(Report),
    /// Some of what it said was not taken; comes at most once, right before the end.
    Skipped(Skipped),
    /// It is over: nothing of it runs any more.
    Ended(End),
}

/// One line that a program wrote to descriptor 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What it used since its last such line: a delta, to be added up.
    Usage {
        /// Tokens that it read.
        tokens_in: u64,
        /// Tokens that it wrote.
        tokens_out: u64,
        /// Millionths of a US dollar.
        money_micros: u64,
    },
    /// Something for people to read: one line without control characters.
    Note(String),
    /// How far it is.
    Progress {
        /// 0 to 100.
        percent: u8,
    },
}

/// Report lines that were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// How many were seen. What lies beyond a limit of the whole file is counted as one.
    pub lines: u64,
    /// What was wrong with the first.
    pub first: ReportError,
}

/// Why a report line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Longer than [`crate::REPORT_LINE_BYTES_MAX`].
    #[error("the line is too long")]
    LineTooLong,
    /// No JSON object of a known kind.
    #[error("the line is no report")]
    Malformed,
    /// The line comes after [`crate::REPORT_LINES_MAX`] others.
    #[error("too many lines")]
    TooManyLines,
    /// The line comes after [`crate::REPORT_BYTES_MAX`] bytes.
    #[error("too many bytes")]
    TooManyBytes,
}

/// How a job ended. Changes are kept under [`crate::result_ref`] whichever it is; only a result that is `Done` is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Exit code 0.
    Done {
        /// What it made; `None` if it changed nothing, or had no repository.
        commit: Option<String>,
        /// The full name of the ref that points to the commit.
        branch: Option<String>,
    },
    /// Exit code 75 (`EX_TEMPFAIL`): not now, perhaps later.
    Later,
    /// Any other exit code, a signal, or it could not be run, kept or pushed.
    Failed {
        /// Its exit code; `None` if a signal ended it or it never ran.
        code: Option<i32>,
        /// The last that it said, or what went wrong: at most 500 characters, none of them control characters.
        reason: String,
    },
    /// It took longer than [`crate::Job::time_max`].
    TimedOut,
    /// [`crate::Handle::cancel`] was called, or the handle dropped.
    Cancelled,
}
