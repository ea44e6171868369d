//! What the `git` program knows about a file.
//!
//! `git` runs as a process: never through a shell, with a time and an output limit, and with nothing of our
//! environment that could lead it to another repository. Everything here blocks; asynchronous callers lend it a thread.

mod history;
mod merges;
mod objects;
mod run;

pub use history::{Ancestors, HistoryLimits, ancestors, blob_ids_of_file};
pub use merges::{LineMerge, MergeCommit, line_merge, merge_commits};
pub use objects::Objects;
pub use run::GitError;
