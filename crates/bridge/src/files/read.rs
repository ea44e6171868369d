//! Reading a file whole, within limits, and noticing cheaply that it has not changed.

use proto::limits::FILE_BYTES_MAX;
use rustix::fs::{Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Larger than `FILE_BYTES_MAX`.
    #[error("file of {bytes} bytes is larger than {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size, or how far we read.
        bytes: u64,
    },
    /// More lines than [`super::LINES_MAX`].
    #[error("file has more than {} lines", super::LINES_MAX)]
    TooManyLines,
    /// A directory, a pipe, a device.
    #[error("not a regular file: {0}")]
    NotAFile(String),
    /// A link that points nowhere, or in a circle.
    #[error("broken symbolic link: {0}")]
    BrokenLink(String),
    /// The program that keeps the issues did not give them.
    #[error(transparent)]
    Bd(#[from] crate::bd::BdError),
    /// Anything else that the system said.
    #[error("cannot read {path}: {reason}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> ReadError {
        ReadError::Io { path: path.display().to_string(), reason: error.to_string() }
    }
}

/// How recent a change may be for its time stamp to prove nothing: file systems count time in steps of some ms.
const RACY: Duration = Duration::from_millis(100);

/// What a file looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    dev: u64,
    ino: u64,
    len: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            dev: meta.dev(),
            ino: meta.ino(),
            len: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the last change is so fresh that a further one might leave no trace in the stamp. Judged by the
    /// status change time, which a program cannot set back.
    pub(crate) fn is_racy(&self, now: SystemTime) -> bool {
        let Ok(secs) = u64::try_from(self.ctime.0) else { return false };
        let nanos = u32::try_from(self.ctime.1).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        now.duration_since(changed).map_or(true, |age| age < RACY)
    }
}

/// A file's content and what the file looked like when it had it.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// `None` when the file changed while it was read.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) meta: Metadata,
}

/// Opens a regular file for reading; `None` when there is none. Never blocks on a pipe.
pub(crate) fn open(path: &Path) -> Result<Option<File>, ReadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(ReadError::io(path, &errno.into())),
    };
    let meta = file.metadata().map_err(|e| ReadError::io(path, &e))?;
    if !meta.is_file() {
        return Err(ReadError::NotAFile(path.display().to_string()));
    }
    Ok(Some(file))
}

/// Reads a file whole; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Content>, ReadError> {
    match open(path)? {
        Some(mut file) => read_open(&mut file, path).map(Some),
        None => Ok(None),
    }
}

/// Reads an open file from its beginning.
pub(crate) fn read_open(file: &mut File, path: &Path) -> Result<Content, ReadError> {
    let io = |e: std::io::Error| ReadError::io(path, &e);
    let before = file.metadata().map_err(io)?;
    if before.len() > FILE_BYTES_MAX as u64 {
        return Err(ReadError::TooLarge { bytes: before.len() });
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0) + 1);
    let got = file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if got > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge { bytes: got as u64 });
    }
    let meta = file.metadata().map_err(io)?;
    let stamp = Stamp::of(&meta);
    let still = Stamp::of(&before) == stamp && meta.len() == got as u64;
    Ok(Content { bytes, stamp: still.then_some(stamp), meta })
}

/// What a file looks like; `None` when there is none.
pub(crate) fn stamp(path: &Path) -> Result<Option<Stamp>, ReadError> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(Stamp::of(&meta))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ReadError::io(path, &e)),
    }
}
