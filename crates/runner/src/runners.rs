//! The runners of a node: what they are opened with, how jobs are started, steered and looked at.

use crate::dirs::{self, Dirs};
use crate::event::{End, Event};
use crate::job::{Job, StartError, is_id};
use crate::keep::{KeepError, Outcome, keep};
use crate::life::Life;
use crate::log::{self, LogError, LogPart};
use crate::note::{self, Found, Note, TreeNote};
use crate::sandbox::{Bwrap, NoSandbox};
use crate::tree::{self, Tree, TreeError};
use rustix::fs::FlockOperation;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Events that wait to be read. A program is not held up by a slow reader; its reports wait in their file.
const EVENTS_MAX: usize = 64;

/// How runners work. Made by [`Options::new`], changed as wished.
#[derive(Debug, Clone)]
pub struct Options {
    /// The runners' own directory. Nobody else may have an interest in it; it is made with mode 0700.
    pub dir: PathBuf,
    /// Most bytes of one job's log, 4 KiB at least. Default 16 MiB.
    pub log_bytes_max: u64,
    /// Most logs of jobs that are over. Default 1,000; the oldest go first.
    pub logs_max: usize,
    /// How long a program may take to end when it is told to (TERM), before it is ended (KILL). Default 5 s.
    pub grace: Duration,
    /// How long one step of git may take, such as making a worktree. Default 5 min.
    pub git_time_max: Duration,
    /// How long pushing a result may take. Default 2 min.
    pub push_time_max: Duration,
    /// Most bytes of what is handed out of a sandbox. Default 1 GiB.
    pub result_bytes_max: u64,
}

impl Options {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            log_bytes_max: 16 * 1024 * 1024,
            logs_max: 1000,
            grace: Duration::from_secs(5),
            git_time_max: Duration::from_secs(300),
            push_time_max: Duration::from_secs(120),
            result_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// Why the runners cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("cannot use {}: {source}", .path.display())]
    Io {
        /// What was meant to be used.
        path: PathBuf,
        /// Why it cannot.
        source: io::Error,
    },
    /// Another node uses it.
    #[error("{} is used by another process", .0.display())]
    InUse(PathBuf),
}

/// Why what a job left cannot be put away.
#[derive(Debug, thiserror::Error)]
pub enum AbandonError {
    /// There is nothing under this id, or nothing that can be read.
    #[error("nothing is left of this job")]
    Unknown,
    /// It has not ended.
    #[error("the job runs")]
    Runs,
    /// What it changed cannot be kept, so it was left as it is.
    #[error("{0}")]
    NotKept(String),
    /// It cannot be removed.
    #[error("{0}")]
    NotRemoved(String),
    /// It was made in a sandbox, and there is none any more.
    #[error(transparent)]
    NoSandbox(#[from] NoSandbox),
}

/// The runners of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runners {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) dirs: Dirs,
    /// Jobs that have not ended.
    running: Mutex<HashSet<String>>,
    /// Found once it was needed. That there is none may change, so that is asked again.
    bwrap: OnceLock<Bwrap>,
    /// Who adds or removes a worktree is alone: git stumbles over one that another git is about to add.
    pub(crate) worktrees: tokio::sync::Mutex<()>,
    /// Held as long as anything runs.
    _lock: File,
}

