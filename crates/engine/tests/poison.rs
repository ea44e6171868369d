//! A hostile member damages what it passes on, or stamps what it writes with the end of time: other ops, and the same
//! ones from others, must still be asked for.

use crate::rig::Seeded;
use crate::second::World;
use engine::{Effect, Input, NetEffect, NetInput, Op};
use identity::{Event, HostCard};
use proto::wire;
use serde_json::{Value, json};
use types::UnixMs;

impl World {
    /// Lets something come from the network; says which pull it led to.
    fn net(&mut self, input: NetInput) -> Option<u64> {
        let now = UnixMs(self.rig.now);
        let effects = self.rig.engine.handle(&self.rig.store, now, &mut Seeded(77), Input::Net(input));
        let mut pull = None;
        for effect in effects {
            match effect {
                Effect::Persist(puts) => self.rig.store.apply(&puts),
                Effect::Net(NetEffect::Pull { ask, .. }) => pull = Some(ask),
                _ => {}
            }
        }
        pull
    }

    fn asked(&mut self, body: wire::request::Body) -> Option<u64> {
        self.rig.now += 1_000;
        let (peer, body) = (self.member.peer_id(), proto::encode(&wire::Request { body: Some(body) }));
        self.net(NetInput::Asked { peer, inbound: 1, body })
    }

    /// The member is connected and has said who it is.
    fn greeted() -> World {
        let mut world = World::new();
        let peer = world.member.peer_id();
        let connected = NetInput::Connected { peer, address: "/x".into(), transport: "tcp".into(), outbound: false };
        world.net(connected);
        let now = UnixMs(world.rig.now);
        let (issued, expires) = (now.secs(), now.plus_ms(600_000).secs());
        let card = HostCard::issue(&world.member, "second", &[], issued, expires, None, [3; 32]).to_json();
        let capabilities = proto::names::CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        world.asked(wire::request::Body::Hello(wire::Hello { version: 1, card, capabilities, ..Default::default() }));
        world
    }

    /// The member tells that it holds this op; says which pull that led to.
    fn told_of(&mut self, op: &Op, event: &Event) -> Option<u64> {
        let tip = wire::Tip {
            host: op.writer.host.0.to_vec(),
            incarnation: op.writer.incarnation,
            seq: op.seq,
            id: event.id().0.to_vec(),
        };
        let (h, charter) = (self.space.to_string(), op.charter.0.to_vec());
        self.asked(wire::request::Body::Heads(wire::Heads { h, tips: vec![tip], charter, ..Default::default() }))
    }

    /// A pull brings this, and ends.
    fn pulled(&mut self, ask: u64, event: Vec<u8>) {
        let body = proto::encode(&wire::PullPage { events: vec![event], last: true, ..Default::default() });
        self.net(NetInput::Page { ask, body });
        self.net(NetInput::PullEnded { ask, result: Ok(()) });
    }
}

#[test]
fn who_holds_several_newest_charters_does_not_pass_for_one_who_holds_one() {
    let mut world = World::greeted();
    let base = world.chain().draft();
    let mut held = Vec::new();
    for name in ["one", "two"] {
        let mut draft = base.clone();
        draft.policy.insert("note".to_owned(), json!(name));
        held.push(world.sign(&draft));
    }
    held.iter().for_each(|event| world.give(event));
    assert_eq!(world.chain().heads().len(), 2);
    let body = wire::request::Body::Heads(wire::Heads { h: world.space.to_string(), ..Default::default() });
    let (peer, body) = (world.member.peer_id(), proto::encode(&wire::Request { body: Some(body) }));
    let input = Input::Net(NetInput::Asked { peer, inbound: 1, body });
    let effects = world.rig.engine.handle(&world.rig.store, UnixMs(world.rig.now), &mut Seeded(5), input);
    let said = effects.iter().find_map(|effect| match effect {
        Effect::Net(NetEffect::Answer { body, .. }) => proto::decode::<wire::Response>(body, 1 << 20).unwrap().body,
        _ => None,
    });
    let Some(wire::response::Body::Heads(heads)) = said else { panic!("{effects:?}") };
    assert!(held.iter().all(|event| event.id().0.to_vec() != heads.charter), "each holder of one would know it");
}

#[test]
fn a_damaged_copy_of_an_op_does_not_keep_the_op_out() {
    let mut world = World::greeted();
    let owners = world.owners_dot();
    let (op, event) = world.op("b1", vec![owners]);
    let mut damaged: Value = serde_json::from_slice(&event.to_json()).unwrap();
    damaged["sig"] = json!("1".repeat(128));
    let ask = world.told_of(&op, &event).expect("a pull for the new op");
    world.pulled(ask, damaged.to_string().into_bytes());
    assert_eq!(world.titles(), ["t"]);
    let ask = world.told_of(&op, &event).expect("it is asked for again");
    world.pulled(ask, event.to_json());
    assert_eq!(world.titles(), ["b1"]);
}

#[test]
fn an_op_that_waits_for_ever_does_not_keep_its_writers_other_ops_out() {
    let mut world = World::greeted();
    let owners = world.owners_dot();
    let now = world.rig.now;
    world.rig.now = u64::MAX >> 16;
    let (_, never) = world.op("never", vec![owners]);
    world.rig.now = now;
    let (op, event) = world.op("b1", vec![owners]);
    world.give(&never);
    assert_eq!(world.counters()["op_from_the_future"], 1);
    world.rig.now += 61_000;
    world.rig.input(Input::Tick);
    let ask = world.told_of(&op, &event).expect("after a minute it is asked for");
    world.pulled(ask, event.to_json());
    assert_eq!(world.titles(), ["b1"]);
}
