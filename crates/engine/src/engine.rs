//! The state that lives between inputs, and the way of every input through it.

use crate::checkpoint::CheckpointRule;
use crate::desk::Watcher;
use crate::effect::{Effect, NetEffect, WorkspaceEffect};
use crate::entropy::Entropy;
use crate::error::ApiError;
use crate::input::{AskId, CallId, Input, NetInput, WorkInput, WorkspaceId};
use crate::peers::Peers;
use crate::sling::Sling;
use crate::space::{PendingJoin, Space};
use crate::txn::Txn;
use crate::workspace::Workspace;
use identity::{HostKey, OwnerKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::{HlcClock, PeerId, PubKey, SpaceId, UnixMs, View, ViewError, Writer};

/// One node.
pub struct Engine {
    pub(crate) host: HostKey,
    pub(crate) owner: Option<OwnerKey>,
    pub(crate) name: String,
    pub(crate) offline: bool,
    pub(crate) gossip: bool,
    pub(crate) me: PubKey,
    pub(crate) peer_id: PeerId,
    pub(crate) incarnation: u64,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) clock: HlcClock,
    pub(crate) spaces: BTreeMap<SpaceId, Space>,
    pub(crate) by_h: HashMap<String, SpaceId>,
    pub(crate) peers: Peers,
    /// Members that the network was told of.
    pub(crate) kept: BTreeSet<PeerId>,
    pub(crate) asks: HashMap<AskId, Asked>,
    pub(crate) next_ask: AskId,
    pub(crate) workspaces: BTreeMap<WorkspaceId, Workspace>,
    pub(crate) joins: Vec<PendingJoin>,
    pub(crate) watchers: BTreeMap<CallId, Watcher>,
    pub(crate) sling: Sling,
    pub(crate) listen: BTreeSet<String>,
    pub(crate) card: Option<(Vec<u8>, UnixMs)>,
    pub(crate) attestation: Option<String>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) read_only: Option<String>,
    pub(crate) lost: Option<String>,
    pub(crate) checkpoint_rule: CheckpointRule,
    pub(crate) started: UnixMs,
    /// See [`Cx::up`].
    pub(crate) up: UnixMs,
    /// The machine's clock at the last input.
    pub(crate) wall: UnixMs,
}

/// A question under way, so that the answer finds its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Hello(PeerId),
    Heads(PeerId, SpaceId),
    Charter(PeerId, SpaceId),
    Hosts(PeerId, SpaceId),
    Join(PeerId),
    Pull(PeerId, SpaceId),
    Work { peer: PeerId, space: SpaceId, asked_at: UnixMs },
    Log { peer: PeerId, call: CallId },
}

/// What one input may use: records, time, entropy, and a place for effects.
pub(crate) struct Cx<'a> {
    pub(crate) txn: Txn<'a>,
    /// The machine's clock: for everything that others see or that is compared with what they say.
    pub(crate) now: UnixMs,
    /// The same clock without its jumps back: for waits, which would not end before it is where it was.
    pub(crate) up: UnixMs,
    pub(crate) entropy: &'a mut dyn Entropy,
    pub(crate) out: Vec<Effect>,
}

impl Cx<'_> {
    pub(crate) fn net(&mut self, effect: NetEffect) {
        self.out.push(Effect::Net(effect));
    }

    pub(crate) fn workspace(&mut self, effect: WorkspaceEffect) {
        self.out.push(Effect::Workspace(effect));
    }

    pub(crate) fn reply(&mut self, call: CallId, result: Result<serde_json::Value, ApiError>) {
        self.out.push(Effect::Reply { call, result });
    }

    pub(crate) fn warn(&mut self, code: &'static str, message: impl Into<String>) {
        self.out.push(Effect::Warn { code, message: message.into() });
    }
}

impl Engine {
    /// Takes in one thing that happened and says what to do.
    ///
    /// All effects of one input that depend on records come after the one [`Effect::Persist`] that holds them.
    pub fn handle(&mut self, view: &dyn View, now: UnixMs, entropy: &mut dyn Entropy, input: Input) -> Vec<Effect> {
        let call = match &input {
            Input::Command { call, .. } => Some(*call),
            _ => None,
        };
        self.move_clock(now);
        let mut cx = Cx { txn: Txn::new(view), now, up: self.up, entropy, out: Vec::new() };
        match self.dispatch(&mut cx, input).and_then(|()| self.settle(&mut cx)) {
            Ok(()) => match cx.txn.finish() {
                Ok(puts) if puts.is_empty() => cx.out,
                Ok(puts) => [vec![Effect::Persist(puts)], cx.out].concat_effects(),
                Err(err) => self.broken(call, &err),
            },
            Err(err) => self.broken(call, &err),
        }
    }

    fn move_clock(&mut self, now: UnixMs) {
        self.up = self.up.plus_ms(now.since_ms(self.wall));
        if now < self.wall {
            // Made in what is the future now: others would take it for false.
            self.card = None;
        }
        self.wall = now;
    }

