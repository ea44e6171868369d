//! Input from people who mean no good: each has a typed answer and changes nothing.

use crate::rig::{Rig, Seeded, boot};
use engine::{BeadChange, Command, Effect, Engine, Input, Memory, NetEffect, NetInput, SpaceRef, Verdict};
use identity::{HostKey, NostrKey, kinds};
use proto::wire;
use serde_json::json;
use types::{PeerId, UnixMs};

pub fn topic(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|e| match e {
        Effect::Net(NetEffect::Subscribe(topic)) => Some(topic.clone()),
        _ => None,
    })
}

pub fn handle(engine: &mut Engine, store: &mut Memory, now: u64, input: Input) -> Vec<Effect> {
    let effects = engine.handle(store, UnixMs(now), &mut Seeded(99), input);
    for effect in &effects {
        if let Effect::Persist(puts) = effect {
            store.apply(puts);
        }
    }
    effects
}

/// A rig with one bead, the gossip that carried it, and the space's topic.
fn with_one_bead() -> (Rig, Vec<u8>, String) {
    let mut rig = Rig::new();
    let add = Command::Add {
        at: SpaceRef::default(),
        title: "t".to_owned(),
        id: Some("a-1".to_owned()),
        prefix: None,
        change: BeadChange::default(),
    };
    rig.ask(add).unwrap();
    let gossip = rig.published.pop().unwrap();
    let (_, effects) = boot(&rig.store, &mut Seeded(5), rig.now, 7);
    (rig, gossip, topic(&effects).unwrap())
}

fn verdict(rig: &mut Rig, topic: &str, data: Vec<u8>) -> Verdict {
    let peer = PeerId::from_ed25519([9; 32]);
    let input = NetInput::Gossip { peer, topic: topic.to_owned(), data, message: 1 };
    let now = rig.now;
    let effects = handle(&mut rig.engine, &mut rig.store, now, Input::Net(input));
    let verdict = effects.iter().find_map(|e| match e {
        Effect::Net(NetEffect::Verdict { verdict, .. }) => Some(*verdict),
        _ => None,
    });
    verdict.expect("every message has a verdict")
}

pub fn gossip_of(events: Vec<Vec<u8>>) -> Vec<u8> {
    proto::encode(&wire::Gossip { events })
}

fn event_of(gossip: &[u8]) -> serde_json::Value {
    let gossip: wire::Gossip = proto::decode(gossip, 1 << 20).unwrap();
    serde_json::from_slice(&gossip.events[0]).unwrap()
}

#[test]
fn tampered_events_are_rejected_and_counted() {
    let (mut rig, gossip, topic) = with_one_bead();
    let (store, good) = (rig.store.clone(), event_of(&gossip));
    let mut cases = Vec::new();
    for (what, field, value) in [
        ("bad_signature", "sig", json!("0".repeat(128))),
        ("wrong_event_id", "id", json!("0".repeat(64))),
        ("wrong_event_id", "content", json!("other")),
        ("wrong_event_id", "created_at", json!(1)),
    ] {
        let mut event = good.clone();
        event[field] = value;
        cases.push((what, event.to_string().into_bytes()));
    }
    cases.push(("malformed_event", b"{".to_vec()));
    cases.push(("event_too_large", vec![b' '; 60_001]));
    for (code, event) in cases {
        assert_eq!(verdict(&mut rig, &topic, gossip_of(vec![event])), Verdict::Reject, "{code}");
        let counters = rig.ask(Command::Status {}).unwrap()["counters"].clone();
        assert!(counters[code].as_u64() >= Some(1), "{code}: {counters}");
    }
    assert_eq!(verdict(&mut rig, &topic, vec![0xff; 50]), Verdict::Reject);
    assert_eq!(rig.store, store, "nothing changed");
    assert_eq!(verdict(&mut rig, "another topic", gossip), Verdict::Ignore);
}

#[test]
fn strangers_and_unsealable_events_have_no_effect() {
    let (mut rig, gossip, topic) = with_one_bead();
    let store = rig.store.clone();
    let good = event_of(&gossip);
    let tags: Vec<Vec<String>> = serde_json::from_value(good["tags"].clone()).unwrap();
    let content = good["content"].as_str().unwrap().to_owned();
    let stranger = NostrKey::generate([77; 32]);
    let event = stranger.sign(kinds::BEAD_OP, UnixMs(rig.now).secs(), tags.clone(), content.clone(), [0; 32]);
    assert_eq!(verdict(&mut rig, &topic, gossip_of(vec![event.to_json()])), Verdict::Ignore);
    // The member's own key, but content that it did not seal for this event.
    let host = HostKey::generate([1; 32], [2; 32]);
    for content in ["", "AAAA", "not base64 at all", &content[..content.len() - 8]] {
        let event =
            host.nostr().sign(kinds::BEAD_OP, UnixMs(rig.now).secs(), tags.clone(), content.to_owned(), [0; 32]);
        assert_eq!(verdict(&mut rig, &topic, gossip_of(vec![event.to_json()])), Verdict::Ignore, "{content:?}");
    }
    let counters = rig.ask(Command::Status {}).unwrap()["counters"].clone();
    assert_eq!(
        (counters["unknown_author"].as_u64(), counters["unsealable"].as_u64()),
        (Some(1), Some(4)),
        "{counters}"
    );
    assert_eq!(rig.store, store);
}

