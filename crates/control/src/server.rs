//! The daemon's end: many connections, every call with a place for its answer.

use crate::types::{ApiError, CALLS_MAX, CONNECTIONS_MAX, Request, Response, SOCKET_PATH_MAX};
use proto::limits::CONTROL_BYTES_MAX;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// A caller that does not read its answers for this long is cut off.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Answers of one connection that may wait to be written.
const ANSWERS_MAX: usize = 64;

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path is longer than a socket's may be.
    #[error(
        "the socket's path has {len} bytes where {SOCKET_PATH_MAX} are possible: choose a shorter home (TOWNMESH_HOME)"
    )]
    PathTooLong {
        /// Its length.
        len: usize,
    },
    /// Another daemon listens there.
    #[error("another daemon listens at {path}", path = path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// What the system said.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// One call of one caller.
#[derive(Debug)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// Where the answer goes.
    pub reply: Replier,
}

/// A place for one answer. Dropping it answers with code `cancelled`.
#[derive(Debug)]
pub struct Replier {
    id: u64,
    out: Option<mpsc::Sender<Vec<u8>>>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Replier {
    /// Tells the caller how far things are. Returns whether the caller will hear it: not when it is gone or reads
    /// too slowly.
    pub fn progress(&self, progress: Value) -> bool {
        self.out.as_ref().is_some_and(|out| out.try_send(Response::progress(self.id, progress).to_line()).is_ok())
    }

    /// Answers the call.
    pub fn done(mut self, result: Result<Value, ApiError>) {
        self.send(result);
    }

    fn send(&mut self, result: Result<Value, ApiError>) {
        let Some(out) = self.out.take() else { return };
        let mut line = Response::done(self.id, result).to_line();
        if line.len() > CONTROL_BYTES_MAX {
            let message = format!("the answer has {} bytes where {CONTROL_BYTES_MAX} are allowed", line.len());
            let error = ApiError { code: "answer_too_large".to_owned(), message, hints: Vec::new() };
            line = Response::done(self.id, Err(error)).to_line();
        }
        if let Err(mpsc::error::TrySendError::Full(line)) = out.try_send(line) {
            // The connection's writer has its own patience; the answer waits for it without holding up the daemon.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    let _ = out.send(line).await;
                });
            }
        }
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        let message = "the daemon is ending, or gave this call up".to_owned();
        self.send(Err(ApiError { code: "cancelled".to_owned(), message, hints: Vec::new() }));
    }
}

/// A bound socket; the file goes away with it.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
}

impl Server {
    /// Binds the socket and serves it until `cancel`. To be called inside a tokio runtime. The caller holds the
    /// home's lock: a socket file that nobody answers at is left from a daemon that died, and is replaced.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(path: &Path, cancel: CancellationToken) -> Result<(Server, mpsc::Receiver<Call>), BindError> {
        let len = path.as_os_str().len();
        if len > SOCKET_PATH_MAX {
            return Err(BindError::PathTooLong { len });
        }
        if path.exists() {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(BindError::InUse { path: path.to_owned() });
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path)?);
        let (calls, calls_out) = mpsc::channel(CALLS_MAX);
        tokio::spawn(accept(listener, uid, calls, cancel));
        Ok((Server { path: path.to_owned() }, calls_out))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, uid: u32, calls: mpsc::Sender<Call>, cancel: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, mostly: others must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if stream.peer_cred().map(|c| c.uid()).ok().is_none_or(|peer| peer != uid && peer != 0) {
            tracing::warn!("refused a local caller of another user");
            continue;
        }
        let Ok(place) = connections.clone().try_acquire_owned() else { continue };
        tokio::spawn(serve(stream, calls.clone(), cancel.clone(), place));
    }
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>, cancel: CancellationToken, _place: OwnedSemaphorePermit) {
    let (read, write) = stream.into_split();
    let (out, answers) = mpsc::channel(ANSWERS_MAX);
    let writer = tokio::spawn(write_answers(write, answers));
    tokio::select! {
        () = cancel.cancelled() => {}
        () = read_calls(read, calls, out) => {}
    }
    // Answers that are under way are still written; each has a time limit.
    let _ = writer.await;
}

async fn write_answers(mut write: OwnedWriteHalf, mut answers: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = answers.recv().await {
        match tokio::time::timeout(WRITE_PATIENCE, write.write_all(&line)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

async fn read_calls(read: OwnedReadHalf, calls: mpsc::Sender<Call>, out: mpsc::Sender<Vec<u8>>) {
    let slots = Arc::new(Semaphore::new(CALLS_MAX));
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    let refuse = |id, code: &str, message: String| {
        let error = ApiError { code: code.to_owned(), message, hints: Vec::new() };
        Response::done(id, Err(error)).to_line()
    };
    loop {
        line.clear();
        let most = CONTROL_BYTES_MAX as u64 + 1;
        match (&mut read).take(most).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(n) if n as u64 == most => {
                let message = format!("a request has at most {CONTROL_BYTES_MAX} bytes");
                let _ = out.send(refuse(0, "request_too_large", message)).await;
                return;
            }
            Ok(_) if line.last() != Some(&b'\n') => return,
            Ok(_) => {}
        }
        let request = match Request::from_line(&line) {
            Ok(request) => request,
            Err(err) => {
                let _ = out.send(refuse(0, "malformed_request", err.to_string())).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            let message = format!("at most {CALLS_MAX} calls of one connection at once");
            let _ = out.send(refuse(request.id, "too_many_calls", message)).await;
            continue;
        };
        let reply = Replier { id: request.id, out: Some(out.clone()), _slot: Some(slot) };
        if calls.send(Call { method: request.method, params: request.params, reply }).await.is_err() {
            return;
        }
    }
}
