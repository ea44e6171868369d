//! What can go wrong, by who has to deal with it.

/// The network could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secret is not an Ed25519 key.
    #[error("not an ed25519 secret")]
    Key,
    /// An address in the settings is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// We cannot listen there.
    #[error("listening on {address}: {reason}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// A part of the network refused its settings.
    #[error("setting up {part}: {reason}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Why a text is not an address that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than any real address.
    #[error("address of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// Not a multiaddr.
    #[error("\"{text}\" is not a multiaddr: {reason}")]
    Malformed {
        /// Its beginning.
        text: String,
        /// What the parser said.
        reason: String,
    },
    /// None, or more than anybody has.
    #[error("{count} addresses, expected 1 to {max}")]
    Count {
        /// How many came.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The network has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The network has stopped, or (for `try_` calls) its command queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The network has stopped.
    #[error("the network has stopped")]
    Stopped,
    /// The command queue is full; nothing was done.
    #[error("the network is busy")]
    Full,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// Too many requests to this peer wait already, or the peer says so itself.
    #[error("too many requests wait")]
    Busy,
    /// No answer came in time.
    #[error("no answer in time")]
    Timeout,
    /// The request, or the answer, is larger than `RPC_BYTES_MAX`.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// What is allowed.
        max: usize,
    },
    /// The connection closed before the answer came.
    #[error("connection closed")]
    Closed,
    /// The peer does not speak our protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The stream failed.
    #[error("stream failed: {0}")]
    Stream(String),
}

/// Why a pull, or the serving of one, ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// There is no connection to the peer.
    #[error("not connected")]
    NotConnected,
    /// Too many pulls from this peer wait already.
    #[error("too many pulls wait")]
    Busy,
    /// Nothing moved for too long.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// A frame is larger than `FRAME_BYTES_MAX`.
    #[error("frame of {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// The stream ended without its end mark, or failed.
    #[error("stream cut: {0}")]
    Cut(String),
    /// The peer does not speak our protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The network is stopping.
    #[error("the network is stopping")]
    Stopping,
    /// Nobody waits on that stream (any more).
    #[error("no such stream")]
    NoSuchStream,
}