#[test]
fn nobody_unknown_is_answered() {
    let (mut rig, ..) = with_one_bead();
    let peer = PeerId::from_ed25519([9; 32]);
    let now = rig.now;
    let connected =
        NetInput::Connected { peer, address: "/ip4/127.0.0.1/tcp/1".into(), transport: "tcp".into(), outbound: false };
    let effects = handle(&mut rig.engine, &mut rig.store, now, Input::Net(connected));
    assert!(effects.is_empty(), "a stranger is not even greeted: {effects:?}");
    let hello = wire::Hello { version: 1, card: vec![1, 2], ..Default::default() };
    let heads = wire::Heads { h: "00".into(), ..Default::default() };
    let join = wire::Join { h: "00".into(), ticket: vec![0; 16], proof: vec![0; 32], card: vec![], name: "x".into() };
    let bodies = [
        Some(wire::request::Body::Hello(hello)),
        Some(wire::request::Body::Heads(heads)),
        Some(wire::request::Body::Charter(wire::CharterQuery { h: "00".into() })),
        Some(wire::request::Body::Hosts(wire::HostsQuery { h: "00".into() })),
        Some(wire::request::Body::Log(wire::LogQuery { h: "00".into(), grants: vec![vec![1; 32]], from: 0 })),
        Some(wire::request::Body::Work(wire::Work { h: "00".into(), renew: vec![vec![1; 32]], ..Default::default() })),
        Some(wire::request::Body::Join(join)),
        None,
    ];
    for body in bodies {
        let body = proto::encode(&wire::Request { body });
        let effects =
            handle(&mut rig.engine, &mut rig.store, now, Input::Net(NetInput::Asked { peer, inbound: 1, body }));
        let [Effect::Net(NetEffect::Answer { body, .. })] = effects.as_slice() else { panic!("{effects:?}") };
        let answer: wire::Response = proto::decode(body, 1 << 20).unwrap();
        assert!(matches!(answer.body, Some(wire::response::Body::Refusal(_))), "{answer:?}");
    }
    let pull = NetInput::PullAsked { peer, stream: 1, body: proto::encode(&wire::PullRequest::default()) };
    let effects = handle(&mut rig.engine, &mut rig.store, now, Input::Net(pull));
    let [Effect::Net(NetEffect::Serve { plan, .. })] = effects.as_slice() else { panic!("{effects:?}") };
    let page = engine::serve_page(&rig.store, &mut plan.clone()).unwrap().unwrap();
    let page: wire::PullPage = proto::decode(&page, 1 << 20).unwrap();
    assert!(page.refusal.is_some() && page.events.is_empty());
}

#[test]
fn a_copied_or_restored_home_goes_on_under_a_new_incarnation() {
    let (rig, ..) = with_one_bead();
    let incarnation = |fingerprint| {
        let (mut engine, _) = boot(&rig.store, &mut Seeded(50), rig.now, fingerprint);
        let effects = engine.handle(
            &rig.store,
            UnixMs(rig.now),
            &mut Seeded(1),
            Input::Command { call: 1, command: Command::Status {} },
        );
        match effects.as_slice() {
            [Effect::Reply { result: Ok(status), .. }] => status["incarnation"].clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(incarnation(7), incarnation(7));
    assert_ne!(incarnation(7), incarnation(8));
}

#[test]
fn a_store_that_refuses_makes_the_node_read_only() {
    let (mut rig, ..) = with_one_bead();
    rig.input(Input::PersistFailed { reason: "disk full".to_owned() });
    assert!(rig.show("a-1").is_ok());
    let change = BeadChange { fields: [("title".to_owned(), json!("x"))].into(), ..Default::default() };
    let err = rig.ask(Command::Set { at: SpaceRef::default(), id: "a-1".to_owned(), change }).unwrap_err();
    assert_eq!(err.code, "store_read_only");
    assert_eq!(rig.ask(Command::Status {}).unwrap()["read_only"], "disk full");
}
