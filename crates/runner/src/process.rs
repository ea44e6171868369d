//! Processes with a group of their own, of which nothing is left when they are over.
//!
//! Each has a thread that starts it, waits for it and reaps it. A thread, because a sandbox dies with the *thread* that
//! started it (that is how the kernel reads "parent"), and the runtime's threads come and go. And because the group has
//! to be killed between the end of its leader and the reaping: until it is reaped, its number is nobody else's.

use crate::procfs;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How much of what a program complains is kept, in bytes.
const STDERR_BYTES_MAX: usize = 4 * 1024;

/// How long killed processes are waited for. They end at once, unless they hang in the kernel.
const GONE_TIME_MAX: Duration = Duration::from_secs(5);

/// How often it is looked whether they are gone.
const GONE_POLL: Duration = Duration::from_millis(5);

/// How a process ended, or why that cannot be said.
pub(crate) type Exit = Result<ExitStatus, String>;

/// A process that runs. Dropped, it is killed with everything in its group.
pub(crate) struct Process {
    leader: Leader,
    exit: watch::Receiver<Option<Exit>>,
    /// Those of its pipes that the command asked for.
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

/// Kills when it is dropped: on its way from the thread to whoever asked, too.
struct Leader {
    pid: Pid,
    /// Whether the number is still this process's: it is not reaped.
    ours: Arc<Mutex<bool>>,
}

impl Leader {
    /// Does something to the process or its group, unless it was reaped.
    fn with<T>(&self, act: impl FnOnce(Pid) -> T) -> Option<T> {
        let ours = lock(&self.ours);
        ours.then(|| act(self.pid))
    }

    fn signal(&self, signal: Signal) {
        // An empty group is no error.
        self.with(|pid| rustix::process::kill_process_group(pid, signal));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn lock(ours: &Mutex<bool>) -> MutexGuard<'_, bool> {
    ours.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Born {
    leader: Leader,
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
}

impl Process {
    /// Starts it in a group of its own, whose number is its own.
    pub(crate) async fn start(mut command: Command) -> io::Result<Process> {
        command.process_group(0);
        let (born_tx, born_rx) = oneshot::channel();
        let (exit_tx, exit_rx) = watch::channel(None);
        std::thread::Builder::new().name("runner-process".into()).spawn(move || own(command, born_tx, &exit_tx))?;
        let born = born_rx.await.map_err(|_| io::Error::other("its thread ended"))??;
        Ok(Process {
            leader: born.leader,
            exit: exit_rx,
            stdin: born.stdin.map(ChildStdin::from_std).transpose()?,
            stdout: born.stdout.map(ChildStdout::from_std).transpose()?,
            stderr: born.stderr.map(ChildStderr::from_std).transpose()?,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.leader.pid
    }

    /// Tells its group.
    pub(crate) fn signal(&self, signal: Signal) {
        self.leader.signal(signal);
    }

    /// Tells the groups that its children lead. That is where the program in a sandbox is: the leader is the sandbox.
    pub(crate) fn signal_below(&self, signal: Signal) {
        self.leader.with(|pid| {
            // As long as the leader is not reaped, these are its children; it reaps them only as it ends itself.
            for child in procfs::children(pid) {
                let _ = rustix::process::kill_process_group(child, signal);
            }
        });
    }

    /// Waits for its end; the rest of its group is then killed already. May be asked again.
    pub(crate) async fn wait(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_else(|| Err("its end was not noted".into())),
            Err(_) => Err("its thread ended".into()),
        }
    }

    /// Waits until nobody of its group runs any more, after its end: to be killed takes a moment.
    pub(crate) async fn wait_for_group(&self) {
        let group = self.pid();
        gone(|| !procfs::group_runs(group)).await;
    }
}

/// Waits until something that was killed is gone, but not for ever.
pub(crate) async fn gone(is_gone: impl Fn() -> bool) {
    let deadline = Instant::now() + GONE_TIME_MAX;
    while !is_gone() {
        if Instant::now() > deadline {
            tracing::warn!("a killed process does not end");
            return;
        }
        tokio::time::sleep(GONE_POLL).await;
    }
}

/// The same without a runtime.
pub(crate) fn gone_blocking(is_gone: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + GONE_TIME_MAX;
    while !is_gone() {
        if std::time::Instant::now() > deadline {
            tracing::warn!("a killed process does not end");
            return;
        }
        std::thread::sleep(GONE_POLL);
    }
}

/// The thread of a process.
fn own(mut command: Command, born: oneshot::Sender<io::Result<Born>>, exit: &watch::Sender<Option<Exit>>) {
    let spawned = command.spawn();
    // Our copies of what it writes to: its readers wait for the last one to be closed.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = born.send(Err(error));
            return;
        }
    };
    let pid = Pid::from_child(&child);
    let ours = Arc::new(Mutex::new(true));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Nobody there any more: dropped, it is killed.
    let _ = born.send(Ok(Born { leader: Leader { pid, ours: ours.clone() }, stdin, stdout, stderr }));
    // Waits without reaping.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while rustix::process::waitid(WaitId::Pid(pid), options).is_err_and(|error| error == rustix::io::Errno::INTR) {}
    exit.send_replace(Some(bury(pid, &mut child, &ours)));
}

/// Kills what is left of the group, then reaps its leader.
fn bury(pid: Pid, child: &mut Child, ours: &Mutex<bool>) -> Exit {
    let mut ours = lock(ours);
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    let status = child.wait();
    *ours = false;
    status.map_err(|error| error.to_string())
}

/// Why a program that helps did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperError {
    /// It cannot be started, fed or heard.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It took too long and was ended.
    #[error("it took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It said more than that many bytes and was ended.
    #[error("it said more than {0} bytes")]
    TooLarge(u64),
    /// How it ended cannot be said.
    #[error("{0}")]
    Lost(String),
}

/// What a program that helps is given to read.
pub(crate) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(std::fs::File),
}

