//! Who is there: connections, greetings, addresses, redialling.

use crate::effect::NetEffect;
use crate::engine::{Asked, Cx, Engine};
use crate::entropy::draw;
use crate::input::AskId;
use crate::records::{self, host::HostRecord};
use identity::{Event, HostCard};
use proto::{limits, names, wire};
use std::collections::{BTreeMap, BTreeSet};
use types::{PeerId, PubKey, Table, UnixMs, ViewError};

/// First and longest wait between two attempts to reach a member, in milliseconds.
const REDIAL_MS_MIN: u64 = 1_000;
const REDIAL_MS_MAX: u64 = 30_000;

/// A connected peer that has not said hello after this long is asked again.
const HELLO_AGAIN_MS: u64 = 5_000;

/// Host cards live this long and are renewed at half of it.
const CARD_MS: u64 = 14 * 24 * 3600 * 1000;

/// What is known of a peer right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) connected: bool,
    pub(crate) address: String,
    pub(crate) transport: String,
    pub(crate) rtt_us: Option<u64>,
    /// Set once it has proven who it is on this connection.
    pub(crate) greeted: Option<(PubKey, String)>,
    /// What it told with that.
    pub(crate) told: Told,
    greeted_at: UnixMs,
    hello_at: UnixMs,
    dial_at: UnixMs,
    dial_wait_ms: u64,
}

/// What a peer's greeting said about its program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The version of the wire protocol that it prefers.
    pub(crate) version: u32,
    /// What it can do; names that this program does not know are kept for people.
    pub(crate) capabilities: BTreeSet<String>,
    /// How far its clock was ahead of ours then, the way of the message included.
    pub(crate) ahead_ms: Option<i64>,
}

impl Told {
    fn by(hello: &wire::Hello, now: UnixMs) -> Told {
        let good = |name: &&String| {
            (1..=limits::CAPABILITY_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
        };
        let named = hello.capabilities.iter().take(limits::CAPABILITIES_MAX).filter(good).cloned();
        let ahead = i64::try_from(i128::from(hello.now_ms) - i128::from(now.0)).ok();
        let ahead_ms = ahead.filter(|_| hello.now_ms > 0);
        Told { version: hello.version, capabilities: named.collect(), ahead_ms }
    }
}

/// All peers that matter: members, and whoever is connected.
#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<PeerId, Peer>);

impl Peers {
    pub(crate) fn rtt(&mut self, peer: PeerId, micros: u64) {
        if let Some(peer) = self.0.get_mut(&peer) {
            peer.rtt_us = Some(micros);
        }
    }

    /// Connected peers that have said who they are.
    pub(crate) fn greeted(&self) -> impl Iterator<Item = (PeerId, PubKey)> + '_ {
        self.0
            .iter()
            .filter(|(_, p)| p.connected)
            .filter_map(|(id, p)| p.greeted.as_ref().map(|(npub, _)| (*id, *npub)))
    }

    pub(crate) fn is_greeted(&self, peer: &PeerId) -> bool {
        self.npub(peer).is_some()
    }

    /// Whether a peer said hello less than `ms` ago.
    pub(crate) fn greeted_within(&self, peer: &PeerId, now: UnixMs, ms: u64) -> bool {
        self.0.get(peer).is_some_and(|p| p.greeted.is_some() && now.since_ms(p.greeted_at) < ms)
    }

    /// Whether a peer has greeted without naming an ability, so that asking for it is of no use.
    pub(crate) fn lacks(&self, peer: &PeerId, ability: &str) -> bool {
        self.0.get(peer).is_some_and(|p| p.greeted.is_some() && !p.told.capabilities.contains(ability))
    }

    pub(crate) fn npub(&self, peer: &PeerId) -> Option<PubKey> {
        self.0.get(peer).filter(|p| p.connected)?.greeted.as_ref().map(|(npub, _)| *npub)
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.0.iter().filter(|(_, p)| p.connected)
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.0.get(peer).is_some_and(|p| p.connected)
    }
}

impl Engine {
    /// Peer id and key of every fellow member of any space.
    pub(crate) fn members(&self) -> BTreeMap<PeerId, PubKey> {
        let members = self.spaces.values().flat_map(|s| s.charter.members());
        members.map(|m| (m.peer_id, m.npub)).filter(|(peer, _)| *peer != self.peer_id).collect()
    }

