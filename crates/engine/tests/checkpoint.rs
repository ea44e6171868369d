//! Checkpoints that lie, peers that serve false parts, and who may make one at all. Bodies and hashes are made by hand
//! here, after the protocol's description.

use crate::hostile::handle;
use crate::second::{World, at};
use engine::{BeadChange, Command, Effect, Input, NetEffect, NetInput};
use identity::{Event, HostCard, HostKey, Role, kinds};
use proto::wire::{self, request::Body as Ask, response::Body as Say};
use proto::{limits, names};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use types::{Table, UnixMs};

/// The heads of a world's log: every op is an end, as nobody has written twice.
fn heads_hash(world: &World) -> String {
    let mut hasher = Sha256::new();
    for key in world.records(Table::Ops).keys() {
        // space ‖ host ‖ incarnation ‖ number ‖ id
        hasher.update(&key[32..112]);
    }
    hex::encode(hasher.finalize())
}

/// A checkpoint event by the member, in a public space.
fn announced(world: &World, by: &HostKey, body: &Value) -> Event {
    let tags = [["v", "1"], ["h", &world.space.to_string()]].map(|tag| tag.map(str::to_owned).to_vec()).to_vec();
    by.nostr().sign(kinds::CHECKPOINT, UnixMs(world.rig.now).secs(), tags, body.to_string(), [0; 32])
}

fn body(world: &mut World, manifest: &[u8], parts: u32, bytes: u64, ops: u64) -> Value {
    let line = world.rig.ask(Command::SpaceShow { at: at() }).unwrap();
    json!({"v": 1, "c": world.chain().head(), "h": heads_hash(world), "m": hex::encode(Sha256::digest(manifest)),
        "p": parts, "B": bytes, "b": line["beads"], "o": ops, "d": line["digest"], "s": line["state_digest"]})
}

fn make_coordinator(world: &mut World) {
    let npub = world.member.npub();
    world.amend(|draft| {
        draft.coordinator = Some(npub);
        draft.members.iter_mut().filter(|m| m.npub == npub).for_each(|m| m.roles.push(Role::Coordinator));
    });
}

fn tick(world: &mut World) -> Vec<Effect> {
    world.rig.now += 1_000;
    let now = world.rig.now;
    handle(&mut world.rig.engine, &mut world.rig.store, now, Input::Tick)
}

#[test]
fn a_checkpoint_of_the_same_ops_with_another_state_is_noticed() {
    let mut world = World::new();
    make_coordinator(&mut world);
    let ops = world.rig.ask(Command::SpaceShow { at: at() }).unwrap()["ops"].as_u64().unwrap();
    let body = body(&mut world, b"not the state of these ops", 1, 9, ops);
    let event = announced(&world, &world.member, &body);
    world.give(&event);
    let before = world.line();
    tick(&mut world);
    assert_eq!(world.counters()["false_checkpoint"], 1);
    assert!(world.records(Table::Checkpoints).is_empty(), "nothing of it is kept");
    // It is remembered as false.
    world.give(&event);
    tick(&mut world);
    assert_eq!((world.counters()["false_checkpoint"].clone(), world.line()), (json!(2), before));
}

#[test]
fn only_the_coordinator_makes_checkpoints() {
    let mut world = World::new();
    let ops = world.rig.ask(Command::SpaceShow { at: at() }).unwrap()["ops"].as_u64().unwrap();
    let body = body(&mut world, b"", 0, 0, ops);
    let event = announced(&world, &world.member, &body);
    world.give(&event);
    assert_eq!(world.counters()["not_the_coordinator"], 1);
    make_coordinator(&mut world);
    let err = world.rig.ask(Command::SpaceCheckpoint { at: at() }).unwrap_err();
    assert_eq!(err.code, "not_the_coordinator");
    // One that names the version under which somebody else was coordinator does not count either.
    world.give(&event);
    assert_eq!(world.counters()["not_the_coordinator"], 2);
}

#[test]
fn malformed_and_oversized_checkpoints_are_refused() {
    let mut world = World::new();
    make_coordinator(&mut world);
    let good = body(&mut world, b"", 0, 0, 1);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let bytes = limits::CHECKPOINT_BYTES_MAX + 1;
    let bad = [
        with("v", json!(2)),
        with("p", json!(7)),
        with("h", json!("00")),
        with("B", json!(bytes)),
        with("o", json!(-1)),
        json!([]),
        json!(null),
    ];
    for (n, body) in bad.iter().enumerate() {
        let event = announced(&world, &world.member, body);
        world.give(&event);
        assert_eq!(world.counters()["malformed_checkpoint"], n as u64 + 1, "{body}");
    }
}

/// The member is there as a peer that serves checkpoints.
fn greet(world: &mut World) {
    let (peer, now) = (world.member.peer_id(), UnixMs(world.rig.now));
    let (address, transport) = ("/ip4/127.0.0.1/tcp/2".to_owned(), "tcp".to_owned());
    let connected = NetInput::Connected { peer, address, transport, outbound: false };
    handle(&mut world.rig.engine, &mut world.rig.store, now.0, Input::Net(connected));
    let card = HostCard::issue(&world.member, "second", &[], now.secs(), now.plus_ms(3_600_000).secs(), None, [1; 32]);
    let capabilities = [names::SYNC, names::CHECKPOINTS].map(str::to_owned).to_vec();
    let hello = wire::Hello { version: 1, card: card.to_json(), capabilities, ..Default::default() };
    assert!(matches!(asked(world, Ask::Hello(hello)).0, Some(Say::Hello(_))));
}

