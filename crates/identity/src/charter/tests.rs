use super::*;
use crate::{Commitment, Event, HostKey, NostrKey, OwnerKey, SpaceKey};
use proptest::prelude::*;
use serde_json::{Map, json};
use types::{EventId, KeyId, MeshId, PubKey, UnixSecs, Writer};

fn owner() -> OwnerKey {
    OwnerKey::generate([1; 32], [2; 32])
}

fn host(n: u8) -> PubKey {
    HostKey::generate([n; 32], [n.wrapping_add(100); 32]).npub()
}

fn member(n: u8, role: Role) -> Member {
    let key = HostKey::generate([n; 32], [n.wrapping_add(100); 32]);
    let (npub, peer_id, name, owner) = (key.npub(), key.peer_id(), format!("host-{n}"), owner().npub());
    Member { npub, peer_id, name, owner, roles: vec![role], unknown: Map::new() }
}

fn secret(n: u8) -> SpaceKey {
    SpaceKey::from_bytes([n; 32])
}

/// Every key that the tests use.
fn keys(id: &KeyId) -> Option<SpaceKey> {
    (1..=9).map(secret).find(|k| k.id() == *id)
}

fn first() -> Charter {
    Charter {
        n: 1,
        prev: vec![],
        name: "app".to_owned(),
        mesh: MeshId([3; 16]),
        visibility: Visibility::Private,
        members: vec![member(1, Role::Maintainer)],
        coordinator: Some(host(1)),
        successors: vec![],
        witnesses: vec![],
        policy: Map::new(),
        keys: vec![KeyEntry { id: secret(1).id() }],
        current_key: Some(secret(1).id()),
        next_owner: owner().commitment(),
        removed: vec![],
        unknown: Map::new(),
    }
}

fn sign(charter: &Charter, key: &NostrKey, at: u64) -> Event {
    charter.sign(key, UnixSecs(at), Some((&secret(1), &secret(1), [at as u8; 24])), None, [0; 32]).unwrap()
}

fn genesis() -> (CharterChain, Event) {
    let event = sign(&first(), owner().nostr(), 1);
    (CharterChain::genesis(&event, &keys).unwrap(), event)
}

/// A version made from `base`, changed, signed by the owner.
fn next(base: &CharterChain, at: u64, change: impl FnOnce(&mut Charter)) -> Event {
    let mut draft = base.draft();
    change(&mut draft);
    sign(&draft, owner().nostr(), at)
}

fn with(base: &CharterChain, event: &Event) -> CharterChain {
    let mut chain = base.clone();
    assert!(chain.extend(event, &keys).unwrap());
    chain
}

fn drop_member(charter: &mut Charter, n: u8, cutoffs: Vec<Cutoff>) {
    charter.members.retain(|m| m.npub != host(n));
    charter.coordinator = None;
    charter.removed.push(Removed { npub: host(n), cutoffs });
}

fn cut(incarnation: u64, seq: u64) -> Cutoff {
    Cutoff { incarnation, seq, id: (seq > 0).then(|| op(seq)) }
}

fn op(seq: u64) -> EventId {
    EventId([seq as u8; 32])
}

fn check(chain: &CharterChain, n: u8, incarnation: u64, seq: u64, charter: EventId) -> Result<(), OpRefusal> {
    chain.check_op(&Writer { host: host(n), incarnation }, seq, &op(seq), &charter)
}

#[test]
fn bodies_round_trip_with_what_is_unknown() {
    let mut charter = first();
    charter.unknown.insert("later".to_owned(), json!({"a": [1, 2.5]}));
    charter.policy.insert("history".to_owned(), json!("keep"));
    charter.members[0].unknown.insert("colour".to_owned(), json!("red"));
    charter.members[0].roles.push(Role::Other("guest".to_owned()));
    charter.removed.push(Removed { npub: host(8), cutoffs: vec![cut(u64::MAX, 3), cut(1, 0)] });
    assert_eq!(Charter::decode(&charter.encode()).unwrap(), charter);
    let event = sign(&charter, owner().nostr(), 1);
    assert_eq!(Charter::read(&event, &keys).unwrap(), charter);
    assert!(!String::from_utf8(event.to_json()).unwrap().contains("host-1"));
}

