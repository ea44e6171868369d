//! A member that means harm: it signs what no engine would.

use super::Play;
use super::charters::Papers;
use crate::disk::OpName;
use crate::model::{FIELDS, How};
use crate::rng::Rng;
use crate::world::World;
use beads::{Unit, Write};
use engine::{Input, NetInput, Op};
use identity::{Event, NostrKey, kinds};
use proto::wire;
use serde_json::json;
use types::{Dot, EventId, Hlc, PubKey, UnixMs, Writer};

/// The farthest ahead that it stamps an op which is to be due some time, in milliseconds.
pub(super) const AHEAD_MS_MAX: u64 = 15 * 60_000;

/// Which machine it is, and the chain that it writes beside its engine's.
pub(super) struct Mallory {
    pub(super) at: usize,
    writer: Writer,
    last: Option<(u64, EventId)>,
    /// Ops that it stamped so far ahead that nobody will live to see them.
    pub(super) never_due: u64,
}

impl Mallory {
    pub(super) fn new(at: usize, world: &World, rng: &mut Rng) -> Mallory {
        let incarnation = u64::from_be_bytes(rng.bytes());
        let writer = Writer { host: PubKey(world.nodes[at].npub), incarnation };
        Mallory { at, writer, last: None, never_due: 0 }
    }

    fn fresh_chain(&mut self, rng: &mut Rng) {
        self.writer.incarnation = u64::from_be_bytes(rng.bytes());
        self.last = None;
    }
}

/// Seals and signs a body as an op of the space.
pub(super) fn op_event(papers: &Papers, key: &NostrKey, body: &[u8], now: UnixMs, rng: &mut Rng) -> Event {
    let h = identity::h_tag(&papers.key);
    let content = identity::seal(&papers.key, &key.public(), kinds::BEAD_OP, &h, body, rng.bytes());
    let tag = |name: &str, value: String| vec![name.to_owned(), value];
    let tags = vec![tag("v", "1".to_owned()), tag("h", h), tag("k", papers.key.id().to_string())];
    key.sign(kinds::BEAD_OP, now.secs(), tags, content, rng.bytes())
}

fn name_of(op: &Op, event: &Event) -> OpName {
    OpName { host: op.writer.host.0, incarnation: op.writer.incarnation, seq: op.seq, id: event.id().0 }
}

impl Play {
    /// One hostile deed of a member.
    pub(super) fn mallory_acts(&mut self) -> Result<(), String> {
        match self.rng.below(10) {
            0..4 => self.overwrite(0),
            4..7 => self.equivocate(),
            7 => {
                // Just inside of what is taken in at once, or outside.
                let ahead = 500_000 + self.rng.below(AHEAD_MS_MAX - 500_000);
                self.world.count("ops_from_the_future");
                self.overwrite(ahead)
            }
            8 => self.stamp_the_end_of_time(),
            _ => {
                // Its chain may have a hole by now that nobody can fill.
                if let Some(mallory) = &mut self.mallory {
                    mallory.fresh_chain(&mut self.rng);
                }
                self.overwrite(0)
            }
        }
    }

    /// A write to some field of some bead, over what is shown to somebody: the next op of its chain.
    fn forged(&mut self, ahead_ms: u64) -> Option<(Op, Event, Forged)> {
        let honest = self.rng.below(self.world.nodes.len() as u64) as usize;
        let (id, shown) = self.some_bead(honest)?;
        let field = *self.rng.pick(&FIELDS)?;
        let value = self.fresh("evil");
        let over = shown["bead"][field].as_str().map(str::to_owned);
        let seen = over.as_deref().and_then(|over| self.model.op_of(&id, field, over));
        let dot = |op: OpName| {
            let writer = Writer { host: PubKey(op.host), incarnation: op.incarnation };
            Dot::new(writer, op.seq, &EventId(op.id))
        };
        let write = Write {
            id: id.parse().ok()?,
            birth: shown["births"][0].as_str()?.parse().ok()?,
            unit: format!("field:{field}").parse::<Unit>().ok()?,
            value: Some(json!(value)),
            replaces: seen.map(dot).into_iter().collect(),
            baseline: None,
        };
        let over = over.filter(|_| seen.is_some());
        let (papers, mallory) = (self.papers.as_ref()?, self.mallory.as_ref()?);
        let node = &self.world.nodes[mallory.at];
        let op = Op {
            writer: mallory.writer,
            seq: mallory.last.map_or(0, |(seq, _)| seq) + 1,
            prev: mallory.last.map(|(_, id)| id),
            hlc: Hlc::new(UnixMs(self.world.now.saturating_add(ahead_ms)), 0),
            charter: papers.chain(&node.disk.now).ok()?.head(),
            actor: "mallory".to_owned(),
            writes: vec![write],
            unknown_writes: 0,
        };
        let event = op_event(papers, node.host_key().nostr(), &op.encode(), UnixMs(self.world.now), &mut self.rng);
        Some((op, event, Forged { id, field, value, over }))
    }

