//! Running another program within limits: time, output, and nothing of it left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How much of what a program complains is kept, in bytes.
const STDERR_BYTES_MAX: u64 = 4 * 1024;

/// Why a program did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProcessError {
    /// It cannot be started.
    NotRun(std::io::ErrorKind, String),
    /// It took too long and was ended.
    TimedOut(Duration),
    /// It said more than so many bytes and was ended.
    TooLarge(u64),
    /// Its output cannot be read, or its end not be heard of.
    Failed(String),
}

impl ProcessError {
    fn failed(error: &std::io::Error) -> ProcessError {
        ProcessError::Failed(error.to_string())
    }
}

/// What a program that ran to its end said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// Its beginning, trimmed.
    pub(crate) stderr: String,
}

/// A program that runs; it and whatever it started are killed when it takes too long or is dropped.
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
    pub(crate) fn start(
        mut command: Command,
        limit: Duration,
    ) -> Result<(Running, BufReader<ChildStdout>), ProcessError> {
        // A group of its own: what it starts ends with it. The group's number is the child's.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| ProcessError::NotRun(e.kind(), e.to_string()))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(ProcessError::Failed("no pipes".into()));
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

    /// Waits for its end, after its output was read: its exit code and what it complained.
    pub(crate) fn finish(&mut self) -> Result<(Option<i32>, String), ProcessError> {
        // Its output is at an end, so it is about to end; if not, the watchdog sees to it. The watchdog needs the
        // child to kill it, so nobody waits for the child while holding it.
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        drop(self.over.take());
        let late = self.watchdog.take().is_some_and(|thread| thread.join().unwrap_or(false));
        let status = lock(&self.child).wait().map_err(|e| ProcessError::failed(&e))?;
        if late { Err(ProcessError::TimedOut(self.limit)) } else { Ok((status.code(), stderr)) }
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
    // Only `finish` and `drop` reap it, after this: until then its number, the group's too, is nobody else's.
    let mut child = lock(child);
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let killed = group.map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    if !matches!(killed, Some(Ok(())))
        && let Err(error) = child.kill()
    {
        tracing::debug!(%error, "cannot end a program");
    }
}

/// Runs it and gives each line of its output (without the newline) to `on_line`, until that says `false`. Lines longer
/// than `line_max` are cut; more than `bytes_max` in all is an error. Its exit code and complaints, unless it was
/// stopped by `on_line`.
pub(crate) fn each_line(
    command: Command,
    limit: Duration,
    bytes_max: u64,
    line_max: usize,
    mut on_line: impl FnMut(&[u8]) -> bool,
) -> Result<Option<(Option<i32>, String)>, ProcessError> {
    let (mut running, mut out) = Running::start(command, limit)?;
    let mut line = Vec::new();
    let mut total = 0u64;
    loop {
        let got = read_line(&mut out, &mut line, line_max);
        match got {
            Ok(0) => return running.finish().map(Some),
            Ok(bytes) => total += bytes,
            // A killed git ends its output; anything else is its own failure.
            Err(error) => {
                running.kill();
                running.finish()?;
                return Err(ProcessError::failed(&error));
            }
        }
        if total > bytes_max {
            return Err(ProcessError::TooLarge(bytes_max));
        }
        if !on_line(&line) {
            return Ok(None);
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

/// Runs it, gives it `input` and returns its whole output, at most `bytes_max`.
pub(crate) fn output(
    mut command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    bytes_max: u64,
) -> Result<Output, ProcessError> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let (mut running, out) = Running::start(command, limit)?;
    // It may answer before it has read everything, so somebody else writes. A program that closes its input early
    // says why by its exit code.
    let feeder = running.take_stdin().zip(input).map(|(mut stdin, input)| {
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        })
    });
    let mut stdout = Vec::new();
    let read = out.take(bytes_max + 1).read_to_end(&mut stdout);
    if stdout.len() as u64 > bytes_max {
        running.kill();
        return Err(ProcessError::TooLarge(bytes_max));
    }
    let (code, stderr) = running.finish()?;
    drop(feeder.map(JoinHandle::join));
    read.map_err(|e| ProcessError::failed(&e))?;
    Ok(Output { code, stdout, stderr })
}