    pub(crate) fn connected(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        address: String,
        transport: String,
        outbound: bool,
    ) -> Result<(), ViewError> {
        let member = self.members().contains_key(&peer);
        let entry = self.peers.0.entry(peer).or_default();
        *entry = Peer {
            connected: true,
            address: address.clone(),
            transport,
            dial_wait_ms: 0,
            rtt_us: entry.rtt_us,
            ..Peer::default()
        };
        if member {
            cx.net(NetEffect::Keep(peer, true));
            if outbound {
                self.remember(cx, peer, None, vec![address])?;
            }
            self.say_hello(cx, peer);
        }
        self.join_connected(cx, peer);
        Ok(())
    }

    pub(crate) fn disconnected(&mut self, cx: &mut Cx<'_>, peer: PeerId) -> Result<(), ViewError> {
        if let Some(known) = self.peers.0.get_mut(&peer) {
            *known = Peer { dial_at: cx.up.plus_ms(200), ..Peer::default() };
        }
        if !self.members().contains_key(&peer) {
            self.peers.0.remove(&peer);
        }
        self.forget_asks(cx, peer)
    }

    /// A machine on the local network: dialled when it is a member.
    pub(crate) fn discovered(&mut self, cx: &mut Cx<'_>, peer: PeerId, addrs: Vec<String>) -> Result<(), ViewError> {
        if !self.members().contains_key(&peer) {
            return Ok(());
        }
        self.remember(cx, peer, None, addrs.clone())?;
        if !self.peers.is_connected(&peer) {
            cx.net(NetEffect::Dial { peer, addrs });
        }
        Ok(())
    }

    /// Keeps what is known of a host.
    pub(crate) fn remember(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        card: Option<Vec<u8>>,
        addrs: Vec<String>,
    ) -> Result<(), ViewError> {
        let key = records::host::key(&peer);
        let before: HostRecord = cx.txn.record(Table::Hosts, &key)?.unwrap_or_default();
        let mut after = before.clone();
        after.add_addrs(addrs);
        if card.is_some() {
            after.card = card;
        }
        if after != before {
            after.seen_ms = cx.now.0;
            cx.txn.put_record(Table::Hosts, key, &after);
        }
        Ok(())
    }

    /// This host's card, renewed when half of its life is over.
    pub(crate) fn card(&mut self, cx: &mut Cx<'_>) -> Vec<u8> {
        if let Some((card, renew_at)) = &self.card
            && cx.up < *renew_at
        {
            return card.clone();
        }
        let expires = cx.now.plus_ms(CARD_MS).secs();
        let card = HostCard::issue(
            &self.host,
            &self.name,
            &[],
            cx.now.secs(),
            expires,
            self.attestation.as_deref(),
            draw(cx.entropy),
        );
        let json = card.to_json();
        self.card = Some((json.clone(), cx.up.plus_ms(CARD_MS / 2)));
        json
    }

    fn hello(&mut self, cx: &mut Cx<'_>) -> wire::Hello {
        wire::Hello {
            version: names::WIRE_VERSION,
            card: self.card(cx),
            capabilities: names::CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
            addrs: self.listen.iter().take(records::host::ADDRS_MAX).cloned().collect(),
            now_ms: cx.now.0,
        }
    }

    pub(crate) fn say_hello(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if self.asks.values().any(|a| *a == Asked::Hello(peer)) {
            return;
        }
        if let Some(known) = self.peers.0.get_mut(&peer) {
            known.hello_at = cx.up;
        }
        let body = Some(wire::request::Body::Hello(self.hello(cx)));
        self.ask(cx, Asked::Hello(peer), &wire::Request { body });
    }

    /// Checks a greeting: the card is the peer's own, and its key is that of a member.
    fn greeted(&mut self, cx: &mut Cx<'_>, peer: PeerId, hello: &wire::Hello) -> Result<bool, ViewError> {
        let card = match Event::verify(&hello.card).ok().and_then(|e| HostCard::verify(&e, cx.now.secs()).ok()) {
            Some(card) if card.peer_id == peer => card,
            _ => {
                self.count("bad_card");
                return Ok(false);
            }
        };
        if self.members().get(&peer) != Some(&card.npub) {
            self.count("stranger");
            return Ok(false);
        }
        let addrs = hello.addrs.iter().take(records::host::ADDRS_MAX).cloned().collect();
        self.remember(cx, peer, Some(hello.card.clone()), addrs)?;
        if let Some(known) = self.peers.0.get_mut(&peer) {
            known.greeted = Some((card.npub, card.name));
            known.greeted_at = cx.up;
            known.told = Told::by(hello, cx.now);
        }
        let shared: Vec<_> = self.spaces.values().filter(|s| s.charter.may_read(&card.npub)).map(|s| s.id).collect();
        for space in shared {
            self.exchange_soon(cx.up, space);
        }
        cx.net(NetEffect::Keep(peer, true));
        Ok(true)
    }

