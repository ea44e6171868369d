//! Programs of different age: what one does not know, it keeps, passes on and does not ask for.

use crate::hostile::{gossip_of, handle, topic};
use crate::rig::{Rig, Seeded, boot};
use engine::records::{self, space::SpaceRecord};
use engine::{Command, Effect, Input, NetEffect, NetInput, Op, SpaceRef, Verdict};
use identity::{Event, HostCard, HostKey, SpaceKey, Ticket, kinds};
use proto::limits;
use proto::wire::{self, request::Body as Ask, response::Body as Say};
use serde_json::json;
use types::{EventId, Hlc, Table, UnixMs, View as _, Writer};

/// A rig with a second member, which is connected and steered by the test.
struct Pair {
    rig: Rig,
    other: HostKey,
    h: String,
    charter: EventId,
}

impl Pair {
    fn new() -> Pair {
        let mut rig = Rig::new();
        rig.input(Input::Net(NetInput::Listening("/ip4/127.0.0.1/tcp/1".to_owned())));
        let invited = rig.ask(Command::Invite { at: SpaceRef::default(), role: None, ttl_s: None }).unwrap();
        let ticket = Ticket::decode(invited["ticket"].as_str().unwrap()).unwrap();
        let other = HostKey::generate([21; 32], [22; 32]);
        let mut pair = Pair { rig, other, h: ticket.h.clone(), charter: EventId([0; 32]) };
        let (peer, npub) = (pair.other.peer_id(), pair.other.npub());
        let join = wire::Join {
            h: ticket.h.clone(),
            ticket: ticket.secret.id().0.to_vec(),
            proof: ticket.secret.proof(&peer, &npub).to_vec(),
            card: pair.card(),
            name: "other".to_owned(),
        };
        let Some(Say::Welcome(welcome)) = pair.asked(Ask::Join(join)) else { panic!("no welcome") };
        let newest = welcome.charter.unwrap().events.pop().unwrap();
        pair.charter = Event::verify(&newest).unwrap().id();
        let (address, transport) = ("/ip4/127.0.0.1/tcp/2".to_owned(), "tcp".to_owned());
        pair.net(NetInput::Connected { peer, address, transport, outbound: false });
        pair
    }

    fn card(&self) -> Vec<u8> {
        let now = UnixMs(self.rig.now);
        HostCard::issue(&self.other, "other", &[], now.secs(), now.plus_ms(3_600_000).secs(), None, [1; 32]).to_json()
    }

    fn net(&mut self, input: NetInput) -> Vec<Effect> {
        let now = self.rig.now;
        handle(&mut self.rig.engine, &mut self.rig.store, now, Input::Net(input))
    }

    fn asked(&mut self, ask: Ask) -> Option<Say> {
        let body = proto::encode(&wire::Request { body: Some(ask) });
        let effects = self.net(NetInput::Asked { peer: self.other.peer_id(), inbound: 1, body });
        let answer = effects.iter().find_map(|effect| match effect {
            Effect::Net(NetEffect::Answer { body, .. }) => Some(body.clone()),
            _ => None,
        });
        proto::decode::<wire::Response>(&answer?, limits::RPC_BYTES_MAX).unwrap().body
    }

    fn greet(&mut self, version: u32, capabilities: &[&str]) {
        let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
        let hello = wire::Hello { version, card: self.card(), capabilities, ..Default::default() };
        let Some(Say::Hello(_)) = self.asked(Ask::Hello(hello)) else { panic!("not greeted") };
    }

    /// How often the other is asked for its heads in the next minute.
    fn heads_asked(&mut self) -> usize {
        let mut asked = 0;
        for _ in 0..60 {
            self.rig.now += 1_000;
            let now = self.rig.now;
            for effect in handle(&mut self.rig.engine, &mut self.rig.store, now, Input::Tick) {
                let Effect::Net(NetEffect::Ask { body, .. }) = effect else { continue };
                let request = proto::decode::<wire::Request>(&body, limits::RPC_BYTES_MAX).unwrap();
                asked += usize::from(matches!(request.body, Some(Ask::Heads(_))));
            }
        }
        asked
    }
}

#[test]
fn what_a_peer_can_is_known_and_nothing_else_is_asked_of_it() {
    for (capabilities, asks) in [(&["sync/1", "of-a-newer-program/7"][..], true), (&["of-a-newer-program/7"], false)] {
        let mut pair = Pair::new();
        pair.greet(7, capabilities);
        let status = pair.rig.ask(Command::Status {}).unwrap();
        let mut told: Vec<_> = capabilities.to_vec();
        told.sort_unstable();
        assert_eq!((&status["peers"][0]["version"], &status["peers"][0]["capabilities"]), (&json!(7), &json!(told)));
        assert_eq!(pair.heads_asked() > 0, asks, "{capabilities:?}");
        // Whoever asks is answered, whatever it said that it can.
        let heads = wire::Heads { h: pair.h.clone(), ..Default::default() };
        assert!(matches!(pair.asked(Ask::Heads(heads)), Some(Say::Heads(_))));
    }
}

