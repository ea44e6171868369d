//! One simulated machine: an engine, its disk, and its place in the network.

use crate::rng::Rng;
use engine::{Boot, CallId, Effect, Engine, Input, Memory};
use identity::{HostKey, OwnerKey};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::{PeerId, UnixMs};

/// Where a machine dies, relative to what its last input made it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// Nothing of the input reached the disk.
    BeforePersist,
    /// It is on disk, and nobody was told.
    BetweenPersistAndSend,
    /// After everything.
    AfterSend,
}

/// What a command came to.
pub(crate) type Answer = Result<Value, engine::ApiError>;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) peer: PeerId,
    pub(crate) engine: Option<Engine>,
    pub(crate) disk: Memory,
    pub(crate) rng: Rng,
    /// This machine's clock minus true time, in milliseconds.
    pub(crate) skew_ms: i64,
    pub(crate) links: BTreeSet<PeerId>,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) seen: BTreeSet<u64>,
    pub(crate) answers: BTreeMap<CallId, Answer>,
    /// Set: die at this point of the next input.
    pub(crate) crash: Option<CrashPoint>,
    host_seed: ([u8; 32], [u8; 32]),
    owner_seed: Option<([u8; 32], [u8; 32])>,
}

impl Node {
    pub(crate) fn new(name: String, rng: &mut Rng, owner: bool) -> Node {
        let host_seed = (rng.bytes(), rng.bytes());
        let owner_seed = owner.then(|| (rng.bytes(), rng.bytes()));
        let peer = HostKey::generate(host_seed.0, host_seed.1).peer_id();
        Node {
            name,
            peer,
            engine: None,
            disk: Memory::default(),
            rng: rng.fork(),
            skew_ms: 0,
            links: BTreeSet::new(),
            topics: BTreeSet::new(),
            seen: BTreeSet::new(),
            answers: BTreeMap::new(),
            crash: None,
            host_seed,
            owner_seed,
        }
    }

    fn clock(&self, now: u64) -> UnixMs {
        UnixMs(now.saturating_add_signed(self.skew_ms))
    }

    /// Starts the machine from its disk.
    pub(crate) fn start(&mut self, now: u64, gossip: bool) -> Result<Vec<Effect>, String> {
        let boot = Boot {
            host: HostKey::generate(self.host_seed.0, self.host_seed.1),
            owner: self.owner_seed.map(|(current, next)| OwnerKey::generate(current, next)),
            name: self.name.clone(),
            fingerprint: [1; 32],
            offline: false,
            gossip,
        };
        let (engine, effects) =
            Engine::boot(&self.disk, boot, self.clock(now), &mut self.rng).map_err(|e| format!("boot: {e}"))?;
        self.engine = Some(engine);
        Ok(self.keep(effects))
    }

    /// Lets one thing happen. What must be kept is kept; the rest is for the world to carry out. `None`: it died.
    pub(crate) fn handle(&mut self, now: u64, input: Input) -> Option<Vec<Effect>> {
        let at = self.clock(now);
        let engine = self.engine.as_mut()?;
        let effects = engine.handle(&self.disk, at, &mut self.rng, input);
        match self.crash.take() {
            None => Some(self.keep(effects)),
            Some(CrashPoint::BeforePersist) => {
                self.stop();
                None
            }
            Some(CrashPoint::BetweenPersistAndSend) => {
                self.keep(effects);
                self.stop();
                None
            }
            Some(CrashPoint::AfterSend) => {
                let rest = self.keep(effects);
                self.stop();
                Some(rest)
            }
        }
    }

    pub(crate) fn stop(&mut self) {
        self.engine = None;
        self.topics.clear();
        self.seen.clear();
    }

    fn keep(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(puts) => self.disk.apply(&puts),
                other => rest.push(other),
            }
        }
        rest
    }
}
