//! Two-way coupling with a beads database through the program `bd`.
//!
//! The same seam as a beads file ([`crate::files`]): what bd exports is read as the lines of a file, and lines are
//! written by `bd import` and the commands for what import cannot do. What bd cannot hold is kept beside it
//! ([`Held`]), so that a line reads as it was meant until somebody changes it in bd. `docs/interop.md` tells what the
//! real bd was seen to do with each field.

mod export;
mod fields;
mod held;
mod plan;
mod probe;
mod store;
mod tool;
mod worker;
mod write;

pub use held::Held;
pub use probe::has_database;
pub use tool::{BdError, Limits, VERSION_MIN, Version, detect, program};
pub use worker::Prepared;

use crate::files::{Event, OpenError, ReadError};
use crate::task::{self, Handle};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Who bd is told that our commands come from.
pub const ACTOR: &str = "townmesh";

/// How a database is coupled.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program. Default [`program`].
    pub program: PathBuf,
    /// Time and sizes.
    pub limits: Limits,
    /// How often to look whether the database's files changed; where the Dolt server is elsewhere and has no files here,
    /// bd is asked ten times rarer. Default 500 ms.
    pub poll: Duration,
    /// How often to compare everything, whatever the files say. Default 60 s.
    pub compare: Duration,
    /// What bd refused is offered again after so long, then after twice as long, and so on up to an hour, with the next
    /// full comparison: an issue whose parent came later, a disk that was full. Every write begins anew. Default 60 s.
    pub refused: Duration,
    /// Where to keep what bd cannot hold; `None`: it is forgotten at the end.
    pub held: Option<PathBuf>,
    /// Events that may wait for their reader. Default 16.
    pub events_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            program: program(),
            limits: Limits::default(),
            poll: Duration::from_millis(500),
            compare: Duration::from_secs(60),
            refused: Duration::from_secs(60),
            held: None,
            events_max: 16,
        }
    }
}

/// Begins to watch a directory's beads database; has to be called inside a tokio runtime. Ends when all handles or the
/// receiver are dropped. That bd is missing, too old, locked or hanging is an [`Event::Failed`], since it may pass.
///
/// # Errors
/// [`OpenError`]: the directory does not exist, or [`Options::held`] cannot be read.
pub fn open(dir: &Path, options: Options) -> Result<(Handle<Prepared>, mpsc::Receiver<Event>), OpenError> {
    let dir = std::path::absolute(dir).map_err(|e| OpenError::io(dir, &e))?;
    if !dir.is_dir() {
        return Err(OpenError::NoDirectory(dir.display().to_string()));
    }
    let (poll, events_max) = (options.poll, options.events_max);
    let worker = worker::Worker::new(dir.clone(), options).map_err(|error| match error {
        ReadError::Io { path, reason } => OpenError::Io { path, reason },
        other => OpenError::Io { path: dir.display().to_string(), reason: other.to_string() },
    })?;
    Ok(task::start(worker, dir.join(".beads"), None, poll, events_max))
}