#[test]
fn hostile_bodies_have_their_errors() {
    let broken = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body: serde_json::Value = serde_json::from_slice(&first().encode()).unwrap();
        change(&mut body);
        Charter::decode(body.to_string().as_bytes())
    };
    assert!(broken(&|_| ()).is_ok());
    assert_eq!(broken(&|b| b["v"] = json!(2)), Err(BodyError::Newer(2)));
    for (field, value, error) in [
        ("v", json!("1"), "v"),
        ("n", json!(0), "n"),
        ("n", json!(2), "n"),
        ("name", json!("a\u{7}"), "name"),
        ("visibility", json!("secret"), "visibility"),
        ("coordinator", json!("11".repeat(32)), "coordinator"),
        ("keys", json!([]), "keys"),
        ("current_key", json!("11".repeat(32)), "current_key"),
        ("next_owner", json!("xx"), "next_owner"),
        ("removed", json!([{"npub": host(1), "cutoffs": []}]), "removed"),
        ("removed", json!([{"npub": host(2), "cutoffs": [{"incarnation": 1, "seq": 4}]}]), "cutoffs"),
    ] {
        assert_eq!(broken(&|b| b[field] = value.clone()), Err(BodyError::Field(error)), "{field}");
    }
    assert_eq!(broken(&|b| b["members"][0]["roles"] = json!(["A"])), Err(BodyError::Field("role")));
    let twice = |b: &mut serde_json::Value| b["members"] = json!([b["members"][0], b["members"][0]]);
    assert_eq!(broken(&twice), Err(BodyError::Field("members")));
    assert!(matches!(broken(&|b| b["members"] = json!(3)), Err(BodyError::Malformed(_))));
    assert!(matches!(Charter::decode(b"{"), Err(BodyError::Malformed(_))));
    assert_eq!(Charter::decode(&vec![b' '; 60_001]), Err(BodyError::TooLarge(60_001)));
    let mut big = first();
    big.members = (0..255).map(|n| member(n, Role::Writer)).collect();
    big.coordinator = None;
    let sealed = Some((&secret(1), &secret(1), [0; 24]));
    assert!(matches!(big.sign(owner().nostr(), UnixSecs(1), sealed, None, [0; 32]), Err(BodyError::TooLarge(_))));
}

#[test]
fn a_chain_grows_by_its_owner_only() {
    let (chain, event) = genesis();
    assert_eq!((chain.space().0, chain.head()), (event.id().0, event.id()));
    assert!(chain.may_write(&host(1)) && !chain.may_read(&host(2)));
    let joined = next(&chain, 2, |c| c.members.push(member(2, Role::Writer)));
    let grown = with(&chain, &joined);
    assert!(grown.may_write(&host(2)) && grown.head() == joined.id() && grown.coordinator() == Some(host(1)));
    assert!(!grown.clone().extend(&joined, &keys).unwrap());
    let thief = NostrKey::generate([66; 32]);
    let stolen = sign(&chain.draft(), &thief, 3);
    assert_eq!(chain.clone().extend(&stolen, &keys), Err(CharterError::NotOwner));
    assert!(chain.may_extend(&owner().npub()) && !chain.may_extend(&thief.public()));
    let again = [joined.clone(), event.clone()];
    assert_eq!(CharterChain::from_events(&again, &keys).unwrap().head(), joined.id());
    assert_eq!(CharterChain::from_events(&[joined], &keys).unwrap_err(), CharterError::Genesis);
    assert_eq!(CharterChain::from_events(&[], &keys).unwrap_err(), CharterError::Genesis);
    let no_keys = |_: &KeyId| None;
    assert_eq!(CharterChain::genesis(&event, &no_keys).unwrap_err().code(), "charter_unknown_key");
}

