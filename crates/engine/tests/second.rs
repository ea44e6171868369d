//! A space on the owner's machine with a second member, whose ops and messages are made by hand.

use crate::rig::{Rig, boot};
use engine::{BeadChange, Command, Input, NetInput, Op, SpaceRef};
use identity::{Charter, CharterChain, Cutoff, Event, HostKey, Member, OwnerKey, Removed, Role, kinds};
use proto::wire;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use types::{Dot, EventId, Hlc, PeerId, SpaceId, Table, UnixMs, View, Writer};

/// A public space with one bead, `a-1`, titled `t`.
pub struct World {
    pub rig: Rig,
    pub space: SpaceId,
    pub member: HostKey,
    /// Its last op.
    pub last: Option<(u64, EventId)>,
}

pub const INCARNATION: u64 = 7;

pub fn at() -> SpaceRef {
    SpaceRef { space: Some("open".to_owned()), cwd: None }
}

impl World {
    pub fn new() -> World {
        let mut rig = Rig::new();
        let made = rig.ask(Command::SpaceNew { name: "open".to_owned(), public: true }).unwrap();
        let space = made["id"].as_str().unwrap().parse().unwrap();
        let (title, id) = ("t".to_owned(), Some("a-1".to_owned()));
        rig.ask(Command::Add { at: at(), title, id, prefix: None, change: BeadChange::default() }).unwrap();
        let mut world = World { rig, space, member: HostKey::generate([5; 32], [6; 32]), last: None };
        world.enrol(Role::Writer);
        world
    }

    pub fn enrol(&mut self, role: Role) {
        let (npub, peer_id) = (self.member.npub(), self.member.peer_id());
        self.amend(|draft| {
            let owner = OwnerKey::generate([3; 32], [4; 32]).npub();
            draft.members.retain(|m| m.npub != npub);
            let (name, unknown) = ("second".to_owned(), Map::new());
            draft.members.push(Member { npub, peer_id, name, owner, roles: vec![role], unknown });
        });
    }

    /// The member is removed; `last` counts as its last op.
    pub fn cut_off(&mut self, last: Option<(u64, EventId)>) {
        let npub = self.member.npub();
        let cutoff = |(seq, id)| Cutoff { incarnation: INCARNATION, seq, id: Some(id) };
        let cutoffs = last.map(cutoff).into_iter().collect();
        self.amend(|draft| {
            draft.members.retain(|m| m.npub != npub);
            draft.removed.push(Removed { npub, cutoffs });
        });
    }

    pub fn records(&self, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all = BTreeMap::new();
        let each = &mut |key: &[u8], value: &[u8]| {
            all.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        };
        self.rig.store.scan(table, &self.space.0, &self.space.0, each).unwrap();
        all
    }

    pub fn chain(&self) -> CharterChain {
        let events: Vec<Event> =
            self.records(Table::Charters).values().map(|json| Event::verify(json).unwrap()).collect();
        CharterChain::from_events(&events, &|_| None).unwrap()
    }

    /// The owner's next charter version.
    pub fn amend(&mut self, change: impl FnOnce(&mut Charter)) {
        let mut draft = self.chain().draft();
        change(&mut draft);
        let event = self.sign(&draft);
        self.give(&event);
        assert!(self.chain().knows(&event.id()), "{}", self.counters());
    }

    /// A charter version, signed by the owner.
    pub fn sign(&self, draft: &Charter) -> Event {
        let owner = OwnerKey::generate([3; 32], [4; 32]);
        draft.sign(owner.nostr(), UnixMs(self.rig.now).secs(), None, Some(self.space), [0; 32]).unwrap()
    }

    pub fn give(&mut self, event: &Event) {
        let data = proto::encode(&wire::Gossip { events: vec![event.to_json()] });
        let (peer, topic) = (PeerId::from_ed25519([9; 32]), identity::public_topic(&self.space));
        self.rig.input(Input::Net(NetInput::Gossip { peer, topic, data, message: 1 }));
    }

    /// An op of the member on what it wrote last; the member's view of the charter is the owner's.
    pub fn op(&self, title: &str, replaces: Vec<Dot>) -> (Op, Event) {
        let birth = self.shown()["births"][0].as_str().unwrap().parse().unwrap();
        let write = beads::Write {
            id: "a-1".parse().unwrap(),
            birth,
            unit: "field:title".parse().unwrap(),
            value: Some(json!(title)),
            replaces,
            baseline: None,
        };
        let op = Op {
            writer: Writer { host: self.member.npub(), incarnation: INCARNATION },
            seq: self.last.map_or(0, |(seq, _)| seq) + 1,
            prev: self.last.map(|(_, id)| id),
            hlc: Hlc::new(UnixMs(self.rig.now), 0),
            charter: self.chain().head(),
            actor: "second".to_owned(),
            writes: vec![write],
            unknown_writes: 0,
        };
        let tags = [["v", "1"], ["h", &self.space.to_string()]].map(|tag| tag.map(str::to_owned).to_vec()).to_vec();
        let body = String::from_utf8(op.encode()).unwrap();
        let now = UnixMs(self.rig.now).secs();
        let event = self.member.nostr().sign(kinds::BEAD_OP, now, tags, body, [0; 32]);
        (op, event)
    }

    /// The member writes a title, over these dots.
    pub fn writes(&mut self, title: &str, replaces: Vec<Dot>) -> (Dot, Event) {
        let (op, event) = self.op(title, replaces);
        self.rig.now += 1_000;
        self.give(&event);
        self.last = Some((op.seq, event.id()));
        (Dot::new(op.writer, op.seq, &event.id()), event)
    }

    pub fn shown(&self) -> Value {
        let (mut engine, _) = boot(&self.rig.store, &mut crate::rig::Seeded(1), self.rig.now, 7);
        let command = Command::Show { at: at(), id: "a-1".to_owned() };
        let effects = engine.handle(
            &self.rig.store,
            UnixMs(self.rig.now),
            &mut crate::rig::Seeded(2),
            Input::Command { call: 1, command },
        );
        effects
            .into_iter()
            .find_map(|e| match e {
                engine::Effect::Reply { result, .. } => Some(result.unwrap()),
                _ => None,
            })
            .unwrap()
    }

    /// The live titles, the shown one first: of the running engine, and of one that starts from its store.
    pub fn titles(&mut self) -> Vec<String> {
        let now = self.rig.ask(Command::Show { at: at(), id: "a-1".to_owned() }).unwrap();
        assert_eq!(now, self.shown(), "a restart shows the same");
        let texts = |values: &Value| -> Vec<String> {
            values.as_array().unwrap().iter().filter_map(|v| v["value"].as_str().map(str::to_owned)).collect()
        };
        match now["conflicts"].as_array().unwrap().first() {
            Some(conflict) => texts(&conflict["values"]),
            None => vec![now["bead"]["title"].as_str().unwrap().to_owned()],
        }
    }

    pub fn line(&mut self) -> (Value, Value, Value) {
        let line = self.rig.ask(Command::SpaceShow { at: at() }).unwrap();
        (line["digest"].clone(), line["state_digest"].clone(), line["ops"].clone())
    }

    pub fn counters(&mut self) -> Value {
        self.rig.ask(Command::Status {}).unwrap()["counters"].clone()
    }

    /// The dot of the owner's own title.
    pub fn owners_dot(&self) -> Dot {
        let ops = self.records(Table::Ops);
        let key = ops.keys().next().unwrap();
        let (writer, seq, id) = engine::records::op::parse(key).unwrap();
        Dot::new(writer, seq, &id)
    }
}
