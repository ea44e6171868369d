//! Other tools' data: couples a workspace directory's beads file with the node.
//!
//! This crate owns bytes, not meaning. [`files`] watches `.beads/issues.jsonl`, reports what changed line by line and
//! writes new versions without ever losing somebody else's; what a change means (shadow, staleness, deletes) is the
//! engine's business. [`bd`] does the same for a database of the program `bd`. [`git`] asks the `git` program about a file's history.

pub mod bd;
pub mod files;
pub mod git;
mod process;
mod task;

pub use files::{
    Applied, ApplyError, BrokenLine, ChangedLine, EditError, Event, Generation, LineError, MISSING, OpenError, Options,
    Prepared, ReadError, RepeatedLine, Snapshot, Step, Workspace, blob_id,
};
pub use task::Handle;
