//! Pulls: bulk transfer on a stream of its own. Each is a task; every wait for the peer has a time limit, and the only
//! wait without one is for our own reader of events, which is how a slow reader slows the sender down.

use crate::counters::{self, count};
use crate::error::PullError;
use crate::event::{Event, StreamId};
use crate::frames::{self, FrameError};
use crate::options::Limits;
use crate::streams::{OpenError, Reply};
use futures::io::{BufReader, BufWriter};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use proto::limits::{FRAME_BYTES_MAX, PULLS_PER_PEER_MAX};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use types::PeerId;

/// Bytes gathered before they go into the stream: every write costs an encryption of its own.
const BUFFER_BYTES: usize = 64 * 1024;
/// Frames that a server may be ahead of its stream.
const AHEAD_FRAMES: usize = 4;

/// A wish for a stream to a peer, from a task to the owner of the swarm.
pub(crate) type Open = (PeerId, Reply);

/// What a server sends.
pub(crate) enum Out {
    Frame(Vec<u8>),
    End,
}

/// Serves one pull stream. Dropped without [`FrameSender::finish`], the peer sees the stream cut.
#[derive(Debug)]
pub struct FrameSender {
    out: mpsc::Sender<Out>,
}

impl FrameSender {
    /// Sends one frame; waits while the peer is slow.
    ///
    /// # Errors
    /// [`PullError::TooLarge`] over `FRAME_BYTES_MAX` bytes; [`PullError::Cut`] when the stream is gone.
    pub async fn send(&self, frame: Vec<u8>) -> Result<(), PullError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(PullError::TooLarge { len: frame.len(), max: FRAME_BYTES_MAX });
        }
        self.out.send(Out::Frame(frame)).await.map_err(|_| PullError::Cut("the peer left".into()))
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// [`PullError::Cut`] when the stream is gone.
    pub async fn finish(self) -> Result<(), PullError> {
        self.out.send(Out::End).await.map_err(|_| PullError::Cut("the peer left".into()))
    }
}

/// What the tasks share with the service and the handles.
pub(crate) struct Pulls {
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<counters::Shared>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) open: mpsc::Sender<Open>,
    pub(crate) cancel: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    unclaimed: HashMap<u64, mpsc::Sender<Out>>,
    /// Our pulls: slots under way, and all that exist.
    ours: HashMap<PeerId, (Arc<Semaphore>, usize)>,
    /// Pulls of peers.
    theirs: HashMap<PeerId, usize>,
}

impl Pulls {
    pub(crate) fn new(
        limits: Limits,
        counters: Arc<counters::Shared>,
        events: mpsc::Sender<Event>,
        open: mpsc::Sender<Open>,
        cancel: CancellationToken,
    ) -> Arc<Pulls> {
        Arc::new(Pulls { limits, counters, events, open, cancel, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a stream that a peer opened.
    pub(crate) fn claim(&self, stream: StreamId) -> Result<FrameSender, PullError> {
        let out = self.state().unclaimed.remove(&stream.0).ok_or(PullError::NoSuchStream)?;
        Ok(FrameSender { out })
    }

    /// Whether a pull from or to this peer exists.
    pub(crate) fn is_busy(&self, peer: &PeerId) -> bool {
        let state = self.state();
        state.ours.contains_key(peer) || state.theirs.contains_key(peer)
    }

    /// A place among our pulls from this peer.
    pub(crate) fn ours(self: &Arc<Self>, peer: PeerId) -> Result<OurPull, PullError> {
        let mut state = self.state();
        let (slots, count) =
            state.ours.entry(peer).or_insert_with(|| (Arc::new(Semaphore::new(PULLS_PER_PEER_MAX)), 0));
        if *count >= self.limits.pulls_queued_per_peer {
            return Err(PullError::Busy);
        }
        *count += 1;
        Ok(OurPull { pulls: self.clone(), peer, slots: slots.clone() })
    }

    /// A place among this peer's pulls from us.
    pub(crate) fn theirs(self: &Arc<Self>, peer: PeerId) -> Option<TheirPull> {
        let mut state = self.state();
        let count = state.theirs.entry(peer).or_default();
        if *count >= PULLS_PER_PEER_MAX {
            return None;
        }
        *count += 1;
        Some(TheirPull { pulls: self.clone(), peer })
    }

    /// Hands an event to the reader, however slow; false when the network stops.
    async fn tell(&self, event: Event) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            sent = self.events.send(event) => sent.is_ok(),
        }
    }
}

/// One of our pulls, waiting or under way.
pub(crate) struct OurPull {
    pulls: Arc<Pulls>,
    peer: PeerId,
    slots: Arc<Semaphore>,
}

impl Drop for OurPull {
    fn drop(&mut self) {
        let mut state = self.pulls.state();
        if let Some((_, count)) = state.ours.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.ours.remove(&self.peer);
            }
        }
    }
}

/// One of a peer's pulls.
pub(crate) struct TheirPull {
    pulls: Arc<Pulls>,
    peer: PeerId,
}

impl Drop for TheirPull {
    fn drop(&mut self) {
        let mut state = self.pulls.state();
        if let Some(count) = state.theirs.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.theirs.remove(&self.peer);
            }
        }
    }
}

