//! What lies between the machines: connections, messages under way, and what becomes of them.

use crate::rng::Rng;
use crate::world::World;
use engine::{NetEffect, NetInput, ServePlan, Verdict, serve_page};
use proto::{limits, wire};
use std::collections::{BTreeMap, BTreeSet};
use types::PeerId;

/// A question without an answer ends after this long.
const TIMEOUT_MS: u64 = 2_000;

/// How bad the links are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// Share of messages that are lost.
    pub(crate) loss: f64,
    /// Share of gossip that comes twice.
    pub(crate) repeat: f64,
    /// Every message takes 1 to this many milliseconds.
    pub(crate) delay_ms: u64,
    /// All messages take equally long: nothing overtakes.
    pub(crate) in_order: bool,
    pub(crate) gossip: bool,
}

/// A question under way: who asked whom, and the asker's number for it.
#[derive(Clone, Copy)]
struct Question {
    asker: usize,
    asked: usize,
    ask: u64,
    pull: bool,
}

/// The state of the network.
#[derive(Default)]
pub(crate) struct Wires {
    /// Ways on which nothing arrives: from, to.
    cut: BTreeSet<(usize, usize)>,
    pub(crate) by_peer: BTreeMap<PeerId, Vec<usize>>,
    questions: BTreeMap<u64, Question>,
    next_number: u64,
    pub(crate) gossiped: BTreeMap<u64, (String, Vec<u8>)>,
    /// The first welcome that was given: who got it, who gave it, the space's keys as they were wrapped.
    pub(crate) welcome: Option<(usize, usize, Vec<String>)>,
}

impl Wires {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// A message that can be gossiped.
    pub(crate) fn message(&mut self, topic: String, data: Vec<u8>) -> u64 {
        let number = self.number();
        self.gossiped.insert(number, (topic, data));
        number
    }
}

impl World {
    /// Whether what `a` sends reaches `b`.
    fn way(&self, a: usize, b: usize) -> bool {
        !self.wires.cut.contains(&(a, b)) && self.running(a) && self.running(b)
    }

    pub(crate) fn reachable(&self, a: usize, b: usize) -> bool {
        self.way(a, b) && self.way(b, a)
    }

    /// Nothing that `from` sends reaches `to` any more. When the other way is cut too, both notice.
    pub(crate) fn cut_way(&mut self, from: usize, to: usize) {
        self.wires.cut.insert((from, to));
        if self.wires.cut.contains(&(to, from)) {
            self.unlink(from, to);
        }
    }

    pub(crate) fn mend(&mut self, a: usize, b: usize) {
        self.wires.cut.remove(&(a, b));
        self.wires.cut.remove(&(b, a));
    }

    pub(crate) fn mend_all(&mut self) {
        self.wires.cut.clear();
    }

    fn linked_as(&self, at: usize, peer: PeerId) -> Vec<usize> {
        self.nodes[at].links.iter().copied().filter(|other| self.nodes[*other].peer == peer).collect()
    }

