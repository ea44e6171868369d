//! Promise 8: bad input is answered with a typed no, and changes nothing. Every kind of it, at any moment of a run.

use super::Play;
use super::mallory::op_event;
use crate::check::whole;
use crate::disk::records;
use crate::links::damaged;
use engine::{Command, Effect, Input, NetEffect, NetInput, Verdict};
use identity::{Charter, Event, NostrKey, kinds};
use proto::{limits, wire};
use serde_json::{Value, json};
use types::{PeerId, Table, UnixMs};

/// Something bad, and what must come of it.
struct Bad {
    input: NetInput,
    /// The counter that goes up.
    counter: &'static str,
    /// The answer.
    answer: Must,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    Verdict(Verdict),
    Refusal,
}

impl Play {
    /// Hands a machine something bad and looks what becomes of it.
    pub(super) fn hostile_input(&mut self, at: usize) -> Result<(), String> {
        if !self.world.running(at) || !self.joined.contains(&at) || self.world.nodes[at].hostile {
            return Ok(());
        }
        let kind = if self.options.bug == Some(super::Bug::HostileTaken) { 1 } else { self.rng.below(19) };
        let Some(bad) = self.bad(at, kind) else { return Ok(()) };
        let (counter, answer) = (bad.counter, bad.answer);
        let name = self.world.nodes[at].name.clone();
        self.world.note(&format!("{name} is given something bad: {counter}"));
        self.world.flush(at);
        let counted = self.counter(at, counter);
        let before = whole(&mut self.world, at);
        let now = self.world.now;
        let wrote = self.world.nodes[at].handle(now, Input::Net(bad.input));
        let held = std::mem::take(&mut self.world.nodes[at].held);
        self.world.steps += 1;
        if wrote || whole(&mut self.world, at) != before {
            return Err(format!("{name} was changed by hostile input that should be refused as {counter}"));
        }
        if self.counter(at, counter) != counted + 1 {
            return Err(format!("{name} did not count hostile input as {counter}"));
        }
        if !held.iter().any(|effect| is_answer(effect, answer)) {
            return Err(format!("{name} met {counter} with {held:?}, not with {answer:?}"));
        }
        self.world.count("hostile_inputs");
        Ok(())
    }

    fn counter(&mut self, at: usize, counter: &str) -> u64 {
        let status = self.world.query(at, Command::Status {}).and_then(Result::ok).unwrap_or_default();
        status["counters"][counter].as_u64().unwrap_or(0)
    }

    fn bad(&mut self, at: usize, kind: u64) -> Option<Bad> {
        if kind >= 14 {
            return Some(self.bad_question(kind));
        }
        let (counter, verdict, event) = self.bad_event(at, kind)?;
        let data = match event {
            Some(event) => proto::encode(&wire::Gossip { events: vec![event] }),
            None => self.rng.bytes::<64>().iter().map(|b| b | 0x80).collect(),
        };
        let (topic, peer) = (self.papers.as_ref()?.topic(), self.stranger());
        let message = self.world.wires.message(topic.clone(), data.clone());
        let input = NetInput::Gossip { peer, topic, data, message };
        Some(Bad { input, counter, answer: Must::Verdict(verdict) })
    }

    fn stranger(&mut self) -> PeerId {
        PeerId::from_ed25519(self.rng.bytes())
    }

    /// An event with something wrong: the counter, the verdict, its bytes (`None`: not even a message).
    fn bad_event(&mut self, at: usize, kind: u64) -> Option<(&'static str, Verdict, Option<Vec<u8>>)> {
        let (mut op, good) = self.valid_op()?;
        let now = UnixMs(self.world.now);
        let key = self.world.nodes[self.mallory.as_ref()?.at].host_key();
        let stranger = NostrKey::generate(self.rng.bytes());
        let mut rng = self.rng.fork();
        let papers = self.papers.as_ref()?;
        let body: Value = serde_json::from_slice(&op.encode()).ok()?;
        let sign = |body: &Value, rng: &mut crate::rng::Rng| {
            op_event(papers, key.nostr(), body.to_string().as_bytes(), now, rng).to_json()
        };
        let with = |field: &str, value: Value| {
            let mut body = body.clone();
            body[field] = value;
            body
        };
        let json: Value = serde_json::from_slice(&good.to_json()).ok()?;
        let tags = good.tags().to_vec();
        let kinded =
            |kind, tags, content: &str| key.nostr().sign(kind, now.secs(), tags, content.to_owned(), [3; 32]).to_json();
        use Verdict::{Ignore, Reject};
        Some(match kind {
            0 => ("bad_signature", Reject, Some(damaged(&self.stored(at, &mut rng)?, &mut rng))),
            1 if self.options.bug == Some(super::Bug::HostileTaken) => ("bad_signature", Reject, Some(good.to_json())),
            1 => ("bad_signature", Reject, Some(damaged(&good.to_json(), &mut rng))),
            2 => ("wrong_event_id", Reject, Some(replaced(json, "content", json!("other")))),
            3 => ("wrong_event_id", Reject, Some(replaced(json, "created_at", json!(1)))),
            4 => ("malformed_event", Reject, Some(rng.bytes::<100>().to_vec())),
            5 => ("event_too_large", Reject, Some(vec![b' '; limits::EVENT_BYTES_MAX + 1])),
            6 => ("malformed_gossip", Reject, None),
            7 => {
                op.writer.host = stranger.public();
                op.charter = papers.chain(&self.world.nodes[at].disk.now).ok()?.head();
                ("unknown_author", Ignore, Some(op_event(papers, &stranger, &op.encode(), now, &mut rng).to_json()))
            }
            8 => ("unsealable", Ignore, Some(kinded(kinds::BEAD_OP, tags, "AAAA"))),
            9 => {
                let mut tags = tags;
                tags.iter_mut().filter(|t| t[0] == "h").for_each(|t| t[1] = "00".repeat(16));
                ("wrong_space", Ignore, Some(kinded(kinds::BEAD_OP, tags, good.content())))
            }
            10 => ("malformed_op", Ignore, Some(sign(&with("s", json!(0)), &mut rng))),
            11 => {
                ("malformed_op", Ignore, Some(sign(&with("b", json!([{"id": "a\nb", "n": "x", "w": []}])), &mut rng)))
            }
            12 => ("newer_op_version", Ignore, Some(sign(&with("v", json!(9)), &mut rng))),
            _ => self.not_the_owners(at).map(|event| ("charter_not_owner", Ignore, Some(event)))?,
        })
    }

