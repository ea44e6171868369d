//! One simulated machine: an engine, its disk, and its place in the network.

use crate::disk::{Disk, OpName};
use crate::rng::Rng;
use engine::{Boot, CallId, CheckpointRule, Command, Effect, Engine, Input};
use identity::{HostKey, OwnerKey};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::{PeerId, Table, UnixMs};

/// Where a machine dies, relative to the next input that makes it write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// Written, not synced; nobody was told.
    BeforeSync,
    /// Synced, and nobody was told.
    BetweenSyncAndSend,
    /// After everything.
    AfterSend,
}

/// What a command came to.
pub(crate) type Answer = Result<Value, engine::ApiError>;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) peer: PeerId,
    pub(crate) npub: [u8; 32],
    pub(crate) engine: Option<Engine>,
    pub(crate) disk: Disk,
    pub(crate) rng: Rng,
    /// This machine's clock minus true time, in milliseconds.
    pub(crate) skew_ms: i64,
    /// What identifies this copy of the home.
    pub(crate) fingerprint: u8,
    /// What it serves and says of its heads is not to be trusted.
    pub(crate) hostile: bool,
    /// Switched off for good.
    pub(crate) scrapped: bool,
    /// How often it was started: what was under way to an earlier start is lost.
    pub(crate) boots: u64,
    /// Machines with a connection to this one.
    pub(crate) links: BTreeSet<usize>,
    pub(crate) topics: BTreeSet<String>,
    /// Gossip that came here, and gossip that was passed on.
    pub(crate) seen: BTreeSet<u64>,
    pub(crate) passed_on: BTreeSet<u64>,
    pub(crate) answers: BTreeMap<CallId, Answer>,
    /// Set: die at this point.
    pub(crate) crash: Option<CrashPoint>,
    /// What waits for the sync of its group.
    pub(crate) held: Vec<Effect>,
    /// A sync is due.
    pub(crate) grouping: bool,
    /// Own ops that the last input made.
    pub(crate) made: Vec<OpName>,
    host_seed: ([u8; 32], [u8; 32]),
    owner_seed: Option<([u8; 32], [u8; 32])>,
}

impl Node {
    pub(crate) fn new(name: String, rng: &mut Rng, owner: bool) -> Node {
        let host_seed = (rng.bytes(), rng.bytes());
        let owner_seed = owner.then(|| (rng.bytes(), rng.bytes()));
        Node::with(name, rng.fork(), host_seed, owner_seed)
    }

    fn with(name: String, rng: Rng, host_seed: ([u8; 32], [u8; 32]), owner_seed: Option<([u8; 32], [u8; 32])>) -> Node {
        let key = HostKey::generate(host_seed.0, host_seed.1);
        Node {
            name,
            peer: key.peer_id(),
            npub: key.npub().0,
            engine: None,
            disk: Disk::default(),
            rng,
            skew_ms: 0,
            fingerprint: 1,
            hostile: false,
            scrapped: false,
            boots: 0,
            links: BTreeSet::new(),
            topics: BTreeSet::new(),
            seen: BTreeSet::new(),
            passed_on: BTreeSet::new(),
            answers: BTreeMap::new(),
            crash: None,
            held: Vec::new(),
            grouping: false,
            made: Vec::new(),
            host_seed,
            owner_seed,
        }
    }

    /// Another machine with a copy of this one's home.
    pub(crate) fn copy(&self, rng: &mut Rng, fingerprint: u8) -> Node {
        let mut copy = Node::with(format!("{}'", self.name), rng.fork(), self.host_seed, self.owner_seed);
        copy.disk = Disk::holding(self.disk.kept().clone());
        copy.fingerprint = fingerprint;
        copy.skew_ms = self.skew_ms;
        copy
    }

    pub(crate) fn host_key(&self) -> HostKey {
        HostKey::generate(self.host_seed.0, self.host_seed.1)
    }

    pub(crate) fn owner_key(&self) -> Option<OwnerKey> {
        self.owner_seed.map(|(current, next)| OwnerKey::generate(current, next))
    }

    /// This machine's clock.
    pub(crate) fn clock(&self, now: u64) -> UnixMs {
        UnixMs(now.saturating_add_signed(self.skew_ms))
    }

    /// Starts the machine from its disk.
    pub(crate) fn start(&mut self, now: u64, gossip: bool) -> Result<(), String> {
        let boot = Boot {
            host: self.host_key(),
            owner: self.owner_key(),
            name: self.name.clone(),
            fingerprint: [self.fingerprint; 32],
            offline: false,
            gossip,
            // Small, so that every run has some.
            checkpoints: CheckpointRule { every_ops: 15, join_min_ops: 5 },
        };
        let (engine, effects) = Engine::boot(&self.disk.now, boot, self.clock(now), &mut self.rng)
            .map_err(|e| format!("{} cannot start: {e}", self.name))?;
        self.engine = Some(engine);
        self.boots += 1;
        self.keep(effects);
        Ok(())
    }

    /// Lets one thing happen. Records are written; everything else waits for the sync. Says whether it wrote.
    pub(crate) fn handle(&mut self, now: u64, input: Input) -> bool {
        let at = self.clock(now);
        let Some(engine) = self.engine.as_mut() else { return false };
        let effects = engine.handle(&self.disk.now, at, &mut self.rng, input);
        self.keep(effects)
    }

    /// Asks something that changes nothing.
    pub(crate) fn query(&mut self, now: u64, command: Command) -> Option<Answer> {
        let at = self.clock(now);
        let effects =
            self.engine.as_mut()?.handle(&self.disk.now, at, &mut self.rng, Input::Command { call: 0, command });
        effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        })
    }

    /// One sync for everything that was written; what waited for it may happen now.
    pub(crate) fn flush(&mut self) -> Vec<Effect> {
        self.disk.sync();
        self.grouping = false;
        std::mem::take(&mut self.held)
    }

    pub(crate) fn stop(&mut self) {
        self.engine = None;
        self.topics.clear();
        self.seen.clear();
        self.passed_on.clear();
        self.held.clear();
        self.grouping = false;
        self.crash = None;
    }

    fn keep(&mut self, effects: Vec<Effect>) -> bool {
        let mut wrote = false;
        self.made.clear();
        for effect in effects {
            match effect {
                Effect::Persist(puts) => {
                    let own = puts.iter().filter(|p| p.table == Table::Ops && p.value.is_some());
                    let own = own.filter_map(|p| OpName::of_key(&p.key)).filter(|op| op.host == self.npub);
                    self.made.extend(own);
                    self.disk.write(puts);
                    wrote = true;
                }
                other => self.held.push(other),
            }
        }
        wrote
    }
}
