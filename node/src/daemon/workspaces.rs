//! One task per coupled directory, around the bridge's handle.

use super::inputs::Inputs;
use super::killpoint;
use bridge::{ApplyError, Event, Generation, Handle as Bridge, OpenError, Options, Snapshot, Workspace};
use engine::{ApplyResult, FileLine, FileSnapshot, Input, WorkspaceEffect, WorkspaceId, WorkspaceInput, WorkspaceKind};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Orders that may wait for a directory's task. The engine has at most one write under way per directory.
const ORDERS_MAX: usize = 32;

/// How long to wait before a directory that cannot be opened is tried again.
const REOPEN: Duration = Duration::from_secs(5);

enum Order {
    Prepare(u64, Generation, Vec<(String, Option<String>)>),
    Commit(u64),
    Abort,
    Rescan,
}

struct Task {
    orders: mpsc::Sender<Order>,
    cancel: CancellationToken,
}

/// What the directories' own tools are given.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    /// The directory of what they cannot hold.
    pub(super) held: PathBuf,
    /// How long one command of bd may take.
    pub(super) bd_time_max: Duration,
}

/// The coupled directories.
pub(super) struct Workspaces {
    runtime: Handle,
    inputs: mpsc::WeakSender<Input>,
    tracker: TaskTracker,
    cancel: CancellationToken,
    tasks: HashMap<WorkspaceId, Task>,
    tools: Tools,
}

impl Workspaces {
    pub(super) fn new(
        runtime: Handle,
        inputs: &Inputs,
        tracker: TaskTracker,
        cancel: CancellationToken,
        tools: Tools,
    ) -> Workspaces {
        // The engine's thread ends when all senders are gone, so it must not hold one itself.
        Workspaces { runtime, inputs: inputs.downgrade(), tracker, cancel, tasks: HashMap::new(), tools }
    }

    /// Carries one effect out; never waits.
    pub(super) fn perform(&mut self, effect: WorkspaceEffect, own: &mut VecDeque<Input>) {
        let (workspace, order) = match effect {
            WorkspaceEffect::Open { workspace, dir, kind } => return self.open(workspace, dir, kind),
            WorkspaceEffect::Close(workspace) => {
                if let Some(task) = self.tasks.remove(&workspace) {
                    task.cancel.cancel();
                }
                return;
            }
            WorkspaceEffect::Prepare { workspace, attempt, base, lines } => {
                (workspace, Order::Prepare(attempt, base, lines))
            }
            WorkspaceEffect::Commit(workspace, attempt) => (workspace, Order::Commit(attempt)),
            WorkspaceEffect::Abort(workspace) => (workspace, Order::Abort),
            WorkspaceEffect::Rescan(workspace) => (workspace, Order::Rescan),
        };
        let awaited = match &order {
            Order::Prepare(attempt, ..) | Order::Commit(attempt) => Some(*attempt),
            Order::Abort | Order::Rescan => None,
        };
        let sent = self.tasks.get(&workspace).map(|task| task.orders.try_send(order));
        if let (false, Some(attempt)) = (matches!(sent, Some(Ok(()))), awaited) {
            let result = ApplyResult::Failed("the directory is not open".to_owned());
            own.push_back(Input::Workspace(WorkspaceInput::Applied { workspace, attempt, result }));
        }
    }

    fn open(&mut self, workspace: WorkspaceId, dir: String, kind: WorkspaceKind) {
        let Some(inputs) = self.inputs.upgrade() else { return };
        let (orders, orders_end) = mpsc::channel(ORDERS_MAX);
        let cancel = self.cancel.child_token();
        let task = Task { orders, cancel: cancel.clone() };
        if let Some(old) = self.tasks.insert(workspace, task) {
            old.cancel.cancel();
        }
        let mut tools = self.tools.clone();
        tools.held.push(format!("{workspace}.jsonl"));
        let coupled = Coupled { workspace, dir, kind, tools, inputs };
        self.tracker.spawn_on(
            async move {
                let _ended = cancel.run_until_cancelled(coupled.run(orders_end)).await;
            },
            &self.runtime,
        );
    }
}

/// A directory's task.
struct Coupled {
    workspace: WorkspaceId,
    dir: String,
    kind: WorkspaceKind,
    /// `held` is the file of this directory's own.
    tools: Tools,
    inputs: Inputs,
}

/// A version that lies ready, whatever keeps the beads.
trait Ready {
    fn generation(&self) -> Generation;
}

impl Ready for bridge::Prepared {
    fn generation(&self) -> Generation {
        self.generation
    }
}

impl Ready for bridge::bd::Prepared {
    fn generation(&self) -> Generation {
        self.generation
    }
}