    /// Some op that this machine has.
    fn stored(&self, at: usize, rng: &mut crate::rng::Rng) -> Option<Vec<u8>> {
        let ops = records(&self.world.nodes[at].disk.now, Table::Ops);
        rng.pick(&ops).map(|(_, event)| event.clone())
    }

    /// A charter version that a member signed who is not the owner: it makes itself a maintainer.
    fn not_the_owners(&mut self, at: usize) -> Option<Vec<u8>> {
        let key = self.world.nodes[self.mallory.as_ref()?.at].host_key();
        let mut rng = self.rng.fork();
        let papers = self.papers.as_ref()?;
        let mut draft: Charter = papers.chain(&self.world.nodes[at].disk.now).ok()?.draft();
        draft.members.iter_mut().for_each(|m| m.roles = vec![identity::Role::Maintainer]);
        draft.removed.clear();
        let sealed = Some((&papers.key, &papers.key, rng.bytes()));
        let event: Event = draft.sign(key.nostr(), UnixMs(self.world.now).secs(), sealed, None, rng.bytes()).ok()?;
        Some(event.to_json())
    }

    /// What a stranger may ask, and get no answer to.
    fn bad_question(&mut self, kind: u64) -> Bad {
        use wire::request::Body as Ask;
        let peer = self.stranger();
        let ask = |counter, body: Vec<u8>| Bad {
            input: NetInput::Asked { peer, inbound: 0, body },
            counter,
            answer: Must::Refusal,
        };
        let h = self.papers.as_ref().map(|p| identity::h_tag(&p.key)).unwrap_or_default();
        let request = |body| proto::encode(&wire::Request { body: Some(body) });
        match kind {
            14 => ask("malformed_request", self.rng.bytes::<64>().iter().map(|b| b | 0x80).collect()),
            15 => ask(
                "bad_card",
                request(Ask::Hello(wire::Hello { version: 1, card: vec![7; 90], ..Default::default() })),
            ),
            16 => ask("request_refused", request(Ask::Heads(wire::Heads { h, ..Default::default() }))),
            17 => ask("request_refused", request(Ask::Charter(wire::CharterQuery { h }))),
            _ => {
                let (ticket, proof) = (self.rng.bytes::<16>().to_vec(), self.rng.bytes::<32>().to_vec());
                let join = wire::Join { h, ticket, proof, card: vec![1], name: "x".to_owned() };
                ask("join_refused", request(Ask::Join(join)))
            }
        }
    }

    /// Something that was gossiped before comes again, from somebody else.
    pub(super) fn replay(&mut self, to: usize) -> Result<(), String> {
        let all: Vec<u64> = self.world.wires.gossiped.keys().copied().collect();
        let Some(number) = self.rng.pick(&all).copied() else { return Ok(()) };
        let Some((topic, data)) = self.world.wires.gossiped.get(&number).cloned() else { return Ok(()) };
        let peer = self.stranger();
        let message = self.world.wires.message(topic.clone(), data.clone());
        self.world.happen(to, Input::Net(NetInput::Gossip { peer, topic, data, message }));
        self.world.count("replays");
        Ok(())
    }
}

fn replaced(mut event: Value, field: &str, value: Value) -> Vec<u8> {
    event[field] = value;
    event.to_string().into_bytes()
}

fn is_answer(effect: &Effect, must: Must) -> bool {
    match (effect, must) {
        (Effect::Net(NetEffect::Verdict { verdict, .. }), Must::Verdict(wanted)) => *verdict == wanted,
        (Effect::Net(NetEffect::Answer { body, .. }), Must::Refusal) => {
            let said = proto::decode::<wire::Response>(body, limits::RPC_BYTES_MAX).ok().and_then(|r| r.body);
            matches!(said, Some(wire::response::Body::Refusal(_)))
        }
        _ => false,
    }
}