/// Waits for something that the peer owes us.
async fn within<T>(limit: Duration, what: &'static str, future: impl Future<Output = T>) -> Result<T, PullError> {
    tokio::time::timeout(limit, future).await.map_err(|_| PullError::Timeout(what))
}

fn cut(error: std::io::Error) -> PullError {
    PullError::Cut(error.to_string())
}

fn frame_error(error: FrameError) -> PullError {
    match error {
        FrameError::TooLarge { len, max } => PullError::TooLarge { len, max },
        FrameError::Io(error) => cut(error),
    }
}

impl OurPull {
    /// Pulls, and reports every frame and the end.
    pub(crate) async fn run(self, id: u64, request: Vec<u8>) {
        let cancel = self.pulls.cancel.clone();
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(PullError::Stopping),
            result = self.pull(id, &request) => result,
        };
        let pulls = self.pulls.clone();
        // The place is free before the reader hears of the end, so that it may pull again at once.
        drop(self);
        pulls.tell(Event::PullEnd { id, result }).await;
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, PullError> {
        match self.slots.clone().try_acquire_owned() {
            Ok(slot) => Ok(slot),
            Err(TryAcquireError::Closed) => Err(PullError::Stopping),
            Err(TryAcquireError::NoPermits) => {
                let wait = self.slots.clone().acquire_owned();
                within(self.pulls.limits.pull_wait, "a free slot", wait).await?.map_err(|_| PullError::Stopping)
            }
        }
    }

    async fn open(&self) -> Result<Stream, PullError> {
        let (reply, opened) = oneshot::channel();
        self.pulls.open.send((self.peer, reply)).await.map_err(|_| PullError::Stopping)?;
        match within(self.pulls.limits.open_timeout, "opening a stream", opened).await? {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(OpenError::Unsupported)) => Err(PullError::Unsupported),
            Ok(Err(OpenError::Failed(reason))) => Err(PullError::Cut(reason)),
            // Nobody answers when there is no connection, or when it closed meanwhile.
            Err(_) => Err(PullError::NotConnected),
        }
    }

    async fn pull(&self, id: u64, request: &[u8]) -> Result<(), PullError> {
        let _slot = self.slot().await?;
        let mut stream = self.open().await?;
        let stall = self.pulls.limits.stall_timeout;
        let ask = async {
            frames::write_frame(&mut stream, request).await?;
            stream.flush().await
        };
        within(stall, "asking", ask).await?.map_err(cut)?;
        let mut stream = BufReader::with_capacity(BUFFER_BYTES, stream);
        loop {
            let frame = frames::read_frame(&mut stream, FRAME_BYTES_MAX);
            match within(stall, "the next frame", frame).await?.map_err(frame_error)? {
                None => return Ok(()),
                Some(body) => {
                    if !self.pulls.tell(Event::PullFrame { id, body }).await {
                        return Err(PullError::Stopping);
                    }
                }
            }
        }
    }
}

impl TheirPull {
    /// Reads what the peer wants, reports it, and sends what [`Pulls::claim`] gets to send.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let cancel = self.pulls.cancel.clone();
        let counters = self.pulls.counters.clone();
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(()),
            result = self.serve(stream) => result,
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a peer's pull broke off");
            count(&counters.pulls_broken);
        }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) -> Result<(), PullError> {
        let limits = self.pulls.limits.clone();
        let ask = frames::read_frame(&mut stream, FRAME_BYTES_MAX);
        let body = within(limits.open_timeout, "the question", ask).await?.map_err(frame_error)?;
        let body = body.ok_or_else(|| PullError::Cut("no question".into()))?;
        let (out, mut from_server) = mpsc::channel(AHEAD_FRAMES);
        let id = {
            let mut state = self.pulls.state();
            state.next += 1;
            let id = state.next;
            state.unclaimed.insert(id, out);
            id
        };
        let _claim = Unclaimed { pulls: self.pulls.clone(), id };
        if !self.pulls.tell(Event::PullRequested { peer: self.peer, stream: StreamId(id), body }).await {
            return Ok(());
        }
        let stall = limits.stall_timeout;
        let mut stream = BufWriter::with_capacity(BUFFER_BYTES, stream);
        loop {
            let next = match from_server.try_recv() {
                Ok(next) => Some(next),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    within(stall, "sending", stream.flush()).await?.map_err(cut)?;
                    within(stall, "our own server", from_server.recv()).await?
                }
            };
            match next {
                Some(Out::Frame(frame)) => {
                    within(stall, "sending", frames::write_frame(&mut stream, &frame)).await?.map_err(cut)?;
                }
                Some(Out::End) => break,
                None => return Err(PullError::Cut("our own server left".into())),
            }
        }
        // The peer may pull again as soon as it sees the end: its place must be free by then.
        drop(self);
        let end = async {
            stream.write_all(&frames::END.to_be_bytes()).await?;
            stream.close().await
        };
        within(stall, "the end", end).await?.map_err(cut)
    }
}

/// Forgets a stream that nobody claimed.
struct Unclaimed {
    pulls: Arc<Pulls>,
    id: u64,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        drop(self.pulls.state().unclaimed.remove(&self.id));
    }
}