/// How a program that helps ended.
pub(crate) struct Helped {
    pub(crate) status: ExitStatus,
    /// The beginning of its complaints, trimmed.
    pub(crate) stderr: String,
}

/// Runs a program to its end; what it says goes to `out`, at most `bytes_max` of it.
pub(crate) async fn help(
    mut command: Command,
    input: Input,
    time_max: Duration,
    bytes_max: u64,
    out: &mut (impl AsyncWrite + Unpin),
) -> Result<Helped, HelperError> {
    let bytes = match input {
        Input::Nothing => {
            command.stdin(Stdio::null());
            None
        }
        Input::File(file) => {
            command.stdin(file);
            None
        }
        Input::Bytes(bytes) => {
            command.stdin(Stdio::piped());
            Some(bytes)
        }
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(command).await?;
    let stdin = process.stdin.take().zip(bytes);
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let work = async {
        let feed = async {
            if let Some((mut stdin, bytes)) = stdin {
                // Who ends before having read everything says why by its exit code.
                let _ = stdin.write_all(&bytes).await;
            }
            Ok(())
        };
        let ((), complaints, ()) = tokio::try_join!(copy(stdout, out, bytes_max), beginning(stderr), feed)?;
        let status = process.wait().await.map_err(HelperError::Lost)?;
        Ok(Helped { status, stderr: String::from_utf8_lossy(&complaints).trim().to_string() })
    };
    tokio::time::timeout(time_max, work).await.unwrap_or(Err(HelperError::TimedOut(time_max)))
}

async fn copy(
    from: Option<impl AsyncRead + Unpin>,
    out: &mut (impl AsyncWrite + Unpin),
    bytes_max: u64,
) -> Result<(), HelperError> {
    let Some(from) = from else { return Ok(()) };
    let copied = tokio::io::copy(&mut from.take(bytes_max.saturating_add(1)), out).await?;
    out.flush().await?;
    if copied > bytes_max { Err(HelperError::TooLarge(bytes_max)) } else { Ok(()) }
}

async fn beginning(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, HelperError> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut part).await {
        let room = STDERR_BYTES_MAX - kept.len();
        kept.extend_from_slice(&part[..read.min(room)]);
    }
    Ok(kept)
}
