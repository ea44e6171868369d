//! The world between the machines: time, links, messages under way.

use crate::node::Node;
use crate::rng::Rng;
use engine::{CallId, Command, Effect, Input, NetEffect, NetInput, ServePlan, Verdict, serve_page};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use types::PeerId;

/// How bad the links are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) loss: f64,
    pub(crate) repeat: f64,
    pub(crate) delay_ms: u64,
    pub(crate) gossip: bool,
}

/// Something that will happen.
enum Due {
    Input(usize, Box<Input>),
    Tick(usize),
    Restart(usize),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: Rng,
    pub(crate) links: Links,
    /// Pairs that cannot reach each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    by_peer: BTreeMap<PeerId, usize>,
    due: BTreeMap<(u64, u64), Due>,
    order: u64,
    /// Messages of questions: which machine asked which under what number.
    questions: BTreeMap<u64, (usize, usize, u64)>,
    next_number: u64,
    gossiped: BTreeMap<u64, (String, Vec<u8>)>,
    next_call: CallId,
    trace: Sha256,
    pub(crate) steps: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) log: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(nodes: Vec<Node>, rng: Rng, links: Links, log: bool) -> World {
        let by_peer = nodes.iter().enumerate().map(|(at, node)| (node.peer, at)).collect();
        World {
            now: 1_800_000_000_000,
            nodes,
            rng,
            links,
            cut: BTreeSet::new(),
            by_peer,
            due: BTreeMap::new(),
            order: 0,
            questions: BTreeMap::new(),
            next_number: 1,
            gossiped: BTreeMap::new(),
            next_call: 1,
            trace: Sha256::new(),
            steps: 0,
            counts: BTreeMap::new(),
            log: log.then(Vec::new),
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The hash of everything that happened so far.
    pub(crate) fn trace(&self) -> [u8; 32] {
        self.trace.clone().finalize().into()
    }

    fn note(&mut self, line: &str) {
        self.trace.update(line.as_bytes());
        self.trace.update([b'\n']);
        if let Some(log) = &mut self.log {
            log.push(line.to_owned());
        }
    }

    fn later(&mut self, after_ms: u64, due: Due) {
        self.order += 1;
        let at = (self.now + after_ms, self.order);
        self.due.insert(at, due);
    }

    pub(crate) fn start(&mut self, at: usize) -> Result<(), String> {
        let effects = self.nodes[at].start(self.now, self.links.gossip)?;
        let address = format!("/sim/{at}");
        self.perform(at, effects);
        self.deliver(at, 0, NetInput::Listening(address));
        self.later(1, Due::Tick(at));
        Ok(())
    }

    /// A machine loses power; its peers notice a little later.
    pub(crate) fn died(&mut self, at: usize, back_after_ms: u64) {
        self.count("crashes");
        self.nodes[at].stop();
        let peers: Vec<PeerId> = std::mem::take(&mut self.nodes[at].links).into_iter().collect();
        let me = self.nodes[at].peer;
        for peer in peers {
            if let Some(other) = self.by_peer.get(&peer).copied()
                && self.nodes[other].links.remove(&me)
            {
                self.deliver(other, 5, NetInput::Disconnected(me));
            }
        }
        self.later(back_after_ms, Due::Restart(at));
    }

    pub(crate) fn reachable(&self, a: usize, b: usize) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b))) && self.nodes[a].engine.is_some() && self.nodes[b].engine.is_some()
    }

    /// Cuts or mends the way between two machines.
    pub(crate) fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        if !cut {
            self.cut.remove(&(a.min(b), a.max(b)));
            return;
        }
        self.cut.insert((a.min(b), a.max(b)));
        let (pa, pb) = (self.nodes[a].peer, self.nodes[b].peer);
        if self.nodes[a].links.remove(&pb) {
            self.deliver(a, 20, NetInput::Disconnected(pb));
        }
        if self.nodes[b].links.remove(&pa) {
            self.deliver(b, 30, NetInput::Disconnected(pa));
        }
    }

    fn deliver(&mut self, at: usize, after_ms: u64, input: NetInput) {
        self.later(after_ms, Due::Input(at, Box::new(Input::Net(input))));
    }

    /// Asks a machine something, as its user; the answer is there when it is ready.
    pub(crate) fn ask(&mut self, at: usize, command: Command) -> CallId {
        let call = self.next_call;
        self.next_call += 1;
        self.happen(at, Input::Command { call, command });
        call
    }

    /// A machine's answer, if it gave one.
    pub(crate) fn answer(&mut self, at: usize, call: CallId) -> Option<crate::node::Answer> {
        self.nodes[at].answers.remove(&call)
    }

    /// Lets time pass until nothing is due before `until`.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), String> {
        while let Some(entry) = self.due.first_entry() {
            let at = *entry.key();
            if at.0 > until {
                break;
            }
            let due = entry.remove();
            self.now = at.0;
            match due {
                Due::Tick(node) => {
                    if self.nodes[node].engine.is_some() {
                        self.happen(node, Input::Tick);
                        self.later(100, Due::Tick(node));
                    }
                }
                Due::Restart(node) => {
                    if self.nodes[node].engine.is_none() {
                        self.start(node)?;
                    }
                }
                Due::Input(node, input) => self.happen(node, *input),
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, at: usize, input: Input) {
        if self.nodes[at].engine.is_none() {
            return;
        }
        self.steps += 1;
        if !matches!(input, Input::Tick) {
            let line = format!("{} {} {}", self.now, self.nodes[at].name, describe(&input));
            self.note(&line);
        }
        match self.nodes[at].handle(self.now, input) {
            Some(effects) => {
                let dead = self.nodes[at].engine.is_none();
                self.perform(at, effects);
                if dead {
                    self.died(at, 500);
                }
            }
            None => self.died(at, 500),
        }
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Net(net) => self.net(at, net),
                Effect::Reply { call, result } => {
                    self.nodes[at].answers.insert(call, result);
                }
                Effect::Warn { code, message } => {
                    let line = format!("{} {} warns {code}: {message}", self.now, self.nodes[at].name);
                    self.note(&line);
                }
                Effect::Persist(_) | Effect::Progress { .. } | Effect::Workspace(_) => {}
            }
        }
    }

    fn delay(&mut self) -> u64 {
        let most = self.links.delay_ms;
        1 + self.rng.below(most)
    }

    fn net(&mut self, at: usize, effect: NetEffect) {
        match effect {
            NetEffect::Subscribe(topic) => {
                self.nodes[at].topics.insert(topic);
            }
            NetEffect::Unsubscribe(topic) => {
                self.nodes[at].topics.remove(&topic);
            }
            NetEffect::Publish { topic, data } => {
                let number = self.next_number;
                self.next_number += 1;
                self.nodes[at].seen.insert(number);
                self.gossiped.insert(number, (topic, data));
                self.spread(at, number);
            }
            NetEffect::Verdict { message, verdict } => {
                if verdict == Verdict::Accept {
                    self.spread(at, message);
                }
            }
            NetEffect::Dial { peer, .. } => self.dial(at, peer),
            NetEffect::Disconnect(_) | NetEffect::Keep(..) => {}
            NetEffect::Ask { peer, ask, body } => self.question(at, peer, ask, body),
            NetEffect::Answer { inbound, body } => {
                if let Some((asker, _, ask)) = self.questions.remove(&inbound)
                    && self.reachable(at, asker)
                {
                    let after = self.delay();
                    self.deliver(asker, after, NetInput::Answered { ask, result: Ok(body) });
                }
            }
            NetEffect::Pull { peer, ask, body } => {
                let number = self.next_number;
                self.next_number += 1;
                match self.by_peer.get(&peer).copied() {
                    Some(other) if self.reachable(at, other) => {
                        self.questions.insert(number, (at, other, ask));
                        let (me, after) = (self.nodes[at].peer, self.delay());
                        self.deliver(other, after, NetInput::PullAsked { peer: me, stream: number, body });
                    }
                    _ => self.deliver(at, 50, NetInput::PullEnded { ask, result: Err("unreachable".to_owned()) }),
                }
            }
            NetEffect::Serve { stream, plan } => self.serve(at, stream, plan),
        }
    }

    /// Gossip to every linked subscriber that has not had the message: lost, delayed, repeated.
    fn spread(&mut self, at: usize, number: u64) {
        let Some((topic, data)) = self.gossiped.get(&number).cloned() else { return };
        let me = self.nodes[at].peer;
        let linked: Vec<usize> = self.nodes[at].links.iter().filter_map(|p| self.by_peer.get(p).copied()).collect();
        for other in linked {
            if !self.nodes[other].topics.contains(&topic) || !self.reachable(at, other) {
                continue;
            }
            if self.rng.chance(self.links.loss) {
                self.count("gossip_lost");
                continue;
            }
            let copies = if self.rng.chance(self.links.repeat) { 2 } else { 1 };
            if copies == 1 && !self.nodes[other].seen.insert(number) {
                continue;
            }
            for _ in 0..copies {
                let after = self.delay();
                let (topic, data) = (topic.clone(), data.clone());
                self.deliver(other, after, NetInput::Gossip { peer: me, topic, data, message: number });
            }
            self.count("gossip");
        }
    }

    fn dial(&mut self, at: usize, peer: PeerId) {
        let Some(other) = self.by_peer.get(&peer).copied() else { return };
        let me = self.nodes[at].peer;
        if at == other || !self.reachable(at, other) {
            return;
        }
        let after = self.delay();
        self.nodes[at].links.insert(peer);
        self.nodes[other].links.insert(me);
        let connected = |peer, address: String, outbound| NetInput::Connected {
            peer,
            address,
            transport: "sim".to_owned(),
            outbound,
        };
        self.deliver(at, after, connected(peer, format!("/sim/{other}"), true));
        self.deliver(other, after, connected(me, format!("/sim/from/{at}"), false));
    }

    fn question(&mut self, at: usize, peer: PeerId, ask: u64, body: Vec<u8>) {
        let number = self.next_number;
        self.next_number += 1;
        let lost = self.rng.chance(self.links.loss);
        match self.by_peer.get(&peer).copied() {
            Some(other) if self.reachable(at, other) && !lost => {
                self.questions.insert(number, (at, other, ask));
                let (me, after) = (self.nodes[at].peer, self.delay());
                self.deliver(other, after, NetInput::Asked { peer: me, inbound: number, body });
            }
            _ => self.deliver(at, 400, NetInput::Answered { ask, result: Err("timeout".to_owned()) }),
        }
        self.count("questions");
    }

    fn serve(&mut self, at: usize, stream: u64, mut plan: ServePlan) {
        let Some((asker, _, ask)) = self.questions.remove(&stream) else { return };
        let mut after = self.delay();
        while let Ok(Some(body)) = serve_page(&self.nodes[at].disk, &mut plan) {
            if self.rng.chance(self.links.loss / 2.0) || !self.reachable(at, asker) {
                self.deliver(asker, after, NetInput::PullEnded { ask, result: Err("cut".to_owned()) });
                return;
            }
            self.deliver(asker, after, NetInput::Page { ask, body });
            after += self.delay();
        }
        self.deliver(asker, after, NetInput::PullEnded { ask, result: Ok(()) });
        self.count("pulls");
    }
}

/// One line of the trace.
fn describe(input: &Input) -> String {
    let hash = |bytes: &[u8]| {
        let hash = Sha256::digest(bytes);
        format!("{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
    };
    match input {
        Input::Net(NetInput::Gossip { peer, data, .. }) => format!("gossip from {} {}", peer.fmt_short(), hash(data)),
        Input::Net(NetInput::Asked { peer, body, .. }) => format!("asked by {} {}", peer.fmt_short(), hash(body)),
        Input::Net(NetInput::Answered { ask, result }) => match result {
            Ok(body) => format!("answer {ask} {}", hash(body)),
            Err(why) => format!("answer {ask} {why}"),
        },
        Input::Net(NetInput::Page { ask, body }) => format!("page {ask} {}", hash(body)),
        Input::Net(other) => format!("{other:?}").chars().take(120).collect(),
        other => format!("{other:?}").chars().take(200).collect(),
    }
}