impl Coupled {
    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut said = None;
        loop {
            match self.open(&mut orders).await {
                Ok(()) => said = None,
                Err(err) => {
                    let reason = err.to_string();
                    if said.as_ref() != Some(&reason) {
                        self.tell(WorkspaceInput::Failed { workspace: self.workspace, reason: reason.clone() }).await;
                        said = Some(reason);
                    }
                }
            }
            let again = tokio::time::Instant::now() + REOPEN;
            loop {
                // What is asked of a directory that cannot be used fails at once.
                match tokio::time::timeout_at(again, orders.recv()).await {
                    Ok(Some(Order::Prepare(attempt, ..) | Order::Commit(attempt))) => {
                        self.applied(attempt, ApplyResult::Failed("the directory is not open".to_owned())).await;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(_) => break,
                }
            }
        }
    }

    /// Couples the directory until the bridge gives up.
    async fn open(&self, orders: &mut mpsc::Receiver<Order>) -> Result<(), OpenError> {
        let dir = Path::new(&self.dir);
        match self.kind {
            WorkspaceKind::File => {
                let options = Options { on_step: killpoint::file_step, ..Options::default() };
                let (bridge, events) = Workspace::open(dir, options)?;
                self.couple(&bridge, events, orders).await;
            }
            WorkspaceKind::Bd => {
                let limits = bridge::bd::Limits { time_max: self.tools.bd_time_max, ..Default::default() };
                let held = Some(self.tools.held.clone());
                let options = bridge::bd::Options { held, limits, ..Default::default() };
                let (bridge, events) = bridge::bd::open(dir, options)?;
                self.couple(&bridge, events, orders).await;
            }
        }
        Ok(())
    }

    /// Until the bridge gives up.
    async fn couple<P: Ready + Send + 'static>(
        &self,
        bridge: &Bridge<P>,
        mut events: mpsc::Receiver<Event>,
        orders: &mut mpsc::Receiver<Order>,
    ) {
        let mut prepared = None;
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Prepare(attempt, base, lines)) => match bridge.prepare(base, lines).await {
                        Ok(ready) => {
                            let (workspace, generation) = (self.workspace, ready.generation());
                            prepared = Some(ready);
                            self.tell(WorkspaceInput::Prepared { workspace, attempt, generation }).await;
                        }
                        Err(err) => self.applied(attempt, failure(&err)).await,
                    },
                    Some(Order::Commit(attempt)) => {
                        let result = match prepared.take() {
                            Some(ready) => bridge.commit(ready).await.map(|done| done.generation),
                            None => Err(ApplyError::Changed),
                        };
                        let result = result.map_or_else(|err| failure(&err), ApplyResult::Done);
                        self.applied(attempt, result).await;
                    }
                    Some(Order::Abort) => prepared = None,
                    Some(Order::Rescan) => {
                        if let Err(err) = bridge.rescan().await {
                            tracing::warn!(dir = self.dir, %err, "looking again failed");
                        }
                    }
                    None => return,
                },
                event = events.recv() => match event {
                    Some(Event::Snapshot(found)) => {
                        let snapshot = snapshot(*found);
                        self.tell(WorkspaceInput::Snapshot { workspace: self.workspace, snapshot }).await;
                    }
                    Some(Event::Failed(err)) => {
                        let failed = WorkspaceInput::Failed { workspace: self.workspace, reason: err.to_string() };
                        self.tell(failed).await;
                    }
                    Some(Event::Rescued(path)) => {
                        tracing::warn!(path = %path.display(), "a version of the beads file was kept aside");
                    }
                    None => return,
                },
            }
        }
    }

    async fn applied(&self, attempt: u64, result: ApplyResult) {
        self.tell(WorkspaceInput::Applied { workspace: self.workspace, attempt, result }).await;
    }

    async fn tell(&self, input: WorkspaceInput) {
        // The engine ends only after this task is cancelled.
        let _ended = self.inputs.send(Input::Workspace(input)).await;
    }
}

fn failure(err: &ApplyError) -> ApplyResult {
    match err {
        ApplyError::Changed => ApplyResult::Changed,
        ApplyError::Broken { .. } => ApplyResult::Broken(err.to_string()),
        other => ApplyResult::Failed(other.to_string()),
    }
}

fn snapshot(found: Snapshot) -> FileSnapshot {
    let line = |line: bridge::ChangedLine| FileLine { line_no: line.line_no, text: line.text };
    FileSnapshot {
        generation: found.generation,
        beads_total: u64::from(found.beads_total),
        changed: found.changed.into_iter().map(line).collect(),
        missing: found.missing,
        repeated: found.repeated.into_iter().map(|line| FileLine { line_no: line.line_no, text: line.text }).collect(),
        broken: found.broken.into_iter().map(|line| (line.line_no, line.error.to_string())).collect(),
        first: found.first,
    }
}