    /// A peer asks something.
    pub(crate) fn asked(&mut self, cx: &mut Cx<'_>, peer: PeerId, inbound: u64, body: &[u8]) -> Result<(), ViewError> {
        use wire::{request::Body as Ask, response::Body as Say};
        let request = proto::decode::<wire::Request>(body, limits::RPC_BYTES_MAX).ok().and_then(|r| r.body);
        let answer = match request {
            None => {
                self.count("malformed_request");
                refusal("malformed", "not a request that this version knows")
            }
            Some(Ask::Hello(hello)) => {
                if self.greeted(cx, peer, &hello)? {
                    Say::Hello(self.hello(cx))
                } else {
                    refusal("stranger", "no member of any space here")
                }
            }
            Some(Ask::Join(join)) => self.admit(cx, peer, &join)?,
            Some(Ask::Heads(told)) => match self.reader_of(&peer, &told.h) {
                None => self.not_a_member(),
                Some(space_id) => {
                    let ours = self.heads(cx, space_id)?.unwrap_or_default();
                    self.learn_heads(cx, peer, space_id, &told)?;
                    Say::Heads(ours)
                }
            },
            Some(Ask::Charter(query)) => match self.reader_of(&peer, &query.h) {
                None => self.not_a_member(),
                Some(space_id) => Say::Charter(self.charter_chain(cx, space_id)?),
            },
            Some(Ask::Work(work)) => match self.reader_of(&peer, &work.h) {
                None => self.not_a_member(),
                Some(space_id) => Say::Work(self.work_asked(cx, peer, space_id, &work)?),
            },
            Some(Ask::Log(query)) => match self.reader_of(&peer, &query.h) {
                None => self.not_a_member(),
                Some(space_id) => match self.log_asked(cx, (peer, inbound), space_id, &query) {
                    Some(refused) => refused,
                    // Answered when it was read.
                    None => return Ok(()),
                },
            },
            Some(Ask::Hosts(query)) => match self.reader_of(&peer, &query.h) {
                None => self.not_a_member(),
                Some(space_id) => Say::Hosts(self.hosts(cx, space_id)?),
            },
        };
        let body = proto::encode(&wire::Response { body: Some(answer) });
        cx.net(NetEffect::Answer { inbound, body });
        Ok(())
    }

    fn not_a_member(&mut self) -> wire::response::Body {
        self.count("request_refused");
        refusal("not_a_member", "say hello first; only members are answered")
    }