    /// The connection between two machines breaks: questions on it end, and who has no other connection is told.
    fn unlink(&mut self, a: usize, b: usize) {
        let on_it = |q: &Question| (q.asker, q.asked) == (a, b) || (q.asker, q.asked) == (b, a);
        let ended: Vec<u64> = self.wires.questions.iter().filter(|(_, q)| on_it(q)).map(|(n, _)| *n).collect();
        for question in ended.iter().filter_map(|n| self.wires.questions.remove(n)).collect::<Vec<_>>() {
            let (ask, why) = (question.ask, "connection closed".to_owned());
            self.deliver(
                question.asker,
                10,
                if question.pull {
                    NetInput::PullEnded { ask, result: Err(why) }
                } else {
                    NetInput::Answered { ask, result: Err(why) }
                },
            );
        }
        for (at, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].peer;
            if self.nodes[at].links.remove(&other) && self.linked_as(at, peer).is_empty() {
                self.deliver(at, 20, NetInput::Disconnected(peer));
            }
        }
    }

    pub(crate) fn unlink_all(&mut self, at: usize) {
        for other in self.nodes[at].links.clone() {
            self.unlink(at, other);
        }
    }

    fn delay(&mut self) -> u64 {
        if self.links.in_order { self.links.delay_ms } else { 1 + self.rng.below(self.links.delay_ms) }
    }

    fn lost(&mut self) -> bool {
        let loss = self.links.loss;
        self.rng.chance(loss)
    }

    pub(crate) fn net(&mut self, at: usize, effect: NetEffect) {
        match effect {
            NetEffect::Subscribe(topic) => {
                self.nodes[at].topics.insert(topic);
            }
            NetEffect::Unsubscribe(topic) => {
                self.nodes[at].topics.remove(&topic);
            }
            NetEffect::Publish { topic, data } => {
                let number = self.wires.message(topic, data);
                self.nodes[at].seen.insert(number);
                self.spread(at, number);
            }
            NetEffect::Verdict { message, verdict } => {
                // A message that comes twice is passed on once.
                if verdict == Verdict::Accept && self.nodes[at].passed_on.insert(message) {
                    self.spread(at, message);
                }
            }
            NetEffect::Dial { peer, .. } => self.dial(at, peer),
            NetEffect::Disconnect(_) | NetEffect::Keep(..) => {}
            NetEffect::Ask { peer, ask, body } => self.question(at, peer, ask, body),
            NetEffect::Answer { inbound, body } => self.reply(at, inbound, body),
            NetEffect::Pull { peer, ask, body } => self.pull(at, peer, ask, body),
            NetEffect::Serve { stream, plan } => self.serve(at, stream, plan),
        }
    }

    /// Gossip to every linked subscriber that has not had the message: lost, delayed, repeated.
    pub(crate) fn spread(&mut self, at: usize, number: u64) {
        let Some((topic, data)) = self.wires.gossiped.get(&number).cloned() else { return };
        let me = self.nodes[at].peer;
        for other in self.nodes[at].links.clone() {
            if !self.nodes[other].topics.contains(&topic) || !self.way(at, other) {
                continue;
            }
            if self.lost() {
                self.count("gossip_lost");
                continue;
            }
            let repeat = self.links.repeat;
            let copies = if self.rng.chance(repeat) { 2 } else { 1 };
            if !self.nodes[other].seen.insert(number) && copies == 1 {
                continue;
            }
            if copies == 2 {
                self.count("duplicates");
            }
            for _ in 0..copies {
                let after = self.delay();
                let (topic, data) = (topic.clone(), data.clone());
                self.deliver(other, after, NetInput::Gossip { peer: me, topic, data, message: number });
            }
        }
    }

    fn dial(&mut self, at: usize, peer: PeerId) {
        let all = self.wires.by_peer.get(&peer).cloned().unwrap_or_default();
        let free: Vec<usize> = all
            .into_iter()
            .filter(|o| *o != at && self.reachable(at, *o) && !self.nodes[at].links.contains(o))
            .collect();
        let Some(other) = self.rng.pick(&free).copied() else { return };
        let me = self.nodes[at].peer;
        let first = (self.linked_as(at, peer).is_empty(), self.linked_as(other, me).is_empty());
        self.nodes[at].links.insert(other);
        self.nodes[other].links.insert(at);
        let connected = |peer, address: String, outbound| NetInput::Connected {
            peer,
            address,
            transport: "sim".to_owned(),
            outbound,
        };
        let after = self.delay();
        if first.0 {
            self.deliver(at, after, connected(peer, format!("/sim/{other}"), true));
        }
        if first.1 {
            self.deliver(other, after, connected(me, format!("/sim/from/{at}"), false));
        }
    }

    /// Whom a message to a peer reaches: one of the machines that answer to its id.
    fn route(&mut self, at: usize, peer: PeerId) -> Option<usize> {
        let linked = self.linked_as(at, peer);
        self.rng.pick(&linked).copied()
    }

    fn question(&mut self, at: usize, peer: PeerId, ask: u64, body: Vec<u8>) {
        let number = self.wires.number();
        let lost = self.lost();
        match self.route(at, peer) {
            Some(other) if self.way(at, other) && !lost => {
                self.wires.questions.insert(number, Question { asker: at, asked: other, ask, pull: false });
                let (me, after) = (self.nodes[at].peer, self.delay());
                self.deliver(other, after, NetInput::Asked { peer: me, inbound: number, body });
            }
            _ => self.deliver(at, TIMEOUT_MS, NetInput::Answered { ask, result: Err("timeout".to_owned()) }),
        }
    }

    fn reply(&mut self, at: usize, inbound: u64, body: Vec<u8>) {
        let Some(Question { asker, asked, ask, .. }) = self.wires.questions.remove(&inbound) else { return };
        if asked != at {
            return;
        }
        let body = self.tampered_answer(at, asker, body);
        if self.way(at, asker) && !self.lost() {
            let after = self.delay();
            self.deliver(asker, after, NetInput::Answered { ask, result: Ok(body) });
        } else {
            self.count("answers_lost");
            self.deliver(asker, TIMEOUT_MS, NetInput::Answered { ask, result: Err("timeout".to_owned()) });
        }
    }

    /// A hostile machine tells of ops that do not exist.
    fn tampered_answer(&mut self, at: usize, asker: usize, body: Vec<u8>) -> Vec<u8> {
        use wire::response::Body as Say;
        let said = proto::decode::<wire::Response>(&body, limits::RPC_BYTES_MAX).ok().and_then(|r| r.body);
        match said {
            Some(Say::Welcome(welcome)) if self.wires.welcome.is_none() => {
                self.wires.welcome = Some((asker, at, welcome.wrapped_keys));
                body
            }
            Some(Say::Heads(mut heads)) if self.nodes[at].hostile && self.rng.chance(0.2) => {
                self.count("lies_about_heads");
                let Some(mut tip) = self.rng.pick(&heads.tips).cloned() else { return body };
                tip.seq += self.rng.below(50);
                tip.id = self.rng.bytes::<32>().to_vec();
                heads.tips.push(tip);
                proto::encode(&wire::Response { body: Some(Say::Heads(heads)) })
            }
            _ => body,
        }
    }

    fn pull(&mut self, at: usize, peer: PeerId, ask: u64, body: Vec<u8>) {
        let number = self.wires.number();
        match self.route(at, peer) {
            Some(other) if self.way(at, other) => {
                self.wires.questions.insert(number, Question { asker: at, asked: other, ask, pull: true });
                let (me, after) = (self.nodes[at].peer, self.delay());
                self.deliver(other, after, NetInput::PullAsked { peer: me, stream: number, body });
            }
            _ => self.deliver(at, TIMEOUT_MS, NetInput::PullEnded { ask, result: Err("unreachable".to_owned()) }),
        }
    }

    fn serve(&mut self, at: usize, stream: u64, mut plan: ServePlan) {
        let Some(Question { asker, ask, .. }) = self.wires.questions.remove(&stream) else { return };
        let mut after = self.delay();
        while let Ok(Some(body)) = serve_page(&self.nodes[at].disk.now, &mut plan) {
            let loss = self.links.loss / 2.0;
            if self.rng.chance(loss) || !self.way(at, asker) {
                self.count("pulls_cut_off");
                self.deliver(asker, after + 50, NetInput::PullEnded { ask, result: Err("cut".to_owned()) });
                return;
            }
            let body = if self.nodes[at].hostile { self.tampered_page(body) } else { body };
            self.deliver(asker, after, NetInput::Page { ask, body });
            after += self.delay();
        }
        self.deliver(asker, after, NetInput::PullEnded { ask, result: Ok(()) });
        self.count("pulls");
    }

    /// A hostile machine leaves ops out, and damages others.
    fn tampered_page(&mut self, body: Vec<u8>) -> Vec<u8> {
        let Ok(mut page) = proto::decode::<wire::PullPage>(&body, limits::FRAME_BYTES_MAX) else { return body };
        let mut events = Vec::new();
        for event in std::mem::take(&mut page.events) {
            match self.rng.below(100) {
                0..20 => self.count("withheld"),
                20..40 => {
                    self.count("poisoned");
                    events.push(damaged(&event, &mut self.rng));
                }
                _ => events.push(event),
            }
        }
        page.events = events;
        for part in &mut page.parts {
            let at = self.rng.below(part.len().max(1) as u64) as usize;
            if let (true, Some(byte)) = (self.rng.chance(0.3), part.get_mut(at)) {
                *byte ^= 1;
                self.count("poisoned_parts");
            }
        }
        proto::encode(&page)
    }
}

/// An event whose signature has a wrong character: its id is still the true one.
pub(crate) fn damaged(event: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(event) else { return event.to_vec() };
    let mut sig: Vec<u8> = json["sig"].as_str().unwrap_or_default().as_bytes().to_vec();
    if !sig.is_empty() {
        let at = rng.below(sig.len() as u64) as usize;
        sig[at] = if sig[at] == b'0' { b'1' } else { b'0' };
    }
    json["sig"] = String::from_utf8_lossy(&sig).into_owned().into();
    json.to_string().into_bytes()
}
