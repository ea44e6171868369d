//! From a home to a running node and back.

use super::boot;
use super::calls::Calls;
use super::inputs::{self, Inputs};
use super::killpoint;
use super::perform::Performer;
use super::serve::Serving;
use super::turn::{SystemEntropy, Turn, now};
use super::work::Work;
use super::workspaces::{Tools, Workspaces};
use crate::config::Config;
use crate::home::Home;
use crate::{CliError, keys, ports};
use engine::{Boot, CheckpointRule, Effect, Engine, Input, NetInput};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::{HomeLock, Store, StoreError};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the network and the tasks may take to end.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What a node is started with.
pub(super) struct Options {
    pub(super) home: Home,
    /// Without a network.
    pub(super) offline: bool,
    /// How the store is opened.
    pub(super) store: store::Options,
}

/// Runs the node of a home until SIGTERM, SIGINT or `townmesh down`; `offline`: without a network.
///
/// # Errors
/// Why it could not start, or `store` when it ended because of the disk.
pub fn run_until_signal(home: &Home, offline: bool) -> Result<(), CliError> {
    killpoint::arm_from_env()?;
    let runtime = runtime()?;
    let cancel = CancellationToken::new();
    runtime.spawn(signals(cancel.clone()));
    let (ready, _started) = oneshot::channel();
    let store = store::Options { sync_delay: sync_delay()?, ..store_options() };
    let result = runtime.block_on(run(Options { home: home.clone(), offline, store }, ready, cancel));
    // Tasks that hang in the system (a dead network file system, say) must not hold up the end.
    runtime.shutdown_timeout(CLOSE_WAIT);
    result
}

/// A slow disk for tests: `TOWNMESH_SYNC_DELAY_MS`, at most a minute.
fn sync_delay() -> Result<Duration, CliError> {
    let Ok(text) = std::env::var("TOWNMESH_SYNC_DELAY_MS") else { return Ok(Duration::ZERO) };
    match text.parse() {
        Ok(ms @ 0..=60_000) => Ok(Duration::from_millis(ms)),
        _ => Err(CliError::new("bad_config", format!("TOWNMESH_SYNC_DELAY_MS={text}"))
            .hint("a number of milliseconds, at most 60000")),
    }
}

/// How this program opens stores: the engine knows how their records came to be what they are.
pub(super) fn store_options() -> store::Options {
    store::Options { steps: engine::records::STEPS, ..store::Options::default() }
}

/// The runtime of everything but the engine.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(16).thread_name("townmesh").enable_all();
    builder.build().map_err(|err| CliError::new("internal", format!("starting threads: {err}")))
}

async fn signals(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut term), Ok(mut int)) => {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "ending");
            cancel.cancel();
        }
        (Err(err), _) | (_, Err(err)) => tracing::warn!(%err, "signals end this node without ceremony"),
    }
}

/// A node's network while it runs.
struct Network {
    handle: net::Handle,
    events: mpsc::Receiver<net::Event>,
    task: JoinHandle<()>,
}

/// Runs a node until `cancel`. `ready` is told once it answers.
pub(super) async fn run(
    options: Options,
    ready: oneshot::Sender<()>,
    cancel: CancellationToken,
) -> Result<(), CliError> {
    let home = &options.home;
    let host = keys::host(home)?;
    // Held until everything else is closed.
    let _lock = HomeLock::take(home.dir()).map_err(store_error)?;
    let config = Config::load(home)?;
    let owner = keys::owner(home)?;
    let secret = host.peer_secret();
    let listen = ports::settle(home, &config);
    let store = Arc::new(Store::open(&home.store(), &options.store).map_err(store_error)?);
    if let Some(from) = store.migrated_from() {
        tracing::info!(from, to = options.store.format(), "the store has been moved to the present format");
    }
    let boot = Boot {
        host,
        owner,
        name: config.name.clone(),
        fingerprint: home.fingerprint()?,
        offline: options.offline,
        gossip: config.gossip.enabled,
        checkpoints: CheckpointRule { every_ops: config.checkpoint_ops, join_min_ops: config.checkpoint_ops / 2 },
    };
    let (mut engine, mut first) = Engine::boot(&*store, boot, now(), &mut SystemEntropy)
        .map_err(|err| CliError::new("store", format!("the node's records cannot be used: {err}")))?;
    if let Some(lost) = store.lost() {
        let what = format!("record {} was synced, the last one there is {}", lost.synced, lost.found);
        first.extend(engine.handle(&*store, now(), &mut SystemEntropy, Input::RecordsLost { what }));
    }
    let socket = home.socket();
    let (_server, calls_in) = control::Server::bind(&socket, cancel.child_token())
        .map_err(|err| CliError::new("control_socket", format!("{}: {err}", socket.display())))?;
    let net_cancel = CancellationToken::new();
    let mut network = None;
    if !options.offline {
        network = Some(start_network(&config, secret, listen.clone(), &net_cancel)?);
    }
    tracing::info!(name = config.name, home = %home.dir().display(), offline = options.offline, "node running");

    let held = home.held();
    std::fs::create_dir_all(&held).map_err(|err| CliError::disk(held.display(), &err))?;
    let tools = Tools { held, bd_time_max: Duration::from_secs(config.bd_seconds) };
    let runners = super::work::open(home.work());
    let node = Node { store, engine, first, cancel: cancel.clone(), tools, runners };
    let handle = network.as_ref().map(|n| n.handle.clone());
    let (network_task, events) = match network {
        Some(n) => (Some(n.task), Some(n.events)),
        None => (None, None),
    };
    let expected = if options.offline { ports::expected(&listen) } else { Vec::new() };
    let ended = node.start(handle, events, calls_in, expected)?;
    // Whoever started us may have gone meanwhile; the node does not mind.
    let _gone = ready.send(());
    let result = ended.wait(&cancel).await;
    net_cancel.cancel();
    if let Some(task) = network_task
        && tokio::time::timeout(CLOSE_WAIT, task).await.is_err()
    {
        tracing::warn!("the network did not close in time");
    }
    tracing::info!("ended");
    result
}