    /// An answer to a question of ours.
    pub(crate) fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        ask: AskId,
        result: Result<Vec<u8>, String>,
    ) -> Result<(), ViewError> {
        use wire::response::Body as Say;
        let Some(asked) = self.asks.remove(&ask) else { return Ok(()) };
        let answer = result.and_then(|bytes| {
            let response = proto::decode::<wire::Response>(&bytes, limits::RPC_BYTES_MAX).map_err(|e| e.to_string())?;
            response.body.ok_or_else(|| "an answer that this version does not know".to_owned())
        });
        match (asked, answer) {
            (Asked::Join(peer), answer) => self.welcomed(cx, peer, answer),
            (Asked::Hello(peer), Ok(Say::Hello(hello))) => {
                if self.greeted(cx, peer, &hello)? {
                    self.meet(cx, peer)?;
                }
                Ok(())
            }
            (Asked::Heads(peer, space), Ok(Say::Heads(told))) => {
                self.learn_heads(cx, peer, space, &told)?;
                self.caught_up(cx, space)
            }
            (Asked::Charter(peer, space), Ok(Say::Charter(chain))) => {
                self.learn_charter(cx, space, &chain)?;
                self.ask_heads(cx, peer, space)
            }
            (Asked::Work { peer, space, asked_at }, Ok(Say::Work(answer))) => {
                self.work_answered(cx, (peer, space, asked_at), &answer)
            }
            (Asked::Log { call, .. }, answer) => self.log_answered(cx, call, answer),
            (Asked::Hosts(_, space), Ok(Say::Hosts(hosts))) => self.learn_hosts(cx, space, &hosts),
            (_, Ok(Say::Refusal(_))) => {
                self.count("was_refused");
                Ok(())
            }
            (_, Ok(_)) => {
                self.count("malformed_answer");
                Ok(())
            }
            (_, Err(_)) => {
                self.count("question_failed");
                Ok(())
            }
        }
    }

    /// A member has proven who it is: compare what we hold, and learn where the others are.
    pub(crate) fn meet(&mut self, cx: &mut Cx<'_>, peer: PeerId) -> Result<(), ViewError> {
        let Some(npub) = self.peers.npub(&peer).filter(|_| !self.peers.lacks(&peer, names::SYNC)) else {
            return Ok(());
        };
        let shared: Vec<_> =
            self.spaces.values().filter(|s| s.charter.may_read(&npub)).map(|s| (s.id, s.h.clone())).collect();
        for (space, h) in shared {
            self.ask_heads(cx, peer, space)?;
            let body = Some(wire::request::Body::Hosts(wire::HostsQuery { h }));
            self.ask(cx, Asked::Hosts(peer, space), &wire::Request { body });
        }
        Ok(())
    }

    /// Where the members of a space are, as far as we know.
    fn hosts(&mut self, cx: &mut Cx<'_>, space_id: types::SpaceId) -> Result<wire::Hosts, ViewError> {
        let mut hosts = wire::Hosts::default();
        let Some(space) = self.spaces.get(&space_id) else { return Ok(hosts) };
        for member in space.charter.members() {
            if let Some(record) = cx.txn.record::<HostRecord>(Table::Hosts, &records::host::key(&member.peer_id))? {
                hosts.addrs.push(wire::HostAddrs { peer: member.peer_id.to_bytes(), addrs: record.addrs });
            }
        }
        Ok(hosts)
    }

    fn learn_hosts(&mut self, cx: &mut Cx<'_>, space_id: types::SpaceId, hosts: &wire::Hosts) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        let members: Vec<PeerId> = space.charter.members().map(|m| m.peer_id).collect();
        for told in hosts.addrs.iter().take(limits::MEMBERS_MAX) {
            let Ok(peer) = PeerId::from_bytes(&told.peer) else { continue };
            if peer == self.peer_id || !members.contains(&peer) || self.peers.is_connected(&peer) {
                continue;
            }
            let known: HostRecord = cx.txn.record(Table::Hosts, &records::host::key(&peer))?.unwrap_or_default();
            let fresh: Vec<String> = told.addrs.iter().take(8).filter(|a| !known.addrs.contains(a)).cloned().collect();
            if !fresh.is_empty() {
                self.remember(cx, peer, None, fresh)?;
            }
        }
        Ok(())
    }

    /// The network gives members more room than strangers, so it hears who is one before they come.
    fn tell_members(&mut self, cx: &mut Cx<'_>, members: &BTreeMap<PeerId, PubKey>) {
        for peer in members.keys().filter(|peer| !self.kept.contains(peer)) {
            cx.net(NetEffect::Keep(*peer, true));
        }
        for peer in self.kept.iter().filter(|peer| !members.contains_key(peer)) {
            cx.net(NetEffect::Keep(*peer, false));
        }
        if !self.kept.iter().eq(members.keys()) {
            self.kept = members.keys().copied().collect();
        }
    }

    /// Members that are not connected are tried again and again, with growing waits; silent ones are greeted again.
    pub(crate) fn tick_peers(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        if self.offline {
            return Ok(());
        }
        let members = self.members();
        self.tell_members(cx, &members);
        for peer in members.into_keys() {
            let jitter = u64::from(u16::from_be_bytes(draw(cx.entropy)));
            let known = self.peers.0.entry(peer).or_default();
            if known.connected {
                if known.greeted.is_none() && cx.up.since_ms(known.hello_at) > HELLO_AGAIN_MS {
                    self.say_hello(cx, peer);
                }
                continue;
            }
            if cx.up < known.dial_at {
                continue;
            }
            known.dial_wait_ms = (known.dial_wait_ms * 2).clamp(REDIAL_MS_MIN, REDIAL_MS_MAX);
            let wait = known.dial_wait_ms;
            known.dial_at = cx.up.plus_ms(wait + wait / 2 * jitter / 65_536);
            let record: HostRecord = cx.txn.record(Table::Hosts, &records::host::key(&peer))?.unwrap_or_default();
            if !record.addrs.is_empty() {
                cx.net(NetEffect::Dial { peer, addrs: record.addrs });
            }
        }
        Ok(())
    }
}

/// A typed no on the wire.
pub(crate) fn refusal(code: &str, message: &str) -> wire::response::Body {
    wire::response::Body::Refusal(wire::Refusal { code: code.to_owned(), message: message.to_owned() })
}