#[test]
fn versions_that_do_not_follow_are_refused() {
    let (chain, _) = genesis();
    let refused = |event: &Event| chain.clone().extend(event, &keys).unwrap_err();
    assert_eq!(refused(&next(&chain, 2, |c| c.n = 3)), CharterError::DoesNotFollow("number"));
    assert_eq!(refused(&next(&chain, 2, |c| c.mesh = MeshId([9; 16]))), CharterError::DoesNotFollow("mesh"));
    let rekeyed = next(&chain, 2, |c| {
        c.keys = vec![KeyEntry { id: secret(2).id() }];
        c.current_key = Some(secret(2).id());
    });
    assert_eq!(refused(&rekeyed), CharterError::DoesNotFollow("keys"));
    let missing = next(&chain, 2, |c| c.prev = vec![EventId([7; 32])]);
    assert_eq!(refused(&missing), CharterError::MissingPrev(EventId([7; 32])));
    let wrong_key = Some((&secret(1), &secret(2), [0; 24]));
    let event = chain.draft().sign(owner().nostr(), UnixSecs(2), wrong_key, None, [0; 32]).unwrap();
    assert_eq!(refused(&event), CharterError::DoesNotFollow("sealing key"));
    let elsewhere = Some((&secret(2), &secret(1), [0; 24]));
    let event = chain.draft().sign(owner().nostr(), UnixSecs(2), elsewhere, None, [0; 32]).unwrap();
    assert_eq!(refused(&event), CharterError::AnotherSpace);
    assert_eq!(refused(&sign(&first(), owner().nostr(), 5)), CharterError::Genesis);
    let silent = next(&chain, 2, |c| {
        c.members.clear();
        c.coordinator = None;
    });
    assert_eq!(refused(&silent), CharterError::UnnamedRemoval(host(1)));
}

#[test]
fn a_new_key_seals_what_comes_after_it() {
    let (chain, _) = genesis();
    let rekeyed = next(&chain, 2, |c| {
        c.keys.push(KeyEntry { id: secret(2).id() });
        c.current_key = Some(secret(2).id());
    });
    let chain = with(&chain, &rekeyed);
    assert_eq!(chain.current_key(), Some(secret(2).id()));
    assert_eq!(chain.clone().extend(&next(&chain, 3, |_| ()), &keys), Err(CharterError::DoesNotFollow("sealing key")));
    let sealed = Some((&secret(1), &secret(2), [0; 24]));
    let event = chain.draft().sign(owner().nostr(), UnixSecs(3), sealed, None, [0; 32]).unwrap();
    assert_eq!(with(&chain, &event).len(), 3);
}

#[test]
fn public_spaces_are_in_the_clear() {
    let public = Charter { visibility: Visibility::Public, keys: vec![], current_key: None, ..first() };
    let event = public.sign(owner().nostr(), UnixSecs(1), None, None, [0; 32]).unwrap();
    let no_keys = |_: &KeyId| None;
    let chain = CharterChain::genesis(&event, &no_keys).unwrap();
    assert_eq!(chain.h(), chain.space().to_string());
    let next = |space| chain.draft().sign(owner().nostr(), UnixSecs(2), None, space, [0; 32]).unwrap();
    assert!(chain.clone().extend(&next(Some(chain.space())), &no_keys).unwrap());
    assert_eq!(chain.clone().extend(&next(None), &no_keys), Err(CharterError::AnotherSpace));
    let sealed = Some((&secret(1), &secret(1), [0; 24]));
    assert_eq!(public.sign(owner().nostr(), UnixSecs(1), sealed, None, [0; 32]), Err(BodyError::Field("visibility")));
}

#[test]
fn cut_offs_decide_and_not_arrival() {
    let (chain, first) = genesis();
    let joined = next(&chain, 2, |c| c.members.push(member(2, Role::Writer)));
    let chain = with(&chain, &joined);
    assert_eq!(check(&chain, 2, 7, 1, first.id()), Err(OpRefusal::NotAWriter));
    assert_eq!(check(&chain, 2, 7, 100, joined.id()), Ok(()));
    assert_eq!(check(&chain, 2, 7, 1, EventId([9; 32])), Err(OpRefusal::UnknownCharter));
    let gone = next(&chain, 3, |c| drop_member(c, 2, vec![cut(7, 4)]));
    let cut_off = with(&chain, &gone);
    assert!(!cut_off.may_write(&host(2)) && !cut_off.may_read(&host(2)) && cut_off.ever_member(&host(2)));
    assert_eq!(check(&cut_off, 2, 7, 4, joined.id()), Ok(()));
    assert_eq!(check(&cut_off, 2, 7, 5, joined.id()), Err(OpRefusal::AfterCutoff(4)));
    assert_eq!(check(&cut_off, 2, 8, 1, joined.id()), Err(OpRefusal::AfterCutoff(0)));
    assert_eq!(check(&cut_off, 2, 7, 1, gone.id()), Err(OpRefusal::NotAWriter));
    let writer = Writer { host: host(2), incarnation: 7 };
    let forged = cut_off.check_op(&writer, 4, &op(99), &joined.id());
    assert_eq!(forged, Err(OpRefusal::OtherThanCutoff));
    // Back again: later ops count under the later version, the old ones stay cut.
    let back = next(&cut_off, 4, |c| c.members.push(member(2, Role::Writer)));
    let back_chain = with(&cut_off, &back);
    assert_eq!(check(&back_chain, 2, 7, 5, back.id()), Ok(()));
    assert_eq!(check(&back_chain, 2, 7, 5, joined.id()), Err(OpRefusal::AfterCutoff(4)));
    // A concurrent, lower cut-off wins, also over who came back.
    let lower = next(&chain, 5, |c| drop_member(c, 2, vec![cut(7, 2)]));
    let both = with(&back_chain, &lower);
    assert_eq!(check(&both, 2, 7, 2, joined.id()), Ok(()));
    assert_eq!(check(&both, 2, 7, 3, joined.id()), Err(OpRefusal::AfterCutoff(2)));
    assert_eq!(check(&both, 2, 7, 5, back.id()), Err(OpRefusal::AfterCutoff(2)));
}

