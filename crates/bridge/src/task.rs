//! One task per workspace: it owns the coupling's state and lends it to a blocking thread for every step.

use crate::files::{Applied, ApplyError, Event, Generation, Watch};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// How long to wait for a reader of events that has not kept up.
const FULL: Duration = Duration::from_millis(20);

/// Questions that may be under way at once.
const ASKS_MAX: usize = 16;

/// Something whose lines are watched and written. Every step may block.
pub(crate) trait Coupling: Send + 'static {
    /// A version that lies ready.
    type Prepared: Send + 'static;

    /// When to look again, if nothing else happens.
    fn deadline(&self, now: Instant) -> Instant;

    /// Looks; the next thing to report, if there is one. To be called until it returns `None`.
    fn look(&mut self) -> Option<Event>;

    /// See [`Handle::prepare`].
    fn prepare(
        &mut self,
        expected: Generation,
        lines: &[(String, Option<String>)],
    ) -> Result<Self::Prepared, ApplyError>;

    /// See [`Handle::commit`].
    fn commit(&mut self, prepared: Self::Prepared) -> Result<Applied, ApplyError>;

    /// See [`Handle::read_line`].
    fn read_line(&mut self, id: &str) -> Result<Option<String>, ApplyError>;

    /// Everything is new again.
    fn rescan(&mut self);
}

/// Starts the task of a workspace; has to be called inside a tokio runtime.
pub(crate) fn start<C: Coupling>(
    worker: C,
    path: PathBuf,
    watch: Option<(Watch, Arc<Notify>)>,
    poll: Duration,
    events_max: usize,
) -> (Handle<C::Prepared>, mpsc::Receiver<Event>) {
    let (event_tx, event_rx) = mpsc::channel(events_max.max(1));
    let (ask_tx, ask_rx) = mpsc::channel(ASKS_MAX);
    let (watch, poke) = watch.map_or_else(|| (None, Arc::default()), |(watch, poke)| (Some(watch), poke));
    tokio::spawn(run(Some(Box::new(worker)), watch, poll, poke, ask_rx, event_tx));
    (Handle { asks: ask_tx, path }, event_rx)
}

/// Steers a workspace. Cheap to clone.
#[derive(Debug)]
pub struct Handle<P = crate::files::Prepared> {
    asks: mpsc::Sender<Ask<P>>,
    path: PathBuf,
}

impl<P> Clone for Handle<P> {
    fn clone(&self) -> Handle<P> {
        Handle { asks: self.asks.clone(), path: self.path.clone() }
    }
}

type Reply<T> = oneshot::Sender<Result<T, ApplyError>>;

#[derive(Debug)]
enum Ask<P> {
    Prepare(Generation, Vec<(String, Option<String>)>, Reply<P>),
    Commit(Box<P>, Reply<Applied>),
    ReadLine(String, Reply<Option<String>>),
    Rescan,
}

impl<P> Handle<P> {
    /// The file, as it was found (it may be a link); for bd, its directory `.beads`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new version beside the file, without making it visible. Each line replaces the one with its id, is
    /// inserted, or (`None`) removed; every other byte stays as it is. Dropping the result takes it back.
    ///
    /// # Errors
    /// [`ApplyError`]; above all `Changed` if the file is not `expected`, the generation of the last snapshot or apply.
    pub async fn prepare(&self, expected: Generation, lines: Vec<(String, Option<String>)>) -> Result<P, ApplyError> {
        self.ask(|reply| Ask::Prepare(expected, lines, reply)).await
    }

    /// Makes a prepared version visible, unless somebody changed the file since. It is not reported as a snapshot.
    ///
    /// # Errors
    /// [`ApplyError`]; the file is then as its last writer left it.
    pub async fn commit(&self, prepared: P) -> Result<Applied, ApplyError> {
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

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask<P>) -> Result<T, ApplyError> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(ask(reply)).await.map_err(|_| ApplyError::Closed)?;
        answer.await.map_err(|_| ApplyError::Closed)?
    }
}

/// Lends the worker to a thread that may block. `None` afterwards if it panicked.
async fn lend<C: Coupling, T: Send + 'static>(
    worker: &mut Option<Box<C>>,
    work: impl FnOnce(&mut C) -> T + Send + 'static,
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

async fn run<C: Coupling>(
    mut worker: Option<Box<C>>,
    mut watch: Option<Watch>,
    poll: Duration,
    poke: Arc<Notify>,
    mut asks: mpsc::Receiver<Ask<C::Prepared>>,
    events: mpsc::Sender<Event>,
) {
    let mut renew_at = Instant::now() + poll;
    loop {
        // A full channel is not waited for: the file keeps what we have not reported, and asks go on.
        let mut full = false;
        // Where somebody changes something all the time there is always something to report; asks wait for one look only.
        let mut asked = false;
        loop {
            if events.capacity() == 0 {
                full = true;
                break;
            }
            match lend(&mut worker, C::look).await {
                Some(Some(event)) => {
                    if events.try_send(event).is_err() {
                        return;
                    }
                    if !asks.is_empty() {
                        asked = true;
                        break;
                    }
                }
                Some(None) => break,
                None => return,
            }
        }
        let now = Instant::now();
        let Some(deadline) = worker.as_ref().map(|worker| worker.deadline(now)) else { return };
        let deadline = match (full, asked) {
            (true, _) => now + FULL,
            (_, true) => now,
            _ => deadline.min(renew_at),
        };
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

async fn answer<C: Coupling>(worker: &mut Option<Box<C>>, ask: Ask<C::Prepared>) {
    // Nobody waiting for an answer any more is no error: a version that was prepared goes with it.
    lend(worker, move |worker| match ask {
        Ask::Prepare(expected, lines, reply) => drop(reply.send(worker.prepare(expected, &lines))),
        Ask::Commit(prepared, reply) => drop(reply.send(worker.commit(*prepared))),
        Ask::ReadLine(id, reply) => drop(reply.send(worker.read_line(&id))),
        Ask::Rescan => worker.rescan(),
    })
    .await;
}
