//! The command line's end: blocking, one call at a time.

use crate::types::{ApiError, Request, Response};
use proto::limits::CONTROL_BYTES_MAX;
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A daemon that says nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(120);

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("no daemon listens at {path}", path = path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon said no.
    #[error(transparent)]
    Api(ApiError),
    /// The connection broke, or the daemon stayed silent.
    #[error("the daemon does not answer: {0}")]
    Io(#[from] std::io::Error),
    /// An answer that makes no sense.
    #[error("the daemon's answer cannot be read: {0}")]
    Malformed(String),
    /// An answer or a request beyond the limit.
    #[error("more than {CONTROL_BYTES_MAX} bytes in one message")]
    TooLarge,
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    next: u64,
}

impl Client {
    /// Connects to a daemon's socket.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when nobody listens there.
    pub fn connect(path: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(path).map_err(|err| match err.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput => {
                ClientError::NotRunning { path: path.to_owned() }
            }
            _ => ClientError::Io(err),
        })?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Client { reader: BufReader::new(stream), next: 1 })
    }

    /// Calls a method and waits for its result; `progress` hears what comes before.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(&mut self, method: &str, params: Value, mut progress: impl FnMut(Value)) -> Result<Value, ClientError> {
        let id = self.next;
        self.next += 1;
        let request = Request { id, method: method.to_owned(), params };
        let line = request.to_line().map_err(|e| ClientError::Malformed(e.to_string()))?;
        if line.len() > CONTROL_BYTES_MAX {
            return Err(ClientError::TooLarge);
        }
        // A daemon that refuses the connection may have closed it already; what it said is still to be read.
        let written = self.reader.get_mut().write_all(&line);
        loop {
            let response = match self.read() {
                Ok(response) => response,
                Err(err) => return written.map_err(ClientError::Io).and(Err(err)),
            };
            if response.id != id && response.id != 0 {
                continue;
            }
            if let Some(error) = response.error {
                return Err(ClientError::Api(error));
            }
            match (response.progress, response.result) {
                (Some(value), _) => progress(value),
                (None, result) => return Ok(result.unwrap_or(Value::Null)),
            }
        }
    }

    fn read(&mut self) -> Result<Response, ClientError> {
        let mut line = Vec::new();
        let most = CONTROL_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Err(ClientError::Io(ErrorKind::UnexpectedEof.into()));
        }
        if line.last() != Some(&b'\n') && read as u64 == most {
            return Err(ClientError::TooLarge);
        }
        Response::from_line(&line).map_err(|e| ClientError::Malformed(e.to_string()))
    }
}