#[test]
fn concurrent_versions_give_what_all_of_them_give() {
    let (chain, _) = genesis();
    let base = with(&chain, &next(&chain, 2, |c| c.members.push(member(2, Role::Writer))));
    let adds = next(&base, 3, |c| c.members.push(member(3, Role::Writer)));
    let lowers = next(&base, 4, |c| {
        drop_member(c, 2, vec![cut(1, 9)]);
        c.members.push(member(2, Role::Reader));
    });
    let both = with(&with(&base, &adds), &lowers);
    assert_eq!(both.heads().len(), 2);
    assert!(both.may_write(&host(1)) && !both.may_read(&host(3)));
    assert!(both.may_read(&host(2)) && !both.may_write(&host(2)));
    assert_eq!(both.coordinator(), None);
    assert_eq!(check(&both, 2, 1, 10, adds.id()), Err(OpRefusal::AfterCutoff(9)));
    let merge = next(&both, 5, |c| c.coordinator = Some(host(1)));
    let merged = with(&both, &merge);
    assert_eq!((merged.heads(), merged.coordinator()), (vec![merge.id()], Some(host(1))));
    assert!(merged.may_write(&host(3)) && merged.may_read(&host(2)) && !merged.may_write(&host(2)));
}

#[test]
fn a_rotation_undoes_what_a_thief_signs() {
    let (chain, _) = genesis();
    let rotated_key = owner().rotate([9; 32]);
    let mut draft = chain.draft();
    draft.next_owner = rotated_key.commitment();
    let rotation = sign(&draft, rotated_key.nostr(), 2);
    let thief_next = NostrKey::generate([66; 32]);
    let theft = next(&chain, 3, |c| {
        c.next_owner = Commitment::to(&thief_next.public());
        c.members.push(member(6, Role::Maintainer));
    });
    let stolen = with(&chain, &theft);
    let second = sign(&stolen.draft(), &thief_next, 4);
    let stolen = with(&stolen, &second);
    assert!(stolen.may_write(&host(6)));
    let saved = with(&stolen, &rotation);
    assert_eq!(saved.heads(), vec![rotation.id()]);
    assert_eq!(saved.owner(), rotated_key.npub());
    assert!(saved.void(&theft.id()) && saved.void(&second.id()) && !saved.may_read(&host(6)));
    assert_eq!(check(&saved, 6, 1, 1, theft.id()), Err(OpRefusal::VoidCharter));
    assert_eq!(saved.clone().extend(&next(&saved, 5, |_| ()), &keys), Err(CharterError::NotOwner));
    let goes_on = sign(&saved.draft(), rotated_key.nostr(), 6);
    assert_eq!(with(&saved, &goes_on).head(), goes_on.id());
    assert!(!saved.may_extend(&owner().npub()) && saved.may_extend(&rotated_key.npub()));
}

