//! A job from its start to its end.

use crate::event::{End, Event, Skipped};
use crate::gate;
use crate::git::forget_variables;
use crate::job::Job;
use crate::keep::{self, Kept};
use crate::log::{self, Log};
use crate::note::{Found, Note, TreeNote};
use crate::process::{Exit, Process, gone};
use crate::procfs::Alive;
use crate::report::Tail;
use crate::runners::{Inner, Slot, Stop, failed};
use crate::sandbox::{self, Bwrap, View};
use crate::tree::{self, Tree};
use rustix::process::Signal;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// `EX_TEMPFAIL` of `sysexits.h`.
const EXIT_LATER: i32 = 75;

/// What a job is made of while it lives.
pub(crate) struct Life {
    pub(crate) inner: Arc<Inner>,
    pub(crate) job: Job,
    pub(crate) program: PathBuf,
    pub(crate) bwrap: Option<Bwrap>,
    pub(crate) stop: Stop,
    pub(crate) events: mpsc::Sender<Event>,
}

/// How a program's run came to an end.
enum Outcome {
    Exited(Exit),
    Stopped(String),
    TimedOut,
    NotRun(io::Error),
}

/// A program that is about to run.
struct Ready {
    process: Process,
    output: Receiver,
    tail: Tail,
}

impl Life {
    /// All of it. The slot is free before the end is told, so that who hears of it can start the job again.
    pub(crate) async fn live(self, slot: Slot) {
        tracing::debug!(id = %self.job.id, attempt = self.job.fence.1, "begins a job");
        let (end, skipped) = self.run().await;
        tracing::debug!(id = %self.job.id, ?end, "a job is over");
        drop(slot);
        if let Some(skipped) = skipped {
            tracing::info!(id = %self.job.id, lines = skipped.lines, first = %skipped.first, "skipped reports");
            let _ = self.events.send(Event::Skipped(skipped)).await;
        }
        let _ = self.events.send(Event::Ended(end)).await;
    }

    async fn run(&self) -> (End, Option<Skipped>) {
        let (dirs, options) = (&self.inner.dirs, &self.inner.options);
        let mut log = match Log::open(&dirs.log(&self.job.id), options.log_bytes_max).await {
            Ok(log) => log,
            Err(error) => return (failed(&format!("cannot write a log: {error}")), None),
        };
        let prepared = tokio::select! {
            biased;
            reason = self.stop.asked() => Err(reason),
            tree = Tree::prepare(&self.inner, &self.job, self.bwrap.clone()) => Ok(tree),
        };
        let (end, skipped) = match prepared {
            Ok(Ok(mut tree)) => {
                let (outcome, skipped) = self.execute(&mut tree, &mut log).await;
                (self.finish(&tree, outcome, &mut log).await, skipped)
            }
            Ok(Err(error)) => {
                log.say(&error.to_string()).await;
                self.remove_half().await;
                (failed(&error), None)
            }
            Err(reason) => (self.stop_early(reason, &mut log).await, None),
        };
        if let Err(error) = log.close().await {
            tracing::warn!(id = %self.job.id, %error, "a log is not complete");
        }
        (end, skipped)
    }

    /// It was stopped before it ran. An earlier node may have run it, though, and left changes.
    async fn stop_early(&self, reason: String, log: &mut Log) -> End {
        let (dirs, id) = (&self.inner.dirs, &self.job.id);
        if let Found::Note(note) = Note::find(dirs, id) {
            let tree = Tree::of_note(dirs, id, *note, self.bwrap.clone());
            return self.finish(&tree, Outcome::Stopped(reason), log).await;
        }
        log.say(&format!("cancelled: {reason}")).await;
        self.remove_half().await;
        End::Cancelled
    }

    /// Removes what was not made whole. With a note it was, by an earlier node, and then it stays.
    async fn remove_half(&self) {
        let (dirs, id) = (&self.inner.dirs, &self.job.id);
        if dirs.note(id).exists() {
            return;
        }
        for path in [dirs.tree(id), dirs.aside(id)] {
            if let Err(error) = tree::remove(&path).await {
                tracing::warn!(%id, %error, "cannot remove an unfinished worktree");
            }
        }
    }