fn store_error(err: StoreError) -> CliError {
    match err {
        StoreError::Locked { pid, .. } => {
            let by = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            CliError::new("home_locked", format!("{by} runs this node already"))
                .hint("townmesh status")
                .hint("townmesh down")
        }
        err @ StoreError::NewerFormat { .. } => CliError::new("store_newer", err.to_string())
            .hint("with the newer townmesh: townmesh beads export > beads.jsonl")
            .hint("then with this one, in another home: townmesh beads import beads.jsonl"),
        err @ StoreError::Foreign { .. } => CliError::new("store_foreign", err.to_string()),
        err => CliError::new("store", format!("the store cannot be opened: {err}"))
            .hint("see that the disk has space, is writable and sound, then: townmesh up --background"),
    }
}

fn start_network(
    config: &Config,
    secret: zeroize::Zeroizing<[u8; 32]>,
    listen: Vec<String>,
    cancel: &CancellationToken,
) -> Result<Network, CliError> {
    let mut options = net::Options::new(secret);
    options.listen = listen;
    options.mdns = config.mdns;
    options.gossip.enabled = config.gossip.enabled;
    options.gossip.loss = config.gossip.loss;
    options.gossip.seed = u64::from(std::process::id());
    let (handle, events, task) = net::spawn(options, cancel.clone()).map_err(|err| {
        CliError::new("listen", format!("the network cannot start: {err}")).hint("see `listen` in config.toml")
    })?;
    Ok(Network { handle, events, task })
}

/// A node that is about to run.
struct Node {
    store: Arc<Store>,
    engine: Engine,
    first: Vec<Effect>,
    cancel: CancellationToken,
    tools: Tools,
    runners: Result<runner::Runners, String>,
}

impl Node {
    fn start(
        self,
        net: Option<net::Handle>,
        events: Option<mpsc::Receiver<net::Event>>,
        calls_in: mpsc::Receiver<control::Call>,
        expected: Vec<String>,
    ) -> Result<Ended, CliError> {
        let (inputs, inputs_end) = inputs::channel();
        let tracker = TaskTracker::new();
        let calls = Calls::default();
        let runtime = Handle::current();
        let performer = Performer {
            runtime: runtime.clone(),
            calls: calls.clone(),
            net,
            serving: Serving::new(self.store.clone(), tracker.clone()),
            workspaces: Workspaces::new(runtime.clone(), &inputs, tracker.clone(), self.cancel.clone(), self.tools),
            work: Work::new(runtime, &inputs, tracker.clone(), self.cancel.clone(), self.runners),
        };
        let turn = Turn { engine: self.engine, store: self.store.clone(), performer };
        let (end, engine_ended) = oneshot::channel();
        let first = self.first;
        let context = Handle::current();
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            // Answers that a caller is slow to take are finished by tasks of the runtime.
            let _context = context.enter();
            turn.run(first, inputs_end);
            let _nobody_waits = end.send(());
        });
        thread.map_err(|err| CliError::new("internal", format!("starting the engine: {err}")))?;
        for address in expected {
            // The queue is empty: it takes the few of them.
            let _full = inputs.try_send(Input::Net(NetInput::Listening(address)));
        }
        feed(&self.cancel, &tracker, inputs, events, Api { calls_in, calls });
        tracker.close();
        Ok(Ended { engine: engine_ended, tracker, store: self.store })
    }
}

/// What people and programs on this machine talk to.
struct Api {
    calls_in: mpsc::Receiver<control::Call>,
    calls: Calls,
}

/// Starts what makes inputs; all of it ends with `cancel`.
fn feed(
    cancel: &CancellationToken,
    tracker: &TaskTracker,
    inputs: Inputs,
    events: Option<mpsc::Receiver<net::Event>>,
    api: Api,
) {
    let Api { calls_in, calls } = api;
    let spawn = |task: Pin<Box<dyn Future<Output = ()> + Send>>| {
        let cancel = cancel.clone();
        tracker.spawn(async move {
            let _ended = cancel.run_until_cancelled(task).await;
        });
    };
    spawn(Box::pin(boot::ticks(inputs.clone(), calls.clone())));
    spawn(Box::pin(boot::api(inputs.clone(), calls_in, calls, cancel.clone())));
    if let Some(events) = events {
        spawn(Box::pin(boot::network(inputs, events)));
    }
}

/// What has to come to its end.
struct Ended {
    engine: oneshot::Receiver<()>,
    tracker: TaskTracker,
    store: Arc<Store>,
}

impl Ended {
    /// Waits for `cancel`, then for the engine's last group and for the tasks.
    async fn wait(mut self, cancel: &CancellationToken) -> Result<(), CliError> {
        let early = tokio::select! {
            biased;
            () = cancel.cancelled() => false,
            _ = &mut self.engine => !cancel.is_cancelled(),
        };
        cancel.cancel();
        if early {
            return Err(CliError::new("internal", "the engine ended by itself; see the log"));
        }
        // The engine ends when the last maker of inputs is gone, after it has synced what it took. A receiver that has
        // its answer already must not be asked again.
        if !self.engine.is_terminated() {
            let _ended = (&mut self.engine).await;
        }
        if tokio::time::timeout(CLOSE_WAIT, self.tracker.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        self.store.sync().map_err(|err| CliError::new("store", format!("the last sync failed: {err}")))
    }
}