/// A random history: each step extends some earlier set of versions by one change, now and then by another key.
fn history(steps: &[(u8, u8, u8)]) -> Vec<Event> {
    let (chain, first) = genesis();
    let mut known = vec![chain];
    let mut events = vec![first];
    let rotated = owner().rotate([9; 32]);
    for (at, (from, change, n)) in steps.iter().enumerate() {
        let base = known[*from as usize % known.len()].clone();
        let other = known[*n as usize % known.len()].clone();
        let mut base = base;
        if change % 5 == 0 {
            for event in &events {
                if other.knows(&event.id()) {
                    let _ = base.extend(event, &keys);
                }
            }
        }
        let n = 2 + n % 4;
        let mut draft = base.draft();
        draft.coordinator = None;
        let writes = draft.may_write(&host(n));
        let seq = u64::from(*from) % 6;
        match change % 4 {
            0 if !writes => {
                draft.members.retain(|m| m.npub != host(n));
                draft.members.push(member(n, Role::Writer));
            }
            1 if writes => drop_member(&mut draft, n, vec![cut(1, seq)]),
            2 if writes => {
                drop_member(&mut draft, n, vec![cut(1, seq)]);
                draft.members.push(member(n, Role::Reader));
            }
            _ => draft.name = format!("app-{at}"),
        }
        let signer = if *change > 230 { rotated.nostr().clone() } else { owner().nostr().clone() };
        if signer.public() != owner().npub() {
            draft.next_owner = rotated.commitment();
        }
        let event = sign(&draft, &signer, at as u64 + 2);
        if base.extend(&event, &keys).is_ok() {
            events.push(event);
            known.push(base);
        }
    }
    events
}

/// Everything that can be asked of a chain.
fn answers(chain: &CharterChain) -> String {
    let mut ids: Vec<EventId> = chain.ids().collect();
    ids.sort();
    let mut out = format!("{:?} {:?} {:?}", chain.heads(), chain.owner(), chain.coordinator());
    let mut members: Vec<_> = chain.members().map(|m| (m.npub, m.roles.clone())).collect();
    members.sort();
    out += &format!("{members:?}");
    for n in 1..7 {
        out += &format!("{} {} ", chain.may_write(&host(n)), chain.ever_member(&host(n)));
        for id in &ids {
            out += &format!("{}{} ", chain.void(id), chain.may_write_at(&host(n), id));
            for (incarnation, seq) in [(1, 1), (1, 3), (1, 6), (2, 1)] {
                out += &format!("{:?}", check(chain, n, incarnation, seq, *id));
            }
        }
    }
    out
}

/// The random histories hold what the next property is about.
#[test]
fn histories_hold_forks_merges_removals_and_rotations() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = proptest::collection::vec(any::<(u8, u8, u8)>(), 1..14);
    let (mut forks, mut merges, mut removals, mut voids) = (0, 0, 0, 0);
    for _ in 0..60 {
        let events = history(&steps.new_tree(&mut runner).unwrap().current());
        let chain = CharterChain::from_events(&events, &keys).unwrap();
        forks += usize::from(chain.heads().len() > 1);
        merges += usize::from(chain.ids().any(|id| chain.version(&id).unwrap().prev.len() > 1));
        removals += usize::from(chain.ids().any(|id| !chain.version(&id).unwrap().removed.is_empty()));
        voids += usize::from(chain.ids().any(|id| chain.void(&id)));
    }
    assert!(forks > 10 && merges > 10 && removals > 10 && voids > 5, "{forks} {merges} {removals} {voids}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_arrival_does_not_matter(
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..14),
        order in proptest::collection::vec(any::<u32>(), 16),
    ) {
        let events = history(&steps);
        let whole = CharterChain::from_events(&events, &keys).unwrap();
        let mut shuffled: Vec<(u32, Event)> =
            events[1..].iter().enumerate().map(|(n, e)| (order[n % order.len()], e.clone())).collect();
        shuffled.sort_by_key(|(rank, _)| *rank);
        let mut chain = CharterChain::genesis(&events[0], &keys).unwrap();
        while !shuffled.is_empty() {
            let before = shuffled.len();
            shuffled.retain(|(_, event)| match chain.extend(event, &keys) {
                Ok(_) => false,
                Err(CharterError::MissingPrev(_)) => true,
                Err(other) => panic!("{other}"),
            });
            prop_assert!(shuffled.len() < before);
        }
        prop_assert_eq!(answers(&chain), answers(&whole));
    }

    #[test]
    fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Charter::decode(&bytes).is_err());
    }
}
