//! The engine's thread: a group of inputs, their records, one sync, then their effects.

use super::inputs::InputsEnd;
use super::killpoint::{self, Point};
use super::perform::Performer;
use engine::{Effect, Engine, Entropy, Input};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::Store;
use types::UnixMs;

/// Inputs in one group. More wait for the next sync.
const GROUP_MAX: usize = 256;

/// How long a group may take in further inputs that wait already.
const GROUP_WAIT: Duration = Duration::from_millis(2);

/// The operating system's randomness.
pub(super) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        if let Err(err) = getrandom::fill(out) {
            // Keys and nonces made without randomness would betray everything: there is no way on.
            tracing::error!(%err, "the system has no randomness");
            std::process::abort();
        }
    }
}

/// The time of this machine's clock.
pub(super) fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The engine with what it needs.
pub(super) struct Turn {
    pub(super) engine: Engine,
    pub(super) store: Arc<Store>,
    pub(super) performer: Performer,
}

/// What a group of inputs came to.
#[derive(Default)]
struct Group {
    effects: Vec<Effect>,
    /// Whether records wait for the sync.
    written: bool,
    /// What the store said when it refused.
    failed: Option<String>,
}

impl Turn {
    /// Runs until every maker of inputs is gone.
    pub(super) fn run(mut self, first: Vec<Effect>, mut inputs: InputsEnd) {
        let mut own = VecDeque::new();
        let mut group = Group::default();
        self.keep(&mut group, first);
        let mut told = self.finish(group, &mut own);
        while let Some(input) = own.pop_front().or_else(|| inputs.blocking_recv()) {
            if told {
                killpoint::pass(Point::AfterSend);
            }
            let mut group = Group::default();
            self.handle(&mut group, input);
            let until = Instant::now() + GROUP_WAIT;
            for _ in 1..GROUP_MAX {
                if group.failed.is_some() || Instant::now() >= until {
                    break;
                }
                let Some(input) = own.pop_front().or_else(|| inputs.try_recv().ok()) else { break };
                self.handle(&mut group, input);
            }
            told = self.finish(group, &mut own);
        }
    }

    /// One input: its records are written at once, so that the next input sees them.
    fn handle(&mut self, group: &mut Group, input: Input) {
        let effects = self.engine.handle(&*self.store, now(), &mut SystemEntropy, input);
        self.keep(group, effects);
    }

    fn keep(&mut self, group: &mut Group, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(_) if group.failed.is_some() => {}
                Effect::Persist(puts) => {
                    killpoint::pass(Point::BeforePersist);
                    match self.store.write(&puts) {
                        Ok(()) => group.written = true,
                        Err(err) => group.failed = Some(err.to_string()),
                    }
                }
                other => group.effects.push(other),
            }
        }
    }

    /// Syncs once, and only then lets anything out. Returns whether records were kept.
    fn finish(&mut self, mut group: Group, own: &mut VecDeque<Input>) -> bool {
        if group.written && group.failed.is_none() {
            killpoint::pass(Point::WrittenBeforeSync);
            group.failed = self.store.sync().err().map(|err| err.to_string());
        }
        match group.failed {
            None => {
                if group.written {
                    killpoint::pass(Point::PersistedBeforeSend);
                    killpoint::pass_compaction(&self.store);
                }
                group.effects.into_iter().for_each(|effect| self.performer.perform(effect, own));
            }
            Some(reason) => {
                tracing::error!(%reason, "the store refuses writes: this node only reads from now on");
                // Whatever this group says may rest on records that are not on disk.
                group.effects.into_iter().for_each(|effect| self.performer.refuse(effect, &reason));
                own.push_back(Input::PersistFailed { reason });
                group.written = false;
            }
        }
        group.written
    }
}