    /// Runs the program, from the gate to the last of its group.
    async fn execute(&self, tree: &mut Tree, log: &mut Log) -> (Outcome, Option<Skipped>) {
        let Ready { mut process, output, tail } = match self.ready(tree).await {
            Ok(ready) => ready,
            Err(error) => return (Outcome::NotRun(error), None),
        };
        // It waits at the gate. Only a process that is noted is let through.
        let noted = Alive::of(process.pid()).ok_or_else(|| io::Error::other("it cannot be seen in /proc"));
        let noted = noted.and_then(|alive| {
            tree.note.process = Some(alive);
            tree.note.write(&self.inner.dirs, &tree.id)
        });
        if let Err(error) = noted {
            return (Outcome::NotRun(error), None);
        }
        let _ = self.events.send(Event::Started { worktree: tree.path.clone() }).await;
        let input = [gate::GO, self.job.bead_json.as_bytes()].concat();
        let stdin = process.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Who ends without reading it all has read enough.
                let _ = stdin.write_all(&input).await;
            }
            std::future::pending::<Outcome>().await
        };
        let over = CancellationToken::new();
        let supervise = async {
            let outcome = tokio::select! {
                exit = process.wait() => Outcome::Exited(exit),
                reason = self.stop.asked() => Outcome::Stopped(reason),
                () = tokio::time::sleep(self.job.time_max) => Outcome::TimedOut,
                never = feed => never,
            };
            if !matches!(outcome, Outcome::Exited(_)) {
                self.end(&process).await;
            }
            process.wait_for_group().await;
            if let Some(first) = sandbox::first_inside(&self.inner.dirs, &tree.id) {
                gone(|| !first.runs()).await;
            }
            over.cancel();
            outcome
        };
        let (outcome, (), skipped) = tokio::join!(supervise, log.copy(output, &over), tail.follow(&self.events, &over));
        (outcome, skipped)
    }

    /// Starts it, up to the gate.
    async fn ready(&self, tree: &Tree) -> io::Result<Ready> {
        let report = self.inner.dirs.report(&tree.id);
        let tail = Tail::create(&tree.id, &report)?;
        let (reader, writer) = io::pipe()?;
        let mut command = self.command(tree, &report);
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer);
        let output = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok(Ready { process: Process::start(command).await?, output, tail })
    }

    fn command(&self, tree: &Tree, report: &Path) -> Command {
        let base = tree.note.tree.base();
        let arguments = self.job.argv.iter().skip(1).map(Into::into);
        match (self.job.sandbox, &self.bwrap) {
            (Some(sandbox), Some(bwrap)) => {
                let more = vec![(report.to_path_buf(), sandbox::REPORT)];
                let mut all = bwrap.arguments(&View { sandbox, tree: &tree.path, more, info: true });
                all.push(self.program.clone().into());
                all.extend(arguments);
                let info = self.inner.dirs.info(&tree.id);
                let mut command = gate::command(report, Some(&info), bwrap.program(), all);
                command.env_clear().envs(sandbox::environment()).current_dir("/");
                command.envs(self.job.variables(base, sandbox::REPORT.as_ref()));
                command
            }
            _ => {
                let mut command = gate::command(report, None, &self.program, arguments);
                forget_variables(&mut command);
                command.envs(self.job.variables(base, report.as_os_str())).current_dir(&tree.path);
                command
            }
        }
    }

    /// Ends it: asks, waits, kills.
    async fn end(&self, process: &Process) {
        if self.job.sandbox.is_some() {
            // The leader is the sandbox itself. Asked to end, it would take everything inside with it at once.
            process.signal_below(Signal::TERM);
        } else {
            process.signal(Signal::TERM);
        }
        if tokio::time::timeout(self.inner.options.grace, process.wait()).await.is_ok() {
            return;
        }
        // What is inside of a sandbox dies with it, a moment later.
        process.signal(Signal::KILL);
        let _ = process.wait().await;
    }

    /// Keeps what the program did, hands it over and clears up.
    async fn finish(&self, tree: &Tree, outcome: Outcome, log: &mut Log) -> End {
        let mut end = end_of(&outcome, log);
        if let Some(line) = last_words(&outcome, self.job.time_max.as_secs()) {
            log.say(&line).await;
        }
        let done = matches!(end, End::Done { .. });
        let outcome = match keep::keep(tree, &self.inner.options, done).await {
            Ok(outcome) => outcome,
            Err(error) => {
                log.say(&format!("{error}; the worktree stays: {}", tree.path.display())).await;
                tracing::warn!(id = %tree.id, %error, "a worktree stays");
                return if done { End::Failed { code: Some(0), reason: log::reason(&error) } } else { end };
            }
        };
        if let Some(kept) = outcome.kept {
            log.say(&format!("kept as {} ({})", kept.branch, kept.commit)).await;
            if done {
                end = self.hand_over(tree, kept, log).await;
            }
        }
        if let Some(left) = outcome.left {
            log.say(&format!("not everything could be kept: {left}; the worktree stays: {}", tree.path.display()))
                .await;
            tracing::warn!(id = %tree.id, %left, "a worktree stays");
        } else if let Err(error) = tree.remove(&self.inner).await {
            tracing::warn!(id = %tree.id, %error, "cannot remove a worktree");
        }
        end
    }

    /// Pushes a result, if it is to be pushed.
    async fn hand_over(&self, tree: &Tree, kept: Kept, log: &mut Log) -> End {
        let repo = match &tree.note.tree {
            TreeNote::Worktree { repo, .. } | TreeNote::Clone { repo, .. } => Some(repo),
            TreeNote::Scratch => None,
        };
        if let (Some(repo), Some(to)) = (repo, &self.job.push)
            && let Err(error) = keep::push(repo, to, &kept, &self.inner.options).await
        {
            log.say(&error.to_string()).await;
            return End::Failed { code: Some(0), reason: log::reason(&error) };
        }
        End::Done { commit: Some(kept.commit), branch: Some(kept.branch) }
    }
}

/// What it means how a program's run came to an end, as long as nothing is kept.
fn end_of(outcome: &Outcome, log: &Log) -> End {
    match outcome {
        Outcome::Stopped(_) => End::Cancelled,
        Outcome::TimedOut => End::TimedOut,
        Outcome::NotRun(error) => failed(&format!("cannot run the program: {error}")),
        Outcome::Exited(Err(error)) => failed(error),
        Outcome::Exited(Ok(status)) => match status.code() {
            Some(0) => End::Done { commit: None, branch: None },
            Some(EXIT_LATER) => End::Later,
            code => {
                let reason = log.reason();
                // It said nothing, so its exit code has to do.
                let reason = if reason.is_empty() { status.to_string() } else { reason };
                End::Failed { code, reason }
            }
        },
    }
}

/// For the log: what the program cannot have said itself.
fn last_words(outcome: &Outcome, secs_max: u64) -> Option<String> {
    match outcome {
        Outcome::Stopped(reason) => Some(format!("cancelled: {reason}")),
        Outcome::TimedOut => Some(format!("ended after {secs_max} s")),
        Outcome::NotRun(error) => Some(format!("cannot run the program: {error}")),
        Outcome::Exited(Ok(status)) if !status.success() => Some(status.to_string()),
        Outcome::Exited(_) => None,
    }
}
