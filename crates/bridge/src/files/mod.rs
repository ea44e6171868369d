//! Two-way coupling with a beads JSONL file.
//!
//! One task per workspace owns the file ([`Workspace::open`]); it is steered through a [`Handle`] and reports through
//! a bounded channel of [`Event`]s. Nothing is queued without bound: while the channel is full the file is simply not
//! looked at, and the next look finds all differences at once.

#[doc(hidden)]
pub mod check;
mod edit;
mod event;
mod fold;
mod generation;
mod line;
mod locate;
mod prepare;
mod read;
mod rescue;
mod scan;
mod swap;
mod task;
mod watch;
mod worker;

pub use edit::EditError;
pub(crate) use edit::{check, edit};
pub use event::{Applied, ApplyError, BrokenLine, ChangedLine, Event, RepeatedLine, Snapshot};
pub use generation::{Generation, MISSING, blob_id};
pub use line::{ID_BYTES_MAX, LineError};
pub use locate::OpenError;
pub use prepare::Prepared;
pub(crate) use prepare::refuse_broken;
pub use read::ReadError;
pub(crate) use scan::{Known, scan};
pub use scan::{LINES_MAX, REPORT_MAX};
pub use task::{Options, Step, Workspace};
pub(crate) use watch::Watch;