    /// A record could not be read: nothing of this input is kept or told, and the node only reads from now on.
    fn broken(&mut self, call: Option<CallId>, err: &ViewError) -> Vec<Effect> {
        self.read_only.get_or_insert_with(|| err.to_string());
        let mut out = vec![Effect::Warn { code: "store", message: err.to_string() }];
        if let Some(call) = call {
            out.push(Effect::Reply { call, result: Err(err.clone().into()) });
        }
        out
    }

    fn dispatch(&mut self, cx: &mut Cx<'_>, input: Input) -> Result<(), ViewError> {
        match input {
            Input::Tick => self.tick(cx),
            Input::Command { call, command } => self.command(cx, call, command),
            Input::CallerGone(call) => {
                self.watchers.remove(&call);
                self.forget_waiter(call);
                Ok(())
            }
            Input::Net(input) => self.net(cx, input),
            Input::Workspace(_) if self.read_only.is_some() => Ok(()),
            Input::Workspace(input) => self.workspace_input(cx, input),
            Input::Work(_) if self.read_only.is_some() => Ok(()),
            Input::Work(WorkInput::Ended { run, outcome }) => self.run_ended(cx, run, outcome),
            Input::Work(WorkInput::LogRead { token, part }) => {
                self.log_read(cx, token, part);
                Ok(())
            }
            Input::Work(WorkInput::Reported { run, report }) => self.run_reported(cx, &run, &report),
            Input::PersistFailed { reason } => {
                self.read_only.get_or_insert(reason);
                Ok(())
            }
            Input::RecordsLost { what } => {
                // Numbers of this chain may be in use elsewhere; what members hold comes back from them.
                self.new_incarnation(cx, &format!("the store lost records that were on disk ({what})"));
                self.count("records_lost");
                self.lost = Some(what);
                Ok(())
            }
        }
    }

    fn net(&mut self, cx: &mut Cx<'_>, input: NetInput) -> Result<(), ViewError> {
        match input {
            NetInput::Listening(addr) => {
                if self.listen.len() < 64 {
                    self.listen.insert(addr);
                }
                Ok(())
            }
            NetInput::Connected { peer, address, transport, outbound } => {
                self.connected(cx, peer, address, transport, outbound)
            }
            NetInput::Disconnected(peer) => self.disconnected(cx, peer),
            NetInput::Rtt { peer, micros } => {
                self.peers.rtt(peer, micros);
                Ok(())
            }
            NetInput::Discovered { peer, addrs } => self.discovered(cx, peer, addrs),
            NetInput::Gossip { peer, topic, data, message } => self.gossip(cx, peer, &topic, &data, message),
            NetInput::Asked { peer, inbound, body } => self.asked(cx, peer, inbound, &body),
            NetInput::Answered { ask, result } => self.answered(cx, ask, result),
            NetInput::PullAsked { peer, stream, body } => self.pull_asked(cx, peer, stream, &body),
            NetInput::Page { ask, body } => self.page(cx, ask, &body),
            NetInput::PullEnded { ask, result } => self.pull_ended(cx, ask, result),
        }
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        self.tick_peers(cx)?;
        self.tick_sync(cx)?;
        self.tick_checkpoints(cx)?;
        self.tick_sling(cx)?;
        self.tick_joins(cx);
        self.tick_watchers(cx);
        Ok(())
    }

    /// After every input: beads that changed go to the workspaces that show them.
    fn settle(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        self.settle_sling(cx)?;
        self.sling_is_settled();
        let touched = cx.txn.take_touched();
        if !touched.is_empty() {
            self.mark_dirty(&touched);
            self.tell_watchers(cx, &touched);
        }
        self.pump_workspaces(cx)
    }

    /// Asks a peer; the answer comes back as `what`.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>, what: Asked, request: &proto::wire::Request) -> AskId {
        let ask = self.next_ask;
        self.next_ask += 1;
        let peer = match &what {
            Asked::Hello(p) | Asked::Join(p) => *p,
            Asked::Heads(p, _) | Asked::Charter(p, _) | Asked::Hosts(p, _) | Asked::Pull(p, _) => *p,
            Asked::Work { peer, .. } | Asked::Log { peer, .. } => *peer,
        };
        self.asks.insert(ask, what);
        cx.net(NetEffect::Ask { peer, ask, body: proto::encode(request) });
        ask
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer { host: self.me, incarnation: self.incarnation }
    }

    /// Whether changes can be kept.
    pub(crate) fn writable(&self) -> Result<(), ApiError> {
        match &self.read_only {
            None => Ok(()),
            Some(reason) => Err(ApiError::new("store_read_only", format!("the store refuses writes: {reason}"))
                .hint("free disk space or mend the disk, then: townmesh down; townmesh up")),
        }
    }
}

trait ConcatEffects {
    fn concat_effects(self) -> Vec<Effect>;
}

impl ConcatEffects for [Vec<Effect>; 2] {
    fn concat_effects(self) -> Vec<Effect> {
        self.into_iter().flatten().collect()
    }
}
