//! Other tools' data: couples a workspace directory's beads file with the node.
//!
//! This crate owns bytes, not meaning. [`files`] watches `.beads/issues.jsonl`, reports what changed line by line and
//! writes new versions without ever losing somebody else's; what a change means (shadow, staleness, deletes) is the
//! engine's business. [`git`] asks the `git` program about a file's history.

pub mod files;
pub mod git;

pub use files::{
    Applied, ApplyError, BrokenLine, ChangedLine, EditError, Event, Generation, Handle, LineError, MISSING, OpenError,
    Options, Prepared, ReadError, RepeatedLine, Snapshot, Step, Workspace, blob_id,
};
