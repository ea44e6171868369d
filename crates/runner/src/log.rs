//! What programs say: one bounded file per job, which can be read while it is written.
//!
//! Up to three quarters of the limit are written as they come. Of what comes after that, the end is kept in memory and
//! written when the job is over, with a line in between that says how much was left out: the beginning and the end of
//! a flood are what one wants to see of it, and a follower's offsets stay right.

use crate::dirs::Dirs;
use crate::job::is_id;
use crate::text;
use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Smallest limit of a log, in bytes.
const BYTES_MIN: u64 = 4 * 1024;

/// Most of the end that is kept in memory, in bytes.
const END_BYTES_MAX: u64 = 256 * 1024;

/// Room for the line about what was left out.
const GAP_BYTES_MAX: u64 = 128;

/// Longest reason for a failure, in characters.
const REASON_CHARS_MAX: usize = 500;

/// How much of the end the reason is taken from, in bytes.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// Most that one call reads, in bytes.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// How long to read on after the program's end. Only who left its group can still hold the other end then.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// As the program wrote them: not necessarily text, nor fit for a terminal.
    pub bytes: Vec<u8>,
    /// Where the next part begins.
    pub next: u64,
    /// Whether there will be no next part.
    pub ended: bool,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no log of such a job, or no longer.
    #[error("there is no log of this job")]
    Unknown,
    /// The file cannot be read.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
}

/// Reads a part.
pub(crate) fn read(dirs: &Dirs, id: &str, from: u64, max: usize, running: bool) -> Result<LogPart, LogError> {
    if !is_id(id) {
        return Err(LogError::Unknown);
    }
    let file = match std::fs::File::open(dirs.log(id)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LogError::Unknown),
        other => other?,
    };
    let room = file.metadata()?.len().saturating_sub(from);
    let mut bytes = vec![0; max.min(READ_BYTES_MAX).min(usize::try_from(room).unwrap_or(usize::MAX))];
    let mut read = 0;
    while !bytes.is_empty() {
        match file.read_at(&mut bytes, from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => {
                read = other?;
                break;
            }
        }
    }
    bytes.truncate(read);
    let next = from.saturating_add(read as u64);
    Ok(LogPart { bytes, next, ended: !running && next >= file.metadata()?.len() })
}

/// Removes the oldest logs of jobs that are over, so that at most so many files stay.
pub(crate) fn prune(dirs: &Dirs, keep: usize, is_open: impl Fn(&str) -> bool) {
    let mut logs: Vec<(SystemTime, String)> = Vec::new();
    for name in crate::dirs::names(&dirs.logs()) {
        let Some(id) = name.strip_suffix(".log").filter(|id| is_id(id)) else { continue };
        if let Ok(modified) = dirs.log(id).metadata().and_then(|metadata| metadata.modified()) {
            logs.push((modified, id.to_string()));
        }
    }
    logs.sort();
    let too_many = logs.len().saturating_sub(keep);
    for (_, id) in logs.into_iter().filter(|(_, id)| !is_open(id)).take(too_many) {
        let _ = crate::dirs::remove(&dirs.log(&id));
    }
}

/// A log that is written.
pub(crate) struct Log {
    file: File,
    /// What is in the file.
    written: u64,
    begin_max: u64,
    /// The end of all that was said, what is in the file too.
    end: VecDeque<u8>,
    end_max: usize,
    /// How much of what was said is not in the file.
    over: u64,
    /// The first failure; the program is heard on, so that it does not wait for us.
    failed: Option<io::Error>,
}

impl Log {
    /// Opens it; what an earlier node wrote stays, as far as it belongs to the beginning.
    pub(crate) async fn open(path: &Path, bytes_max: u64) -> io::Result<Log> {
        let bytes_max = bytes_max.max(BYTES_MIN);
        let end_max = (bytes_max / 4).min(END_BYTES_MAX);
        let begin_max = bytes_max - end_max - GAP_BYTES_MAX;
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let written = file.metadata()?.len().min(begin_max);
        file.set_len(written)?;
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(written)).await?;
        let end_max = usize::try_from(end_max).unwrap_or(usize::MAX);
        Ok(Log { file, written, begin_max, end: VecDeque::new(), end_max, over: 0, failed: None })
    }

    /// Copies what a program says, until it ends or, a moment after `over`, somebody it started holds on.
    pub(crate) async fn copy(&mut self, mut from: Receiver, over: &CancellationToken) {
        let mut part = vec![0; 64 * 1024];
        let mut deadline = None;
        loop {
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => over.cancelled().await,
                }
            };
            tokio::select! {
                biased;
                () = late => {
                    if deadline.replace(Instant::now() + DRAIN_TIME_MAX).is_some() {
                        return;
                    }
                }
                read = from.read(&mut part) => match read {
                    Ok(read @ 1..) => self.push(&part[..read]).await,
                    Ok(0) => return,
                    Err(error) => {
                        self.failed.get_or_insert(error);
                        return;
                    }
                }
            }
        }
    }

    /// A line of ours.
    pub(crate) async fn say(&mut self, what: &str) {
        let new_line = if self.end.back().is_none_or(|&last| last == b'\n') { "" } else { "\n" };
        let line = format!("{new_line}townmesh: {}\n", text::one_line(what, 4 * REASON_CHARS_MAX));
        self.push(line.as_bytes()).await;
    }

    async fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(self.end_max)..];
        let excess = (self.end.len() + last.len()).saturating_sub(self.end_max);
        self.end.drain(..excess);
        self.end.extend(last);
        // Once something was left out, everything after it is the end.
        let room = if self.over > 0 { 0 } else { self.begin_max.saturating_sub(self.written) };
        let now = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.over += (bytes.len() - now.len()) as u64;
        self.write(now).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.failed.is_some() {
            return;
        }
        let written = async {
            self.file.write_all(bytes).await?;
            self.file.flush().await
        };
        match written.await {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => self.failed = Some(error),
        }
    }

    /// Writes the end, if it is not there. What went wrong on the way.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        if self.over > 0 {
            let kept = usize::try_from(self.over).unwrap_or(usize::MAX).min(self.end.len());
            let left_out = self.over - kept as u64;
            if left_out > 0 {
                self.write(format!("\ntownmesh: {left_out} bytes are left out here\n").as_bytes()).await;
            }
            let end: Vec<u8> = self.end.range(self.end.len() - kept..).copied().collect();
            self.write(&end).await;
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// The last that was said, for people.
    pub(crate) fn reason(&self) -> String {
        let skip = self.end.len().saturating_sub(REASON_BYTES_MAX);
        let end: Vec<u8> = self.end.range(skip..).copied().collect();
        text::last_line(&String::from_utf8_lossy(&end), REASON_CHARS_MAX)
    }
}

/// A reason of ours, as long as those of programs may be.
pub(crate) fn reason(what: &impl std::fmt::Display) -> String {
    text::one_line(&what.to_string(), REASON_CHARS_MAX)
}