    fn remember(&mut self, op: &Op, event: &Event, forged: Forged) {
        let how = How { sure: false, op: Some(name_of(op, event)) };
        self.model.wrote(&forged.id, forged.field, &forged.value, forged.over, how);
    }

    /// Overwrites what an honest author wrote, claiming to have seen it.
    fn overwrite(&mut self, ahead_ms: u64) -> Result<(), String> {
        let Some((op, event, forged)) = self.forged(ahead_ms) else { return Ok(()) };
        self.remember(&op, &event, forged);
        let to = self.rng.below(self.world.nodes.len() as u64) as usize;
        self.whisper(to, &event);
        if let Some(mallory) = &mut self.mallory {
            mallory.last = Some((op.seq, event.id()));
        }
        Ok(())
    }

    /// Two ops with one number, each to another machine.
    fn equivocate(&mut self) -> Result<(), String> {
        let Some((one, first, forged)) = self.forged(0) else { return Ok(()) };
        self.remember(&one, &first, forged);
        let Some((two, second, forged)) = self.forged(0) else { return Ok(()) };
        self.remember(&two, &second, forged);
        let n = self.world.nodes.len() as u64;
        let (a, b) = (self.rng.below(n) as usize, self.rng.below(n) as usize);
        self.whisper(a, &first);
        self.whisper(b, &second);
        self.world.count("equivocations");
        let goes_on = self.rng.chance(0.5);
        let event = if goes_on { first } else { second };
        if let Some(mallory) = &mut self.mallory {
            mallory.last = Some((one.seq, event.id()));
        }
        Ok(())
    }

    /// An op with the highest stamp that there is. Its chain ends there.
    fn stamp_the_end_of_time(&mut self) -> Result<(), String> {
        let Some((_, event, _)) = self.forged(u64::MAX) else { return Ok(()) };
        let n = self.world.nodes.len() as u64;
        let to = self.rng.below(n) as usize;
        self.whisper(to, &event);
        self.world.count("ops_never_due");
        if let Some(mallory) = &mut self.mallory {
            mallory.never_due += 1;
            mallory.fresh_chain(&mut self.rng);
        }
        Ok(())
    }

    /// Hands an event to one machine.
    fn whisper(&mut self, to: usize, event: &Event) {
        let (Some(papers), Some(mallory)) = (&self.papers, &self.mallory) else { return };
        let topic = papers.topic();
        let data = proto::encode(&wire::Gossip { events: vec![event.to_json()] });
        let message = self.world.wires.message(topic.clone(), data.clone());
        let peer = self.world.nodes[mallory.at].peer;
        self.world.nodes[to].seen.insert(message);
        let line = format!("mallory tells {} of {}", self.world.nodes[to].name, event.id().fmt_short());
        self.world.note(&line);
        self.world.happen(to, Input::Net(NetInput::Gossip { peer, topic, data, message }));
    }

    /// A signed event of a member that no machine has, for what is to be wrong with it only in one place.
    pub(super) fn valid_op(&mut self) -> Option<(Op, Event)> {
        let (op, event, _) = self.forged(0)?;
        Some((op, event))
    }
}

/// What a forged op writes.
struct Forged {
    id: String,
    field: &'static str,
    value: String,
    over: Option<String>,
}
