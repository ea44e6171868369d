//! Running `git` within limits.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How much of what git complains is kept, in bytes.
const STDERR_BYTES_MAX: u64 = 4 * 1024;

/// Why git did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// `git` is not installed or cannot be started.
    #[error("cannot run git: {0}")]
    NotRun(String),
    /// The directory belongs to no git repository.
    #[error("not in a git repository")]
    NoRepository,
    /// git ended with an error.
    #[error("git failed: {0}")]
    Failed(String),
    /// git took too long.
    #[error("git took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// git said more than we take.
    #[error("git said more than {0} bytes")]
    TooLarge(u64),
    /// git said something that we do not understand.
    #[error("unexpected answer from git: {0}")]
    Unexpected(String),
    /// Files for git to work on could not be written or read.
    #[error("cannot use a temporary file: {0}")]
    Temp(String),
}

/// A `git` command in `dir` that asks nobody, pages nothing and runs no hooks of a watcher.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .args(["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A git that runs; killed when it takes too long or is dropped.
pub(crate) struct Running {
    child: Arc<Mutex<Child>>,
    stderr: Option<JoinHandle<String>>,
    watchdog: Option<JoinHandle<bool>>,
    /// Dropped or filled: the watchdog may go.
    over: Option<SyncSender<()>>,
    limit: Duration,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command, limit: Duration) -> Result<(Running, BufReader<ChildStdout>), GitError> {
        let mut child = command.spawn().map_err(|e| GitError::NotRun(e.to_string()))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(GitError::NotRun("no pipes".into()));
        };
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            let _ = stderr.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut text);
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&text).trim().to_string()
        });
        let child = Arc::new(Mutex::new(child));
        let (over, told) = sync_channel::<()>(1);
        let victim = child.clone();
        let watchdog = std::thread::spawn(move || {
            let late = told.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                kill(&victim);
            }
            late
        });
        let running = Running { child, stderr: Some(stderr), watchdog: Some(watchdog), over: Some(over), limit };
        Ok((running, BufReader::with_capacity(64 * 1024, stdout)))
    }

    /// Its input, once, if the command asked for a pipe.
    pub(crate) fn take_stdin(&self) -> Option<ChildStdin> {
        lock(&self.child).stdin.take()
    }

    /// Ends it early.
    pub(crate) fn kill(&self) {
        kill(&self.child);
    }

    /// Waits for its end, after its output was read.
    pub(crate) fn finish(mut self) -> Result<(), GitError> {
        self.finish_with_code().and_then(|(code, stderr)| match code {
            Some(0) => Ok(()),
            _ if stderr.contains("not a git repository") => Err(GitError::NoRepository),
            _ => Err(GitError::Failed(stderr)),
        })
    }

    /// Like [`Running::finish`], for commands whose exit code is an answer.
    pub(crate) fn finish_with_code(&mut self) -> Result<(Option<i32>, String), GitError> {
        // Its output is at an end, so it is about to end; if not, the watchdog sees to it. The watchdog needs the
        // child to kill it, so nobody waits for the child while holding it.
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        drop(self.over.take());
        let late = self.watchdog.take().is_some_and(|thread| thread.join().unwrap_or(false));
        let status = lock(&self.child).wait().map_err(|e| GitError::Failed(e.to_string()))?;
        if late { Err(GitError::TimedOut(self.limit)) } else { Ok((status.code(), stderr)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.stderr.is_some() {
            self.kill();
            drop(self.over.take());
            // Reaps it; killed, it ends at once.
            let _ = lock(&self.child).wait();
        }
    }
}

fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(child: &Mutex<Child>) {
    if let Err(error) = lock(child).kill() {
        tracing::debug!(%error, "cannot end git");
    }
}

/// Runs it and gives each line of its output (without the newline) to `on_line`, until that says `false`. Lines longer
/// than `line_max` are cut; more than `bytes_max` in all is an error.
pub(crate) fn each_line(
    command: Command,
    limit: Duration,
    bytes_max: u64,
    line_max: usize,
    mut on_line: impl FnMut(&[u8]) -> bool,
) -> Result<(), GitError> {
    let (running, mut out) = Running::start(command, limit)?;
    let mut line = Vec::new();
    let mut total = 0u64;
    loop {
        let got = read_line(&mut out, &mut line, line_max);
        match got {
            Ok(0) => return running.finish(),
            Ok(bytes) => total += bytes,
            // A killed git ends its output; anything else is its own failure.
            Err(error) => {
                running.kill();
                running.finish()?;
                return Err(GitError::Failed(error.to_string()));
            }
        }
        if total > bytes_max {
            return Err(GitError::TooLarge(bytes_max));
        }
        if !on_line(&line) {
            return Ok(());
        }
    }
}

/// One line, cut at `line_max` bytes; the number of bytes that were read.
fn read_line(out: &mut impl BufRead, line: &mut Vec<u8>, line_max: usize) -> std::io::Result<u64> {
    line.clear();
    let mut total = 0;
    loop {
        let available = out.fill_buf()?;
        if available.is_empty() {
            return Ok(total);
        }
        let (part, used, ended) = match memchr::memchr(b'\n', available) {
            Some(at) => (&available[..at], at + 1, true),
            None => (available, available.len(), false),
        };
        let room = line_max.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        out.consume(used);
        total += used as u64;
        if ended {
            return Ok(total);
        }
    }
}

/// Runs it and returns its whole output, at most `bytes_max`, and its exit code.
pub(crate) fn output(
    command: Command,
    limit: Duration,
    bytes_max: u64,
) -> Result<(Option<i32>, Vec<u8>, String), GitError> {
    let (mut running, out) = Running::start(command, limit)?;
    let mut bytes = Vec::new();
    let read = out.take(bytes_max + 1).read_to_end(&mut bytes);
    if bytes.len() as u64 > bytes_max {
        return Err(GitError::TooLarge(bytes_max));
    }
    let (code, stderr) = running.finish_with_code()?;
    read.map_err(|e| GitError::Failed(e.to_string()))?;
    Ok((code, bytes, stderr))
}
