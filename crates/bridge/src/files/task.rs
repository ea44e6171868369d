//! Opening a directory's beads file.

use super::event::Event;
use super::generation::Generation;
use super::locate::{OpenError, locate};
use super::watch::Watch;
use super::worker::Worker;
use crate::task::{self, Handle};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// How a workspace is watched.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file, instead of the one that is found; relative to the directory.
    pub path: Option<PathBuf>,
    /// How long a file that looks unfinished (no newline at its end, broken lines, lines gone) has to be still
    /// before it is believed. Default 300 ms.
    pub settle: Duration,
    /// How often to look even if nobody says that something changed. Default 2 s.
    pub poll: Duration,
    /// Generations that git had when the directory was attached ([`crate::git::blob_ids_of_file`]). They are to be
    /// kept from then on and not asked for again: what a later `git pull` brings is news.
    pub history: Arc<HashSet<Generation>>,
    /// Events that may wait for their reader. Default 16.
    pub events_max: usize,
    /// Told at every [`Step`] of a commit, on the thread that does it: tests end the process there. Default: nothing.
    pub on_step: fn(Step),
}

/// A moment of a commit between two changes in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The new version lies beside the file, whole and on disk.
    Written,
    /// The new version has the file's name; what it displaced still lies under the temporary one.
    Swapped,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            path: None,
            settle: Duration::from_millis(300),
            poll: Duration::from_secs(2),
            history: Arc::default(),
            events_max: 16,
            on_step: |_| {},
        }
    }
}

/// A directory with a beads file.
#[derive(Debug)]
pub struct Workspace;

impl Workspace {
    /// Begins to watch a directory's beads file; has to be called inside a tokio runtime. Ends when all handles or
    /// the receiver are dropped. `.beads` is made if it is missing; the file is not.
    ///
    /// # Errors
    /// [`OpenError`]: the directory does not exist or its metadata is unusable. That the file itself cannot be read is
    /// an [`Event::Failed`], since it may become readable.
    pub fn open(dir: &Path, options: Options) -> Result<(Handle, mpsc::Receiver<Event>), OpenError> {
        let path = match &options.path {
            Some(path) => dir.join(path),
            None => locate(dir)?,
        };
        // Absolute, so that a later change of the process's directory does not matter.
        let path = std::path::absolute(&path).map_err(|e| OpenError::io(&path, &e))?;
        let parent = path.parent().unwrap_or(dir);
        if !parent.is_dir() {
            return Err(OpenError::NoDirectory(parent.display().to_string()));
        }
        let poke = Arc::new(Notify::new());
        let (poll, events_max) = (options.poll, options.events_max);
        let mut worker = Worker::new(path.clone(), options);
        worker.recover().map_err(|e| OpenError::io(&path, &e))?;
        let watch = Watch::new(&path, poke.clone());
        Ok(task::start(worker, path, Some((watch, poke)), poll, events_max))
    }
}
