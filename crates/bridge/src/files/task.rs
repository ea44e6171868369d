//! One task per workspace: it owns the file's state and lends it to a blocking thread for every step.

use super::event::{Applied, ApplyError, Event};
use super::generation::Generation;
use super::locate::{OpenError, locate};
use super::prepare::Prepared;
use super::watch::Watch;
use super::worker::Worker;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// How long to wait for a reader of events that has not kept up.
const FULL: Duration = Duration::from_millis(20);

/// Questions that may be under way at once.
const ASKS_MAX: usize = 16;

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
        let (event_tx, event_rx) = mpsc::channel(options.events_max.max(1));
        let (ask_tx, ask_rx) = mpsc::channel(ASKS_MAX);
        let poke = Arc::new(Notify::new());
        let poll = options.poll;
        let mut worker = Worker::new(path.clone(), options);
        worker.recover().map_err(|e| OpenError::io(&path, &e))?;
        let watch = Watch::new(&path, poke.clone());
        tokio::spawn(run(Some(Box::new(worker)), watch, poll, poke, ask_rx, event_tx));
        Ok((Handle { asks: ask_tx, path }, event_rx))
    }
}

/// Steers a workspace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    path: PathBuf,
}

type Reply<T> = oneshot::Sender<Result<T, ApplyError>>;

#[derive(Debug)]
enum Ask {
    Prepare(Generation, Vec<(String, Option<String>)>, Reply<Prepared>),
    Commit(Box<Prepared>, Reply<Applied>),
    ReadLine(String, Reply<Option<String>>),
    Rescan,
}

impl Handle {
    /// The file, as it was found (it may be a link).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new version beside the file, without making it visible. Each line replaces the one with its id, is
    /// inserted, or (`None`) removed; every other byte stays as it is. Dropping the result takes it back.
    ///
    /// # Errors
    /// [`ApplyError`]; above all `Changed` if the file is not `expected`, the generation of the last snapshot or apply.
    pub async fn prepare(
        &self,
        expected: Generation,
        lines: Vec<(String, Option<String>)>,
    ) -> Result<Prepared, ApplyError> {
        self.ask(|reply| Ask::Prepare(expected, lines, reply)).await
    }

    /// Makes a prepared version visible, unless somebody changed the file since. It is not reported as a snapshot.
    ///
    /// # Errors
    /// [`ApplyError`]; the file is then as its last writer left it.
    pub async fn commit(&self, prepared: Prepared) -> Result<Applied, ApplyError> {
        self.ask(|reply| Ask::Commit(Box::new(prepared), reply)).await
    }

    /// [`Handle::prepare`] and [`Handle::commit`] in one go.
    ///
    /// # Errors
    /// As those.
    pub async fn apply(
        &self,
        expected: Generation,
        lines: Vec<(String, Option<String>)>,
    ) -> Result<Applied, ApplyError> {
        let prepared = self.prepare(expected, lines).await?;
        self.commit(prepared).await
    }

    /// The line that the file has under an id right now.
    ///
    /// # Errors
    /// [`ApplyError::Read`] or [`ApplyError::Closed`].
    pub async fn read_line(&self, id: &str) -> Result<Option<String>, ApplyError> {
        self.ask(|reply| Ask::ReadLine(id.to_string(), reply)).await
    }

    /// Asks for a snapshot with every line.
    ///
    /// # Errors
    /// [`ApplyError::Closed`].
    pub async fn rescan(&self) -> Result<(), ApplyError> {
        self.asks.send(Ask::Rescan).await.map_err(|_| ApplyError::Closed)
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, ApplyError> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| ApplyError::Closed)?;
        answer.await.map_err(|_| ApplyError::Closed)?
    }
}

/// Lends the worker to a thread that may block. `None` afterwards if it panicked.
async fn lend<T: Send + 'static>(
    worker: &mut Option<Box<Worker>>,
    work: impl FnOnce(&mut Worker) -> T + Send + 'static,
) -> Option<T> {
    let mut lent = worker.take()?;
    let (back, out) = tokio::task::spawn_blocking(move || {
        let out = work(&mut lent);
        (lent, out)
    })
    .await
    .inspect_err(|error| tracing::error!(%error, "a workspace ends"))
    .ok()?;
    *worker = Some(back);
    Some(out)
}

async fn run(
    mut worker: Option<Box<Worker>>,
    watch: Watch,
    poll: Duration,
    poke: Arc<Notify>,
    mut asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
) {
    let mut watch = Some(watch);
    let mut renew_at = Instant::now() + poll;
    loop {
        // A full channel is not waited for: the file keeps what we have not reported, and asks go on.
        let mut full = false;
        loop {
            if events.capacity() == 0 {
                full = true;
                break;
            }
            match lend(&mut worker, Worker::look).await {
                Some(Some(event)) => {
                    if events.try_send(event).is_err() {
                        return;
                    }
                }
                Some(None) => break,
                None => return,
            }
        }
        let now = Instant::now();
        let Some(deadline) = worker.as_ref().map(|worker| worker.deadline(now)) else { return };
        let deadline = if full { now + FULL } else { deadline.min(renew_at) };
        tokio::select! {
            biased;
            ask = asks.recv() => match ask {
                Some(ask) => answer(&mut worker, ask).await,
                None => return,
            },
            () = events.closed() => return,
            () = poke.notified() => {}
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        if Instant::now() >= renew_at {
            renew_at = Instant::now() + poll;
            watch = renew(watch).await;
        }
    }
}

async fn renew(watch: Option<Watch>) -> Option<Watch> {
    let mut watch = watch?;
    tokio::task::spawn_blocking(move || {
        watch.renew();
        watch
    })
    .await
    .ok()
}

async fn answer(worker: &mut Option<Box<Worker>>, ask: Ask) {
    // Nobody waiting for an answer any more is no error: a version that was prepared goes with it.
    lend(worker, move |worker| match ask {
        Ask::Prepare(expected, lines, reply) => drop(reply.send(worker.prepare(expected, &lines))),
        Ask::Commit(prepared, reply) => drop(reply.send(worker.commit(*prepared))),
        Ask::ReadLine(id, reply) => drop(reply.send(worker.read_line(&id))),
        Ask::Rescan => worker.rescan(),
    })
    .await;
}
