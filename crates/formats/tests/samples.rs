//! One value or more of every format, made by today's program. Time, keys and randomness are fixed.

use beads::{BeadState, Parsed, Shadow, Stamp};
use engine::records::{
    self, bead, checkpoint, host, meta, op, shadow, space, ticket, tips, totals, waiting, work, workspace,
};
use identity::{
    AgentCard, AgentKey, Attestation, Charter, Conditions, Event, HostCard, HostKey, KeyEntry, Member, NostrKey,
    OwnerKey, Role, SpaceKey, Ticket, TicketSecret, Visibility, h_tag, kinds, seal, wrap_key,
};
use proto::wire::{self, request::Body as Ask, response::Body as Say};
use serde_json::{Map, json};
use types::{Dot, EventId, Hlc, MeshId, PubKey, SpaceId, UnixMs, UnixSecs, Writer};

type Sample = (String, Vec<u8>);

/// Every sample by the name of its golden file.
pub fn all() -> Vec<Sample> {
    let parts = [messages(), events(), crate::steps::steps(), bodies(), texts(), control(), states(), values(), keys()];
    parts.into_iter().flatten().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub type Part = Vec<(&'static str, Vec<u8>)>;

const SPACE: SpaceId = SpaceId([0xa1; 32]);

fn writer() -> Writer {
    Writer { host: PubKey([0xb2; 32]), incarnation: 0x0123_4567_89ab_cdef }
}

fn dot(seq: u64) -> Dot {
    Dot { writer: writer(), seq, tag: 0xdead_beef }
}

pub fn signer() -> NostrKey {
    NostrKey::generate([1; 32])
}

fn space_key() -> SpaceKey {
    SpaceKey::from_bytes([2; 32])
}

fn host_key() -> HostKey {
    HostKey::generate([7; 32], [8; 32])
}

fn messages() -> Part {
    let ask = |body| proto::encode(&wire::Request { body: Some(body) });
    let say = |body| proto::encode(&wire::Response { body: Some(body) });
    let tip = wire::Tip { host: vec![1; 32], incarnation: u64::MAX, seq: 9, id: vec![2; 32] };
    let heads = wire::Heads {
        h: "ab".into(),
        tips: vec![tip.clone(), tip],
        charter: vec![3; 32],
        digest: vec![4; 32],
        state_digest: vec![5; 32],
        checkpoint: Vec::new(),
    };
    let with_checkpoint = wire::Heads { checkpoint: b"{}".to_vec(), ..heads.clone() };
    let hello = wire::Hello {
        version: 1,
        card: b"{}".to_vec(),
        capabilities: vec!["sync/1".into(), "of-a-newer-program/7".into()],
        addrs: vec!["/ip4/127.0.0.1/tcp/4001".into()],
        now_ms: 0,
    };
    let join =
        wire::Join { h: "ab".into(), ticket: vec![6; 16], proof: vec![7; 32], card: b"{}".to_vec(), name: "b".into() };
    let chain = wire::CharterChain { h: "ab".into(), events: vec![b"{}".to_vec(), Vec::new()] };
    let hosts = wire::Hosts {
        cards: vec![b"{}".to_vec()],
        addrs: vec![wire::HostAddrs { peer: vec![8; 38], addrs: vec!["/ip4/10.0.0.1/tcp/1".into()] }],
    };
    let welcome = wire::Welcome {
        charter: Some(chain.clone()),
        wrapped_keys: vec!["key".into()],
        attestation: "[]".into(),
        cards: vec![b"{}".to_vec()],
        space_name: "app".into(),
    };
    let refusal = wire::Refusal { code: "not_a_member".into(), message: "say hello first".into() };
    let range = wire::Range { host: vec![1; 32], incarnation: 5, from: 1, to: 0 };
    let page = wire::PullPage { events: vec![b"{}".to_vec()], last: true, ..Default::default() };
    let floor = wire::Tip { host: vec![1; 32], incarnation: 5, seq: 900, id: Vec::new() };
    let part = wire::PullPage { parts: vec![vec![7; 9]], floors: vec![floor.clone()], ..Default::default() };
    let manifest = wire::CheckpointManifest {
        tips: vec![wire::Tip { id: vec![2; 32], ..floor }],
        parts: vec![vec![8; 32], vec![9; 32]],
    };
    let want =
        wire::PullRequest { h: "ab".into(), checkpoint: vec![0xcc; 32], part: 3, ..wire::PullRequest::default() };
    let refused = wire::PullPage { refusal: Some(refusal.clone()), ..Default::default() };
    let newer = [&ask(Ask::Hello(hello.clone()))[..], &[0xb8, 0x3e, 0x01]].concat();
    vec![
        ("wire/request/hello", ask(Ask::Hello(hello.clone()))),
        ("wire/request/newer-fields", newer),
        ("wire/request/heads", ask(Ask::Heads(heads.clone()))),
        ("wire/request/heads-with-checkpoint", ask(Ask::Heads(with_checkpoint))),
        ("wire/request/join", ask(Ask::Join(join))),
        ("wire/request/charter", ask(Ask::Charter(wire::CharterQuery { h: "ab".into() }))),
        ("wire/request/hosts", ask(Ask::Hosts(wire::HostsQuery { h: "ab".into() }))),
        (
            "wire/request/work",
            ask(Ask::Work(wire::Work {
                h: "ab".into(),
                ops: vec![b"{}".to_vec()],
                renew: vec![vec![9; 32]],
                room: true,
                rig: "app".into(),
                used: vec![wire::Used {
                    grant: vec![9; 32],
                    tokens_in: 1_000,
                    tokens_out: 200,
                    money_micros: 30_000,
                    note: "half of it".into(),
                    progress: 51,
                }],
            })),
        ),
        (
            "wire/request/log",
            ask(Ask::Log(wire::LogQuery { h: "ab".into(), grants: vec![vec![9; 32], vec![8; 32]], from: 4_096 })),
        ),
        (
            "wire/response/log",
            say(Say::Log(wire::LogPart {
                run: vec![8; 32],
                bytes: b"all tests pass\n".to_vec(),
                next: 4_111,
                ended: true,
            })),
        ),
        (
            "wire/response/work",
            say(Say::Work(wire::WorkAnswer {
                ops: vec![b"{}".to_vec()],
                renewed: vec![vec![9; 32]],
                ended: vec![vec![8; 32]],
                slots_free: 3,
            })),
        ),
        ("wire/response/refusal", say(Say::Refusal(refusal))),
        ("wire/response/hello", say(Say::Hello(hello))),
        ("wire/response/heads", say(Say::Heads(heads))),
        ("wire/response/welcome", say(Say::Welcome(welcome))),
        ("wire/response/charter", say(Say::Charter(chain))),
        ("wire/response/hosts", say(Say::Hosts(hosts))),
        ("wire/gossip/two", proto::encode(&wire::Gossip { events: vec![b"{}".to_vec(), b"[]".to_vec()] })),
        (
            "wire/pull-request/range",
            proto::encode(&wire::PullRequest { h: "ab".into(), ranges: vec![range], ..Default::default() }),
        ),
        ("wire/pull-request/checkpoint", proto::encode(&want)),
        ("wire/pull-page/part", proto::encode(&part)),
        ("wire/checkpoint-manifest/one", proto::encode(&manifest)),
        ("wire/pull-page/last", proto::encode(&page)),
        ("wire/pull-page/refused", proto::encode(&refused)),
        ("frame/stream/two", b"\0\0\0\x03abc\0\0\0\0\xff\xff\xff\xff".to_vec()),
    ]
}

fn charter() -> Charter {
    let host = host_key();
    let member = Member {
        npub: host.npub(),
        peer_id: host.peer_id(),
        name: "desktop".into(),
        owner: signer().public(),
        roles: vec![Role::Maintainer, Role::Other("of-a-newer-program".into())],
        unknown: [("colour".to_owned(), json!("red"))].into_iter().collect(),
    };
    Charter {
        n: 1,
        prev: vec![],
        name: "app".into(),
        mesh: MeshId([3; 16]),
        visibility: Visibility::Private,
        members: vec![member],
        coordinator: Some(host.npub()),
        successors: vec![PubKey([4; 32])],
        witnesses: vec![],
        policy: [("history".to_owned(), json!("keep"))].into_iter().collect(),
        keys: vec![KeyEntry { id: space_key().id() }],
        current_key: Some(space_key().id()),
        next_owner: OwnerKey::generate([1; 32], [5; 32]).commitment(),
        removed: vec![],
        unknown: [("later".to_owned(), json!({"a": [1, 2.50]}))].into_iter().collect(),
    }
}

fn public_charter() -> Charter {
    Charter {
        visibility: Visibility::Public,
        keys: vec![],
        current_key: None,
        unknown: Map::new(),
        coordinator: None,
        ..charter()
    }
}

fn op_json() -> String {
    let (prev, id) = ("cc".repeat(32), "dd".repeat(32));
    format!(
        r#"{{"v":1,"i":81985529216486895,"s":2,"p":"{prev}","t":117964800000065541,"c":"{id}","a":"desk:app/crew/max","W":[["{}",7]],"d":[[0,3,77]],"b":[{{"id":"app-x1","n":"0011223344556677","w":[{{"u":"field:title","x":"a title","r":[0]}},{{"u":"label:urgent","r":[0],"m":{{"t":12,"h":[18446744073709551615,0]}}}}]}}]}}"#,
        "b2".repeat(32)
    )
}

fn op_event() -> Event {
    let (key, kind) = (space_key(), kinds::BEAD_OP);
    let h = h_tag(&key);
    let tag = |name: &str, value: String| vec![name.to_owned(), value];
    let tags = vec![tag("v", "1".into()), tag("h", h.clone()), tag("k", key.id().to_string())];
    let content = seal(&key, &signer().public(), kind, &h, op_json().as_bytes(), [9; 24]);
    signer().sign(kind, UnixSecs(1_800_000_000), tags, content, [3; 32])
}

fn events() -> Part {
    let (host, at, until) = (host_key(), UnixSecs(1_800_000_000), UnixSecs(1_801_000_000));
    let conditions = Conditions::none().kind(kinds::HOST_CARD).after(UnixSecs(5)).before(UnixSecs(4_000_000_000));
    let attestation = Attestation::issue(&signer(), &host.npub(), conditions, [1; 32]);
    let card = HostCard::issue(&host, "desktop", &["git", "runner"], at, until, Some(&attestation.to_json()), [2; 32]);
    let plain = HostCard::issue(&host, "desktop", &[], at, until, None, [2; 32]);
    let agent = AgentKey::generate([6; 32]);
    let by_owner = Attestation::issue(&signer(), &agent.npub(), Conditions::none(), [1; 32]);
    let address = "desktop:app/crew/max".parse().unwrap();
    let agent_card = AgentCard::issue(agent.nostr(), &address, &by_owner, at, until, [4; 32]);
    let sealed = charter().sign(&signer(), at, Some((&space_key(), &space_key(), [7; 24])), None, [5; 32]).unwrap();
    let public = public_charter().sign(&signer(), at, None, None, [5; 32]).unwrap();
    let draft = json!({"kind": 38733, "created_at": 1_800_000_000, "tags": [["d", host.peer_id()], ["v", "1"],
        ["name", "desktop"], ["expiration", "1801000000"], ["cap", "git"], ["peersig", "00"], attestation.to_tag()],
        "content": ""});
    let charter_text = String::from_utf8(public_charter().encode()).unwrap();
    let charter_draft = json!({"kind": 8737, "created_at": 1, "tags": [["v", "1"]], "content": charter_text});
    vec![
        ("event/any/op", op_event().to_json()),
        ("event/op/sealed", op_event().to_json()),
        ("event/host-card/attested", card.to_json()),
        ("event/host-card/plain", plain.to_json()),
        ("event/agent-card/attested", agent_card.to_json()),
        ("event/charter/private", sealed.to_json()),
        ("event/charter/public", public.to_json()),
        ("signed/draft/host-card", draft.to_string().into_bytes()),
        ("signed/draft/charter", charter_draft.to_string().into_bytes()),
        ("attestation/json/of-host-cards", attestation.to_json().into_bytes()),
        ("attestation/json/of-everything", by_owner.to_json().into_bytes()),
    ]
}

fn bodies() -> Part {
    let first = op_json().replace("\"s\":2,\"p\":\"", "\"s\":1,\"x-newer\":[1],\"y\":\"");
    let newer = first.replace("{\"u\":\"label:urgent\"", "{\"u\":\"newer-unit\",\"z\":1},{\"u\":\"label:urgent\"");
    let to = NostrKey::generate([4; 32]).public();
    let checkpoint = engine::Checkpoint {
        charter: EventId([1; 32]),
        heads: [2; 32],
        manifest: [3; 32],
        parts: 2,
        bytes: 524_289,
        beads: 10_519,
        ops: u64::MAX,
        digest: [4; 32],
        state_digest: [5; 32],
    };
    let sealed = seal(&space_key(), &PubKey([5; 32]), kinds::BEAD_OP, "00", b"the content", [9; 24]);
    vec![
        ("charter/body/private", charter().encode()),
        ("charter/body/public", public_charter().encode()),
        ("op/body/second", op_json().into_bytes()),
        ("op/body/newer-fields", newer.into_bytes()),
        ("checkpoint/body/one", checkpoint.encode()),
        ("seal/content/text", sealed.into_bytes()),
        ("seal/wrapped-key/for-a-member", wrap_key(&space_key(), &to, &signer(), [6; 32]).unwrap().into_bytes()),
    ]
}

fn ticket_line(public: bool) -> String {
    let host = host_key();
    let ticket = Ticket {
        mesh: MeshId([3; 16]),
        space: SPACE,
        h: if public { SPACE.to_string() } else { h_tag(&space_key()) },
        name: "app".into(),
        role: Role::Writer,
        peer_id: host.peer_id(),
        npub: host.npub(),
        addrs: vec!["/ip4/192.0.2.7/tcp/4001".into(), "/ip4/192.0.2.7/udp/4001/quic-v1".into()],
        secret: TicketSecret::from_bytes([0x5e; 16]),
        expires: UnixSecs(1_800_003_600),
    };
    ticket.encode().unwrap()
}

const LINE: &str = r#"{"id":"app-x1","title":"a title","description":"two\nlines, \"quoted\", ünïcode","status":"in_progress","priority":1,"issue_type":"bug","assignee":"desk:app/crew/max","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T03:04:05.678901234Z","labels":["a","b"],"dependencies":[{"issue_id":"app-x1","depends_on_id":"app-x2","type":"blocks","created_at":"2026-01-01T00:00:00Z","created_by":"max"}],"comments":[{"id":1,"issue_id":"app-x1","author":"max","text":"a comment","created_at":"2026-01-01T00:00:01Z"}],"of_a_newer_bd":{"kept":[1.50,null]}}"#;

fn bead() -> beads::Bead {
    match beads::parse_line(LINE).unwrap() {
        Parsed::Issue(bead) => bead,
        other => panic!("{other:?}"),
    }
}

fn texts() -> Part {
    let content = bech32::decode(&ticket_line(false)).unwrap().1;
    let config = "name = \"desktop\"\nlisten = [\"/ip4/0.0.0.0/tcp/4001\"]\nmdns = false\n\n[gossip]\nenabled = true\n";
    vec![
        ("ticket/line/private", ticket_line(false).into_bytes()),
        ("ticket/line/public", ticket_line(true).into_bytes()),
        ("ticket/content/private", content),
        ("keyfile/host/one", host_key().encode().as_bytes().to_vec()),
        ("keyfile/owner/one", OwnerKey::generate([1; 32], [5; 32]).encode().as_bytes().to_vec()),
        ("keyfile/agent/one", AgentKey::generate([6; 32]).encode().as_bytes().to_vec()),
        ("line/bead/full", bead().to_line().into_bytes()),
        ("line/bead/memory", br#"{"_type":"memory","key":"k","value":"v"}"#.to_vec()),
        ("line/bead/header", br#"{"_schema":"beads","version":1}"#.to_vec()),
        ("config/toml/all", config.as_bytes().to_vec()),
        ("store/format/first", b"1\n".to_vec()),
        ("store/format/second", b"2\n".to_vec()),
    ]
}

fn control() -> Part {
    let line = |text: &str| format!("{text}\n").into_bytes();
    let at = r#""at":{"space":"app","cwd":null}"#;
    let change = r#"{"fields":{"title":"t"},"add_labels":["a"],"remove_labels":[],"add_deps":[["app-x2","blocks"]],"remove_deps":[],"comments":["c"]}"#;
    let set = format!(r#"{{"method":"beads.set","params":{{{at},"id":"app-x1","change":{change}}}}}"#);
    let resolve = format!(
        r#"{{"method":"beads.resolve","params":{{{at},"id":"app-x1","unit":null,"choice":{{"value":[1.50]}},"baseline":false}}}}"#
    );
    let import = format!(
        r#"{{"method":"beads.import","params":{{{at},"first_line":18446744073709551615,"lines":["{{}}"],"ancestors":{{"app-x1":{{"field:title":[18446744073709551615,0]}}}}}}}}"#
    );
    vec![
        ("control/request/status", line(r#"{"id":1,"method":"status","params":{}}"#)),
        ("control/request/newer-fields", line(r#"{"id":2,"method":"status","params":{},"deadline_ms":5}"#)),
        ("control/response/result", line(r#"{"id":1,"result":{"beads":[1.50,"x"]}}"#)),
        ("control/response/progress", line(r#"{"id":1,"progress":{"done":1,"of":2}}"#)),
        (
            "control/response/error",
            line(r#"{"id":0,"error":{"code":"bad_params","message":"m","hints":["townmesh --help"]}}"#),
        ),
        ("control/command/status", br#"{"method":"status","params":{}}"#.to_vec()),
        ("control/command/set", set.into_bytes()),
        ("control/command/resolve", resolve.into_bytes()),
        ("control/command/import", import.into_bytes()),
        ("control/command/join", br#"{"method":"join","params":{"ticket":"tmesh1x"}}"#.to_vec()),
    ]
}

fn folded() -> BeadState {
    let mut state = BeadState::new("app-x1".parse().unwrap());
    let stamp = |seq: u64| Stamp { dot: dot(seq), hlc: Hlc::new(UnixMs(1_800_000_000_000 + seq), 1) };
    for write in beads::create_writes(&bead(), Some(&|_| vec![17, u64::MAX])) {
        state.apply(&stamp(1), &write, &|_| false).unwrap();
    }
    // Two edits that did not know of each other.
    let shown = state.shown().remove(0);
    for (seq, title) in [(2, "one"), (3, "other")] {
        let mut edited = shown.bead.clone();
        edited.set("title", Some(json!(title)));
        edited.set("updated_at", Some(json!(format!("2026-02-0{seq}T00:00:00Z"))));
        for write in beads::diff(&Shadow::of(&shown), &edited).writes {
            state.apply(&stamp(seq), &write, &|known| known.seq < seq).unwrap();
        }
    }
    state
}

fn states() -> Part {
    let shadow = Shadow::of(&folded().shown()[0]);
    vec![("state/bead/with-a-conflict", folded().encode()), ("state/shadow/of-it", shadow.encode())]
}

fn values() -> Part {
    let shadow = Shadow::of(&folded().shown()[0]);
    let shown = shadow::ShadowRecord { line: u64::MAX, shadow, past: vec![1, 2] };
    let incarnation = meta::Incarnation { number: 0x0123_4567_89ab_cdef, fingerprint: [7; 32] };
    let space = space::SpaceRecord { name: "app".into(), public: false, keys: vec![[2; 32], [3; 32]] };
    let known = host::HostRecord {
        card: Some(b"{}".to_vec()),
        addrs: vec!["/ip4/192.0.2.7/tcp/4001".into()],
        seen_ms: 1_800_000_000_000,
    };
    let ticket = ticket::TicketRecord {
        space: SPACE.0,
        role: "writer".into(),
        secret: [0x5e; 16],
        expires_ms: 1_800_003_600_000,
        used_by: Some([4; 32]),
    };
    let totals = totals::Totals {
        beads: 1,
        conflicts: 2,
        baseline_conflicts: 3,
        ops: 4,
        digest: [5; 32],
        state_digest: [6; 32],
    };
    let hook = work::HookRecord {
        space: SPACE.0,
        bead: "app-1".into(),
        grant: [9; 32],
        fence: types::Fence { epoch: 2, n: 300 },
        lease_ms: 90_000,
        runner: "max".into(),
        base: Some("5".repeat(40)),
        cap: types::Limit { tokens: Some(200_000), money_micros: None },
        used: types::Usage { tokens_in: 1_000, tokens_out: 200, money_micros: 30_000 },
        told: types::Usage::default(),
        done: false,
        tentative: false,
        prepared: None,
    };
    let runner = work::RunnerRecord {
        rig: "app".into(),
        slots: 2,
        argv: vec!["./agent.sh".into(), "--fast".into()],
        repo: Some("/srv/app".into()),
        push: Some("origin".into()),
        time_ms: 14_400_000,
        sandbox: true,
        network: false,
    };
    let waiting = waiting::WaitingRecord { until_ms: 1_800_000_600_000, event: op_event().to_json() };
    let coupled = workspace::WorkspaceRecord {
        dir: "/srv/app".into(),
        space: SPACE.0,
        generation: Some([1; 20]),
        next_generation: 300,
        fresh: true,
        past: [[2; 20], [3; 20]].into(),
        question: vec!["app-x1".into()],
    };
    let intent = workspace::Intent {
        generation: [1; 20],
        shadows: vec![("app-x1".into(), Some(shown.clone())), ("app-x2".into(), None)],
    };
    let kept = checkpoint::Kept { event: b"{}".to_vec(), ops: u64::MAX, since_ms: 1_800_000_000_000, void: false };
    let floor = checkpoint::Floor { host: [1; 32], incarnation: 5, tips: vec![(7, [8; 32]), (9, [9; 32])], filled: 3 };
    let base = checkpoint::Base { id: [4; 32], floors: vec![floor] };
    vec![
        ("record/checkpoint/kept", records::pack(&kept)),
        ("record/base/one", records::pack(&base)),
        ("record/number/clock", records::pack(&117_964_800_000_065_541_u64)),
        ("record/text/attestation", records::pack(&"[\"auth\"]".to_owned())),
        ("record/generation/one", records::pack(&[9u8; 20])),
        ("record/incarnation/one", records::pack(&incarnation)),
        ("record/space/private", records::pack(&space)),
        ("record/space/public", records::pack(&space::SpaceRecord { public: true, keys: vec![], ..space })),
        ("record/host/known", records::pack(&known)),
        ("record/host/never-seen", records::pack(&host::HostRecord::default())),
        ("record/ticket/used", records::pack(&ticket)),
        ("record/tips/one", records::pack(&tips::Tips(vec![(9, [1; 32])]))),
        ("record/tips/fork", records::pack(&tips::Tips(vec![(8, [1; 32]), (9, [2; 32])]))),
        ("record/totals/all", records::pack(&totals)),
        ("record/hook/running", records::pack(&hook)),
        ("record/runner/max", records::pack(&runner)),
        ("record/waiting/op", records::pack(&waiting)),
        ("record/shadow/with-a-past", records::pack(&shown)),
        ("record/workspace/attached", records::pack(&coupled)),
        ("record/intent/two-lines", records::pack(&intent)),
    ]
}

fn keys() -> Part {
    vec![
        ("key/op/one", op::key(&SPACE, &writer(), 258, &EventId([0xee; 32]))),
        ("key/tips/one", tips::key(&SPACE, &writer())),
        ("key/bead/one", bead::key(&SPACE, "app-x1")),
        ("key/shadow/one", shadow::key(7, "app-x1")),
        ("key/workspace/one", workspace::key(258)),
    ]
}
