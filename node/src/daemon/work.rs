//! Slung work on this host: from the engine's word to a program that runs, and back.

use super::inputs::Inputs;
use engine::{Ended, Input, LogPart, Outcome, RunReport, WorkEffect, WorkInput};
use proto::limits::LOG_PART_BYTES_MAX;
use runner::{End, Event, Job, Report, Runners, Sandbox};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{EventId, Usage};

/// The programs that work here.
pub(super) struct Work {
    runtime: Handle,
    inputs: mpsc::WeakSender<Input>,
    tracker: TaskTracker,
    cancel: CancellationToken,
    /// Why nothing can run here, where that is so.
    runners: Result<Runners, String>,
    jobs: Arc<Mutex<HashMap<EventId, runner::Handle>>>,
}

/// Opens the place where programs work, and ends what an earlier run of this node left behind. May block for a moment.
pub(super) fn open(dir: PathBuf) -> Result<Runners, String> {
    let opened = Runners::open(runner::Options::new(dir)).map_err(|err| err.to_string());
    opened.inspect_err(|why| tracing::warn!(why, "no slung work can run here"))
}

impl Work {
    pub(super) fn new(
        runtime: Handle,
        inputs: &Inputs,
        tracker: TaskTracker,
        cancel: CancellationToken,
        runners: Result<Runners, String>,
    ) -> Work {
        // The engine's thread ends when all senders are gone, so it must not hold one itself.
        Work { runtime, inputs: inputs.downgrade(), tracker, cancel, runners, jobs: Arc::default() }
    }

    /// Carries one effect out; never waits.
    pub(super) fn perform(&mut self, effect: WorkEffect, own: &mut VecDeque<Input>) {
        match effect {
            WorkEffect::ReadLog { token, runs, from } => self.read_log(token, runs, from),
            WorkEffect::Stop { run, why } => match self.lock().get(&run) {
                Some(job) => job.cancel(&why),
                None => own.push_back(ended(run, outcome(End::Cancelled))),
            },
            WorkEffect::Start { run, bead, title, line, fence, base, runner, foreign } => {
                let sandbox = (foreign || runner.sandbox).then_some(Sandbox { network: runner.network });
                let job = Job {
                    id: run.to_string(),
                    bead,
                    title,
                    fence: (fence.epoch, fence.n),
                    bead_json: line,
                    argv: runner.argv,
                    repo: runner.repo.map(PathBuf::from),
                    base,
                    push: runner.push,
                    env: Vec::new(),
                    time_max: Duration::from_millis(runner.time_ms),
                    sandbox,
                };
                if let Err(text) = self.start(run, job) {
                    tracing::warn!(text, "a program could not begin");
                    own.push_back(ended(run, Outcome { ended: Ended::Failed, commit: None, branch: None, text }));
                }
            }
        }
    }

    fn start(&self, run: EventId, job: Job) -> Result<(), String> {
        let runners = self.runners.as_ref().map_err(Clone::clone)?;
        let inputs = self.inputs.upgrade().ok_or("the node is ending")?;
        let _context = self.runtime.enter();
        let (handle, events) = runners.start(job).map_err(|err| err.to_string())?;
        self.lock().insert(run, handle);
        let (jobs, cancel) = (self.jobs.clone(), self.cancel.clone());
        self.tracker.spawn_on(
            async move {
                let end = cancel.run_until_cancelled(follow(run, events, &inputs)).await;
                // Dropped, a program that still runs is ended; it begins again with the node.
                jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
                if let Some(Some(end)) = end {
                    let _ended = inputs.send(ended(run, outcome(end))).await;
                }
            },
            &self.runtime,
        );
        Ok(())
    }

    fn read_log(&self, token: u64, runs: Vec<EventId>, from: u64) {
        let (runners, inputs) = (self.runners.clone(), self.inputs.upgrade());
        // Reading a log may wait for the disk.
        self.tracker.spawn_blocking_on(
            move || {
                let part = runners.and_then(|runners| log_part(&runners, &runs, from));
                if let Some(inputs) = inputs {
                    let _ended = inputs.blocking_send(Input::Work(WorkInput::LogRead { token, part }));
                }
            },
            &self.runtime,
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<EventId, runner::Handle>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the first log that there is.
fn log_part(runners: &Runners, runs: &[EventId], from: u64) -> Result<LogPart, String> {
    let mut why = "there is no such log".to_owned();
    for run in runs {
        match runners.read_log(&run.to_string(), from, LOG_PART_BYTES_MAX) {
            Ok(part) => return Ok(LogPart { run: *run, bytes: part.bytes, next: part.next, ended: part.ended }),
            Err(err) => why = err.to_string(),
        }
    }
    Err(why)
}

/// Hands on what a program says until it ends; `None`: its end was never told.
async fn follow(run: EventId, mut events: mpsc::Receiver<Event>, inputs: &mpsc::Sender<Input>) -> Option<End> {
    let id = run.fmt_short();
    while let Some(event) = events.recv().await {
        match event {
            Event::Started { worktree } => {
                tracing::info!(run = %id, dir = %worktree.display(), "a program begins to work")
            }
            Event::Report(said) => {
                let _ended = inputs.send(Input::Work(WorkInput::Reported { run, report: report(said) })).await;
            }
            Event::Skipped(skipped) => tracing::warn!(run = %id, lines = skipped.lines, "reports that cannot be read"),
            Event::Ended(end) => return Some(end),
        }
    }
    None
}

fn report(said: Report) -> RunReport {
    match said {
        Report::Usage { tokens_in, tokens_out, money_micros } => {
            RunReport { used: Usage { tokens_in, tokens_out, money_micros }, ..RunReport::default() }
        }
        Report::Note(text) => RunReport { note: Some(text), ..RunReport::default() },
        Report::Progress { percent } => RunReport { percent: Some(percent), ..RunReport::default() },
    }
}

fn ended(run: EventId, outcome: Outcome) -> Input {
    Input::Work(WorkInput::Ended { run, outcome })
}

fn outcome(end: End) -> Outcome {
    let none = |ended, text: &str| Outcome { ended, commit: None, branch: None, text: text.to_owned() };
    match end {
        End::Done { commit, branch } => Outcome { ended: Ended::Done, commit, branch, text: String::new() },
        End::Later => none(Ended::Later, "not now"),
        End::Failed { code, reason } => {
            let how = code.map_or_else(|| "a signal ended it".to_owned(), |code| format!("exit code {code}"));
            none(Ended::Failed, format!("{how}: {reason}").trim_end_matches([':', ' ']))
        }
        End::TimedOut => none(Ended::Failed, "it took too long"),
        End::Cancelled => none(Ended::Stopped, "it was told to stop"),
    }
}