/// What the peer is answered, and the pull that is opened: its number and request.
fn asked(world: &mut World, ask: Ask) -> (Option<Say>, Option<(u64, wire::PullRequest)>) {
    let body = proto::encode(&wire::Request { body: Some(ask) });
    let (peer, now) = (world.member.peer_id(), world.rig.now);
    let input = Input::Net(NetInput::Asked { peer, inbound: 1, body });
    read(handle(&mut world.rig.engine, &mut world.rig.store, now, input))
}

fn read(effects: Vec<Effect>) -> (Option<Say>, Option<(u64, wire::PullRequest)>) {
    let (mut said, mut pulled) = (None, None);
    for effect in effects {
        match effect {
            Effect::Net(NetEffect::Answer { body, .. }) => {
                said = proto::decode::<wire::Response>(&body, limits::RPC_BYTES_MAX).unwrap().body;
            }
            Effect::Net(NetEffect::Pull { ask, body, .. }) => {
                pulled = Some((ask, proto::decode(&body, limits::FRAME_BYTES_MAX).unwrap()));
            }
            _ => {}
        }
    }
    (said, pulled)
}

fn offer(world: &mut World, event: &Event) -> Option<(u64, wire::PullRequest)> {
    let heads = wire::Heads { h: world.space.to_string(), checkpoint: event.to_json(), ..Default::default() };
    asked(world, Ask::Heads(heads)).1
}

/// Serves one part on a pull, and ends it; says what is pulled next.
fn serve(world: &mut World, ask: u64, part: &[u8]) -> Option<(u64, wire::PullRequest)> {
    let now = world.rig.now;
    let page = proto::encode(&wire::PullPage { parts: vec![part.to_vec()], ..Default::default() });
    handle(&mut world.rig.engine, &mut world.rig.store, now, Input::Net(NetInput::Page { ask, body: page }));
    let ended = Input::Net(NetInput::PullEnded { ask, result: Ok(()) });
    read(handle(&mut world.rig.engine, &mut world.rig.store, now, ended)).1
}

#[test]
fn false_parts_are_not_taken_and_a_false_whole_has_no_effect() {
    let mut world = World::new();
    make_coordinator(&mut world);
    greet(&mut world);
    // Ten thousand ops by one writer, folded into a state that is none.
    let (id, tip) = (vec![7; 32], vec![8; 32]);
    let tip = wire::Tip { host: id, incarnation: 1, seq: 10_000, id: tip };
    let part = b"\0\0\0\x04none".to_vec();
    let manifest = proto::encode(&wire::CheckpointManifest {
        tips: vec![tip.clone()],
        parts: vec![Sha256::digest(&part).to_vec()],
    });
    let mut said = body(&mut world, &manifest, 1, part.len() as u64, 10_000);
    let hash = [&tip.host[..], &tip.incarnation.to_be_bytes(), &tip.seq.to_be_bytes(), &tip.id].concat();
    said["h"] = json!(hex::encode(Sha256::digest(hash)));
    let event = announced(&world, &world.member, &said);
    let before = (world.line(), world.titles());
    let (ask, request) = offer(&mut world, &event).expect("it is fetched");
    assert_eq!((request.checkpoint, request.part), (event.id().0.to_vec(), 0));
    // A false manifest, then the true one; a false part, then what was signed.
    let (ask, request) = serve(&mut world, ask, b"another").expect("it is tried again");
    assert_eq!((request.part, world.counters()["false_part"].clone()), (0, json!(1)));
    let (ask, request) = serve(&mut world, ask, &manifest).expect("on with the parts");
    assert_eq!(request.part, 1);
    let (ask, request) = serve(&mut world, ask, b"\0\0\0\x04nope").expect("it is tried again");
    assert_eq!((request.part, world.counters()["false_part"].clone()), (1, json!(2)));
    assert!(serve(&mut world, ask, &part).is_none(), "it is not fetched again");
    assert_eq!(world.counters()["false_checkpoint"], 1);
    assert_eq!((world.line(), world.titles()), before, "it has no effect");
    assert!(world.records(Table::Checkpoints).is_empty(), "nothing of it is kept");
    assert!(offer(&mut world, &event).is_none(), "it is remembered as false");
}

#[test]
fn a_peer_that_serves_nothing_is_given_up() {
    let mut world = World::new();
    make_coordinator(&mut world);
    greet(&mut world);
    let said = body(&mut world, b"x", 1, 1, 10_000);
    let event = announced(&world, &world.member, &{
        let mut other = said;
        other["h"] = json!("11".repeat(32));
        other
    });
    let (mut ask, _) = offer(&mut world, &event).expect("it is fetched");
    let mut tries = 1;
    while let Some((next, request)) = serve(&mut world, ask, b"") {
        assert_eq!(request.part, 0);
        (ask, tries) = (next, tries + 1);
        assert!(tries < 10, "it is fetched for ever");
    }
    assert_eq!(tries, 3);
    let edit = BeadChange { comments: vec!["it goes on".to_owned()], ..BeadChange::default() };
    world.rig.ask(Command::Set { at: at(), id: "a-1".to_owned(), change: edit }).unwrap();
}
