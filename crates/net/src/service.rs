//! The one task that owns the swarm.

mod commands;
mod gossip;
mod idle;
mod rules;
mod swarm;

use crate::behaviour::{self, Behaviour};
use crate::budget::Budgets;
use crate::counters::{self, count};
use crate::error::Error;
use crate::event::Event;
use crate::gossip::{Loss, Waiting};
use crate::handle::{Command, Handle};
use crate::options::{Limits, Options};
use crate::outbox::Outbox;
use crate::paths::Paths;
use crate::pull::{Open, Pulls};
use crate::rpc::{Incoming, Outgoing};
use futures::future::poll_fn;
use futures::{FutureExt as _, StreamExt as _};
use libp2p::{PeerId as Libp2pId, Swarm};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, PollSender};
use tokio_util::task::TaskTracker;
use types::PeerId;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often overdue things are looked for.
const TICK: Duration = Duration::from_millis(250);
/// Commands in a row before the swarm has a turn.
const RUN: usize = 32;
/// Wishes for streams that may wait.
const OPENS: usize = 64;

/// What the task owns.
struct Service {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    opens: mpsc::Receiver<Open>,
    /// Keeps its place in the line for room while other things are done, so that pulls cannot starve it.
    events: PollSender<Event>,
    cancel: CancellationToken,
    limits: Limits,
    counters: Arc<counters::Shared>,
    listening: Arc<Mutex<Vec<String>>>,
    outbox: Outbox,
    paths: Paths,
    outgoing: Outgoing,
    incoming: Incoming,
    pulls: Arc<Pulls>,
    tasks: TaskTracker,
    waiting: Waiting,
    loss: Loss,
    topics: HashSet<String>,
    known: HashSet<(Libp2pId, String)>,
    mend: gossip::Mend,
    active: HashMap<PeerId, Instant>,
    budgets: Budgets,
}

/// Starts the network. Must be called inside a tokio runtime. Cancelling ends it: connections are closed, pulls cut,
/// and the join handle is done within about two seconds.
///
/// # Errors
/// [`Error`] when the key is none, an address is none or taken, or a part refuses its settings.
pub fn spawn(
    options: Options,
    cancel: CancellationToken,
) -> Result<(Handle, mpsc::Receiver<Event>, JoinHandle<()>), Error> {
    let counters = Arc::new(counters::Shared::default());
    let swarm = behaviour::build(&options, &counters)?;
    let peer = from_libp2p(swarm.local_peer_id()).ok_or(Error::Key)?;
    let limits = options.limits.clone();
    let (command_tx, commands) = mpsc::channel(limits.commands.max(1));
    let (events, event_rx) = mpsc::channel(limits.events.max(1));
    let (open, opens) = mpsc::channel(OPENS);
    let pulls = Pulls::new(limits.clone(), counters.clone(), events.clone(), open, cancel.clone());
    let listening = Arc::new(Mutex::new(Vec::new()));
    let handle = Handle {
        commands: command_tx,
        counters: counters.clone(),
        listening: listening.clone(),
        pulls: pulls.clone(),
        peer,
    };
    let service = Service {
        swarm,
        commands,
        opens,
        events: PollSender::new(events),
        cancel,
        counters,
        listening,
        outbox: Outbox::new(limits.gossip_waiting, limits.requests_waiting),
        paths: Paths::default(),
        outgoing: Outgoing::new(limits.requests_queued_per_peer, limits.request_timeout),
        incoming: Incoming::default(),
        pulls,
        tasks: TaskTracker::new(),
        waiting: Waiting::default(),
        loss: Loss::new(options.gossip.loss, options.gossip.seed),
        topics: HashSet::new(),
        known: HashSet::new(),
        mend: gossip::Mend::default(),
        active: HashMap::new(),
        budgets: Budgets::default(),
        limits,
    };
    Ok((handle, event_rx, tokio::spawn(service.run())))
}

/// The peer id as the rest of the node knows it; none for keys that are not Ed25519.
fn from_libp2p(peer: &Libp2pId) -> Option<PeerId> {
    PeerId::from_bytes(&peer.to_bytes()).ok()
}

/// The peer id as libp2p knows it.
fn to_libp2p(peer: &PeerId) -> Libp2pId {
    // SAFETY: an Ed25519 peer id is a well-formed identity multihash of 36 bytes.
    #[allow(clippy::expect_used)]
    Libp2pId::from_bytes(&peer.to_bytes()).expect("a well-formed multihash")
}

impl Service {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut run = 0usize;
        loop {
            tokio::select! {
                // Local work first; after a run of commands the swarm has its turn.
                biased;
                () = self.cancel.cancelled() => break,
                room = poll_fn(|cx| self.events.poll_reserve(cx)), if !self.outbox.is_empty() => {
                    if room.is_err() || !self.deliver() {
                        break;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.on_command(command);
                        run = run.wrapping_add(1);
                        if run.is_multiple_of(RUN) {
                            self.give_swarm_a_turn();
                        }
                    }
                    None => break,
                },
                Some((peer, reply)) = self.opens.recv() => {
                    // Without a connection the reply is dropped, which tells the task as much.
                    if let Some(connection) = self.paths.best(&peer) {
                        self.swarm.behaviour_mut().streams.open(to_libp2p(&peer), connection, reply);
                    }
                }
                _ = tick.tick() => self.on_tick(Instant::now()),
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
            }
        }
        self.goodbye().await;
    }

    /// However fast commands come, the network goes on.
    fn give_swarm_a_turn(&mut self) {
        for _ in 0..RUN {
            // The waker of this look is of no use; the next `select!` leaves a real one.
            match self.swarm.next().now_or_never() {
                Some(Some(event)) => self.on_swarm_event(event),
                _ => return,
            }
        }
    }

    /// Hands the reader the next event, for which there is room; false when the reader left.
    fn deliver(&mut self) -> bool {
        let Some((event, slot)) = self.outbox.next() else { return true };
        if self.events.send_item(event).is_err() {
            return false;
        }
        if let Some(peer) = slot {
            self.outgoing.free(&peer);
            self.send_requests(peer);
        }
        true
    }

    fn on_tick(&mut self, now: Instant) {
        for id in self.outgoing.expired(now) {
            self.fail_request(id, crate::RequestError::Timeout, None);
        }
        self.mend_if_due(now);
        self.close_idle(now);
        self.close_strangers(now);
    }

    /// Closes what is open, so that peers notice at once.
    async fn goodbye(mut self) {
        self.cancel.cancel();
        self.tasks.close();
        let peers: Vec<Libp2pId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // Fails only when the peer is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(GOODBYE, closing).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
        if tokio::time::timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some streams did not end in time");
        }
    }

    fn fail_request(&mut self, id: u64, error: crate::RequestError, slot: Option<PeerId>) {
        count(&self.counters.requests_failed);
        let event = Event::Response { id, result: Err(error) };
        self.outbox.push(crate::outbox::Item::Answer(event, slot));
    }
}