#[test]
fn hostile_names_of_abilities_are_not_kept() {
    let mut pair = Pair::new();
    let long = "x".repeat(limits::CAPABILITY_BYTES_MAX + 1);
    let many: Vec<String> = (0..1_000).map(|n| format!("many/{n}")).collect();
    let names: Vec<&str> = ["", "two words", "line\nbreak", "\u{202e}", &long]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    pair.greet(u32::MAX, &names);
    let status = pair.rig.ask(Command::Status {}).unwrap();
    let kept = status["peers"][0]["capabilities"].as_array().unwrap();
    assert!(!kept.is_empty() && kept.len() <= limits::CAPABILITIES_MAX, "{kept:?}");
    assert!(kept.iter().all(|name| name.as_str().unwrap().starts_with("many/")), "{kept:?}");
}

/// An op of the other member with a unit and a field that nobody here knows.
fn op_of_a_newer_program(pair: &Pair) -> Vec<u8> {
    let mut space = None;
    pair.rig
        .store
        .scan(Table::Spaces, &[], &[], &mut |_, value| {
            space = Some(records::unpack::<SpaceRecord>(Table::Spaces, value).unwrap());
            std::ops::ControlFlow::Break(())
        })
        .unwrap();
    let key = SpaceKey::from_bytes(space.unwrap().keys[0]);
    let line = r#"{"id":"n-1","title":"t","created_at":"2026-01-01T00:00:00Z"}"#;
    let beads::Parsed::Issue(bead) = beads::parse_line(line).unwrap() else { panic!("{line}") };
    let op = Op {
        writer: Writer { host: pair.other.npub(), incarnation: 5 },
        seq: 1,
        prev: None,
        hlc: Hlc::new(UnixMs(pair.rig.now), 0),
        charter: pair.charter,
        actor: "other:app/crew/max".to_owned(),
        writes: beads::create_writes(&bead, None),
        unknown_writes: 0,
    };
    let mut body: serde_json::Value = serde_json::from_slice(&op.encode()).unwrap();
    body["of_a_newer_program"] = json!({"kept": [1.50]});
    body["b"][0]["w"].as_array_mut().unwrap().push(json!({"u": "newer-unit:x", "x": 1, "y": 2}));
    let (author, kind) = (pair.other.npub(), kinds::BEAD_OP);
    let content = identity::seal(&key, &author, kind, &pair.h, body.to_string().as_bytes(), [9; 24]);
    let tag = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let tags = vec![tag("v", "1"), tag("h", &pair.h), tag("k", &key.id().to_string()), tag("newer", "tag")];
    pair.other.nostr().sign(kind, UnixMs(pair.rig.now).secs(), tags, content, [2; 32]).to_json()
}

#[test]
fn an_op_with_units_and_fields_of_a_newer_program_is_kept_and_passed_on_as_it_came() {
    let mut pair = Pair::new();
    pair.greet(1, &["sync/1"]);
    let event = op_of_a_newer_program(&pair);
    let (_, effects) = boot(&pair.rig.store, &mut Seeded(5), pair.rig.now, 7);
    let topic = topic(&effects).unwrap();
    let (peer, data) = (pair.other.peer_id(), gossip_of(vec![event.clone()]));
    let effects = pair.net(NetInput::Gossip { peer, topic, data, message: 1 });
    let passed_on = |e: &Effect| matches!(e, Effect::Net(NetEffect::Verdict { verdict: Verdict::Accept, .. }));
    assert!(effects.iter().any(passed_on), "{effects:?}");
    assert_eq!(pair.rig.show("n-1").unwrap()["bead"]["title"], "t", "what is known of it has its effect");
    // Whoever asks gets it, byte for byte, also after a restart.
    pair.rig.restart();
    let (address, transport) = ("/ip4/127.0.0.1/tcp/2".to_owned(), "tcp".to_owned());
    pair.net(NetInput::Connected { peer, address, transport, outbound: false });
    pair.greet(1, &["sync/1"]);
    let range = wire::Range { host: pair.other.npub().0.to_vec(), incarnation: 5, from: 1, to: 0 };
    let body = proto::encode(&wire::PullRequest { h: pair.h.clone(), ranges: vec![range], ..Default::default() });
    let effects = pair.net(NetInput::PullAsked { peer, stream: 1, body });
    let plan = effects.iter().find_map(|effect| match effect {
        Effect::Net(NetEffect::Serve { plan, .. }) => Some(plan.clone()),
        _ => None,
    });
    let page = engine::serve_page(&pair.rig.store, &mut plan.unwrap()).unwrap().unwrap();
    let page: wire::PullPage = proto::decode(&page, limits::FRAME_BYTES_MAX).unwrap();
    assert_eq!(page.events, [event]);
}