impl Runners {
    /// Opens the directory, and ends every program that an earlier node left running. May block for a moment.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(options: Options) -> Result<Runners, OpenError> {
        let at = |path: PathBuf| move |source| OpenError::Io { path, source };
        let dirs = Dirs::make(&options.dir).map_err(at(options.dir.clone()))?;
        let lock = File::create(dirs.lock()).map_err(at(dirs.lock()))?;
        // Another node's programs are not leftovers.
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(options.dir)),
            Err(error) => return Err(at(dirs.lock())(error.into())),
        }
        note::kill_leftovers(&dirs);
        remove_strays(&dirs);
        log::prune(&dirs, options.logs_max, |_| false);
        let (running, bwrap, worktrees) = (Mutex::default(), OnceLock::new(), tokio::sync::Mutex::default());
        Ok(Runners { inner: Arc::new(Inner { options, dirs, running, bwrap, worktrees, _lock: lock }) })
    }

    /// Starts a job, inside a tokio runtime. If an earlier node had begun a job of this id, its tree is used as it is.
    ///
    /// The events have to be read, or the receiver dropped: a job waits with its last event for its reports to be
    /// taken. The first job with a sandbox takes a moment longer here, because it is tried whether there is one.
    ///
    /// # Errors
    /// [`StartError`]: then nothing was touched.
    pub fn start(&self, job: Job) -> Result<(Handle, mpsc::Receiver<Event>), StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        job.check()?;
        let program = job.program()?;
        let bwrap = job.sandbox.map(|_| self.inner.bwrap()).transpose()?;
        let slot = Slot::take(&self.inner, &job.id).ok_or(StartError::Runs)?;
        log::prune(&self.inner.dirs, self.inner.options.logs_max, |id| self.inner.runs(id));
        let stop = Stop::default();
        let handle = Handle { id: job.id.clone(), stop: stop.clone() };
        let (events_tx, events_rx) = mpsc::channel(EVENTS_MAX);
        let life = Life { inner: self.inner.clone(), job, program, bwrap, stop, events: events_tx };
        runtime.spawn(life.live(slot));
        Ok((handle, events_rx))
    }

    /// Whether programs can be put into a sandbox here. May block for a moment.
    ///
    /// # Errors
    /// [`NoSandbox`] says why not.
    pub fn sandbox(&self) -> Result<(), NoSandbox> {
        self.inner.bwrap().map(drop)
    }

    /// A part of a job's log, of at most `max` bytes and no more than 1 MiB. To follow it, ask for what comes next
    /// until it has ended.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read_log(&self, id: &str, from: u64, max: usize) -> Result<LogPart, LogError> {
        // Asked first: who has ended writes nothing after this.
        let running = self.inner.runs(id);
        log::read(&self.inner.dirs, id, from, max, running)
    }

    /// Jobs that have a tree and do not run: an earlier node was killed, or what they changed could not be kept.
    pub fn leftovers(&self) -> Vec<String> {
        let mut ids = note::ids(&self.inner.dirs);
        ids.retain(|id| !self.inner.runs(id));
        ids.sort();
        ids
    }

    /// Puts away what is left of a job that will not be started again: its changes are kept as those of a cancelled
    /// one, and its tree is removed. The ref under which they are, if there were any.
    ///
    /// # Errors
    /// [`AbandonError`]; unless it was removed, what is left stays for another try, or for [`Runners::forget`].
    pub async fn abandon(&self, id: &str) -> Result<Option<String>, AbandonError> {
        let _slot = self.take_leftover(id)?;
        let Found::Note(note) = Note::find(&self.inner.dirs, id) else { return Err(AbandonError::Unknown) };
        let in_sandbox = matches!(note.tree, TreeNote::Clone { .. });
        let bwrap = if in_sandbox { Some(self.inner.bwrap()?) } else { None };
        let tree = Tree::of_note(&self.inner.dirs, id, *note, bwrap);
        let not_kept = |error: KeepError| AbandonError::NotKept(error.to_string());
        // Without a tree, the earlier node had kept the changes and was killed as it cleared up.
        let outcome = match tree.path.is_dir() {
            true => keep(&tree, &self.inner.options, false).await.map_err(not_kept)?,
            false => Outcome::default(),
        };
        if let Some(left) = outcome.left {
            return Err(AbandonError::NotKept(left));
        }
        let not_removed = |error: TreeError| AbandonError::NotRemoved(error.to_string());
        tree.remove(&self.inner).await.map_err(not_removed)?;
        Ok(outcome.kept.map(|kept| kept.branch))
    }

    /// Removes everything of a job that does not run, its log and changes that were not kept included.
    ///
    /// # Errors
    /// [`AbandonError`].
    pub async fn forget(&self, id: &str) -> Result<(), AbandonError> {
        let _slot = self.take_leftover(id)?;
        let dirs = &self.inner.dirs;
        let not_removed = |error: &dyn std::fmt::Display| AbandonError::NotRemoved(error.to_string());
        if let Found::Note(note) = Note::find(dirs, id) {
            let tree = Tree::of_note(dirs, id, *note, None);
            tree.remove(&self.inner).await.map_err(|error| not_removed(&error))?;
        }
        for path in [dirs.tree(id), dirs.aside(id), dirs.log(id), dirs.note(id)] {
            tree::remove(&path).await.map_err(|error| not_removed(&error))?;
        }
        Ok(())
    }

    fn take_leftover(&self, id: &str) -> Result<Slot, AbandonError> {
        if !is_id(id) {
            return Err(AbandonError::Unknown);
        }
        Slot::take(&self.inner, id).ok_or(AbandonError::Runs)
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runs(&self, id: &str) -> bool {
        self.running().contains(id)
    }

    fn bwrap(&self) -> Result<Bwrap, NoSandbox> {
        if let Some(bwrap) = self.bwrap.get() {
            return Ok(bwrap.clone());
        }
        let bwrap = Bwrap::find(&self.dirs.sandbox())?;
        Ok(self.bwrap.get_or_init(|| bwrap).clone())
    }
}

/// Removes what was being made, or removed, when an earlier node was killed.
fn remove_strays(dirs: &Dirs) {
    let noted: HashSet<String> = note::ids(dirs).into_iter().collect();
    for place in [dirs.trees(), dirs.asides()] {
        for name in dirs::names(&place).iter().filter(|name| !noted.contains(*name)) {
            if let Err(error) = dirs::remove(&place.join(name)) {
                tracing::warn!(%name, %error, "cannot remove a leftover");
            }
        }
    }
}

/// A job's place among those that run; free again when it is dropped.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    id: String,
}

impl Slot {
    fn take(inner: &Arc<Inner>, id: &str) -> Option<Slot> {
        inner.running().insert(id.to_string()).then(|| Slot { inner: inner.clone(), id: id.to_string() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.running().remove(&self.id);
    }
}

/// Steers a job. Dropped, it cancels the job.
#[derive(Debug)]
pub struct Handle {
    id: String,
    stop: Stop,
}

impl Handle {
    /// The job's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Ends the program: [`End::Cancelled`] follows, unless it was over already. The reason goes into its log.
    pub fn cancel(&self, reason: &str) {
        self.stop.stop(reason);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.stop("nobody waits for it any more");
    }
}

/// Says once that a job is to stop, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Stop {
    fn stop(&self, reason: &str) {
        self.reason.get_or_init(|| reason.to_string());
        self.token.cancel();
    }

    /// Waits until it was said; why.
    pub(crate) async fn asked(&self) -> String {
        self.token.cancelled().await;
        self.reason.get().cloned().unwrap_or_default()
    }
}

/// Why a job failed that no program ended.
pub(crate) fn failed(reason: &impl std::fmt::Display) -> End {
    End::Failed { code: None, reason: log::reason(reason) }
}
