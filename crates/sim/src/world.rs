//! The world around the machines: time, power, and the trace of everything that happened.

use crate::links::{Links, Wires};
use crate::node::{Answer, CrashPoint, Node};
use crate::rng::Rng;
use crate::runs::{Runs, fate};
use engine::{CallId, Command, Effect, Ended, Input, NetInput, Outcome, WorkEffect, WorkInput};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Something that will happen.
enum Due {
    /// An input, for this start of the machine only.
    Input(usize, u64, Box<Input>),
    Tick(usize, u64),
    Flush(usize, u64),
    Restart(usize),
}

pub(crate) struct World {
    /// True time, in Unix ms.
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: Rng,
    pub(crate) links: Links,
    pub(crate) wires: Wires,
    pub(crate) runs: Runs,
    /// How far apart ticks are, in milliseconds.
    pub(crate) tick_ms: u64,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    next_call: CallId,
    trace: Sha256,
    pub(crate) steps: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) log: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(nodes: Vec<Node>, rng: Rng, links: Links, log: bool) -> World {
        let mut world = World {
            now: 1_800_000_000_000,
            nodes: Vec::new(),
            rng,
            links,
            wires: Wires::default(),
            runs: Runs::default(),
            tick_ms: 100,
            due: BTreeMap::new(),
            order: 0,
            next_call: 1,
            trace: Sha256::new(),
            steps: 0,
            counts: BTreeMap::new(),
            log: log.then(Vec::new),
        };
        for node in nodes {
            world.add(node);
        }
        world
    }

    /// One more machine; it is switched off.
    pub(crate) fn add(&mut self, node: Node) -> usize {
        let at = self.nodes.len();
        self.wires.by_peer.entry(node.peer).or_default().push(at);
        self.nodes.push(node);
        at
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    pub(crate) fn count_many(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    /// The hash of everything that happened so far.
    pub(crate) fn trace(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    /// One line of the trace, under the time in milliseconds since the beginning.
    pub(crate) fn note(&mut self, line: &str) {
        let line = format!("{:>8} {line}", self.now - 1_800_000_000_000);
        self.trace.update(line.as_bytes());
        self.trace.update([b'\n']);
        if let Some(log) = &mut self.log {
            log.push(line);
        }
    }

    fn later(&mut self, after_ms: u64, due: Due) {
        self.order += 1;
        let at = (self.now + after_ms, self.order);
        self.due.insert(at, due);
    }

    pub(crate) fn deliver(&mut self, at: usize, after_ms: u64, input: NetInput) {
        let boots = self.nodes[at].boots;
        self.later(after_ms, Due::Input(at, boots, Box::new(Input::Net(input))));
    }

    pub(crate) fn running(&self, at: usize) -> bool {
        self.nodes[at].engine.is_some()
    }

    pub(crate) fn start(&mut self, at: usize) -> Result<(), String> {
        self.nodes[at].start(self.now, self.links.gossip)?;
        let line = format!("{} starts", self.nodes[at].name);
        self.note(&line);
        self.flush(at);
        self.deliver(at, 0, NetInput::Listening(format!("/sim/{at}")));
        let boots = self.nodes[at].boots;
        self.later(1, Due::Tick(at, boots));
        Ok(())
    }

    /// A machine loses power; its peers notice a little later. It comes back unless it is scrapped.
    pub(crate) fn power_cut(&mut self, at: usize, back_after_ms: u64) {
        let lost = self.nodes[at].disk.power_cut(&mut self.rng);
        self.count_many("writes_lost_unsynced", lost as u64);
        let line = format!("{} loses power, and {lost} unsynced batches", self.nodes[at].name);
        self.note(&line);
        self.nodes[at].stop();
        self.runs.power_cut(at, self.now);
        self.unlink_all(at);
        self.later(back_after_ms, Due::Restart(at));
    }

    /// Asks a machine something, as its user; the answer is there when it is ready.
    pub(crate) fn ask(&mut self, at: usize, command: Command) -> CallId {
        let call = self.next_call;
        self.next_call += 1;
        self.happen(at, Input::Command { call, command });
        call
    }

    /// A machine's answer, if it gave one.
    pub(crate) fn answer(&mut self, at: usize, call: CallId) -> Option<Answer> {
        self.nodes[at].answers.remove(&call)
    }

    /// Asks something that changes nothing.
    pub(crate) fn query(&mut self, at: usize, command: Command) -> Option<Answer> {
        let now = self.now;
        self.nodes[at].query(now, command)
    }

    /// Lets time pass until nothing is due before `until`.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), String> {
        while let Some(entry) = self.due.first_entry() {
            let at = *entry.key();
            if at.0 > until {
                break;
            }
            let due = entry.remove();
            self.now = self.now.max(at.0);
            let current = |node: &Node, boots| node.engine.is_some() && node.boots == boots;
            match due {
                Due::Tick(node, boots) if current(&self.nodes[node], boots) => {
                    self.happen(node, Input::Tick);
                    self.later(self.tick_ms, Due::Tick(node, boots));
                }
                Due::Flush(node, boots) if current(&self.nodes[node], boots) => self.flush(node),
                Due::Input(node, boots, input) if current(&self.nodes[node], boots) => self.happen(node, *input),
                Due::Restart(node) if !self.running(node) && !self.nodes[node].scrapped => self.start(node)?,
                _ => {}
            }
        }
        self.now = until;
        Ok(())
    }

    pub(crate) fn happen(&mut self, at: usize, input: Input) {
        if !self.running(at) {
            return;
        }
        self.steps += 1;
        if !matches!(input, Input::Tick) {
            let line = format!("{} {}", self.nodes[at].name, describe(&input));
            self.note(&line);
        }
        if let Input::Work(WorkInput::Ended { run, .. }) = &input {
            self.runs.end(at, *run, self.now);
        }
        let wrote = self.nodes[at].handle(self.now, input);
        let crash = if wrote { self.nodes[at].crash.take() } else { None };
        match crash {
            Some(CrashPoint::BeforeSync) => {
                self.count("crashes");
                return self.power_cut(at, 500);
            }
            Some(CrashPoint::BetweenSyncAndSend) => {
                self.count("crashes");
                self.nodes[at].flush();
                return self.power_cut(at, 500);
            }
            Some(CrashPoint::AfterSend) => {
                self.count("crashes");
                self.flush(at);
                return self.power_cut(at, 500);
            }
            None => {}
        }
        if self.nodes[at].grouping {
            return;
        }
        if wrote && self.rng.chance(0.3) {
            self.nodes[at].grouping = true;
            let (after, boots) = (1 + self.rng.below(4), self.nodes[at].boots);
            return self.later(after, Due::Flush(at, boots));
        }
        self.flush(at);
    }

    /// Syncs, and carries out what waited for it.
    pub(crate) fn flush(&mut self, at: usize) {
        for effect in self.nodes[at].flush() {
            match effect {
                Effect::Net(net) => self.net(at, net),
                Effect::Reply { call, result } => {
                    self.nodes[at].answers.insert(call, result);
                }
                Effect::Warn { code, message } => {
                    if code == "fork" {
                        self.count("forks");
                    }
                    let line = format!("{} warns {code}: {message}", self.nodes[at].name);
                    self.note(&line);
                }
                Effect::Work(work) => self.work(at, work),
                Effect::Persist(_) | Effect::Progress { .. } | Effect::Workspace(_) => {}
            }
        }
    }
}

impl World {
    /// What a runner is told.
    fn work(&mut self, at: usize, effect: WorkEffect) {
        let boots = self.nodes[at].boots;
        match effect {
            WorkEffect::Start { run, bead, fence, .. } => {
                let line = format!("{} begins {bead} under {fence}", self.nodes[at].name);
                self.note(&line);
                self.count("runs");
                self.runs.begin(at, run, bead, self.now);
                let (after, outcome) = fate(&mut self.rng);
                let input = Input::Work(WorkInput::Ended { run, outcome });
                self.later(after, Due::Input(at, boots, Box::new(input)));
            }
            // Nobody asks for logs here.
            WorkEffect::ReadLog { .. } => {}
            WorkEffect::Stop { run, why } => {
                let line = format!("{} stops {}: {why}", self.nodes[at].name, run.fmt_short());
                self.note(&line);
                self.count("stops");
                self.runs.end(at, run, self.now);
                let outcome = Outcome { ended: Ended::Stopped, commit: None, branch: None, text: why };
                let input = Input::Work(WorkInput::Ended { run, outcome });
                let after = 1 + self.rng.below(50);
                self.later(after, Due::Input(at, boots, Box::new(input)));
            }
        }
    }
}

/// Eight characters that stand for these bytes.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    format!("{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// One line of the trace.
fn describe(input: &Input) -> String {
    let from = |peer: &types::PeerId| peer.fmt_short();
    match input {
        Input::Net(NetInput::Gossip { peer, data, .. }) => format!("gossip from {} {}", from(peer), short_hash(data)),
        Input::Net(NetInput::Asked { peer, body, .. }) => format!("asked by {} {}", from(peer), short_hash(body)),
        Input::Net(NetInput::PullAsked { peer, body, .. }) => format!("pulled by {} {}", from(peer), short_hash(body)),
        Input::Net(NetInput::Answered { ask, result }) => match result {
            Ok(body) => format!("answer {ask} {}", short_hash(body)),
            Err(why) => format!("answer {ask} {why}"),
        },
        Input::Net(NetInput::Page { ask, body }) => format!("page {ask} {}", short_hash(body)),
        Input::Net(other) => format!("{other:?}").chars().take(120).collect(),
        other => format!("{other:?}").chars().take(200).collect(),
    }
}
