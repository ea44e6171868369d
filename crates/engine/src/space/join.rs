//! Becoming a member by ticket.

use super::charter::read_chain;
use crate::desk::Answer;
use crate::effect::{Effect, NetEffect};
use crate::engine::{Asked, Cx, Engine};
use crate::error::ApiError;
use crate::input::CallId;
use crate::records::{charter, meta, space::SpaceRecord};
use identity::{Event, Ticket, TicketError};
use proto::wire;
use serde_json::json;
use types::{PeerId, SpaceId, Table, UnixMs, ViewError};

/// The inviter is dialled again after this long, in milliseconds.
const DIAL_AGAIN_MS: u64 = 3_000;

/// An attempt ends after this long without being let in, in milliseconds.
const PATIENCE_MS: u64 = 45_000;

/// An attempt to join.
pub(crate) struct PendingJoin {
    call: CallId,
    ticket: Ticket,
    started: UnixMs,
    dial_at: UnixMs,
    /// Set once we are let in; the answer waits for the first catch-up.
    member_since: Option<UnixMs>,
}

impl Engine {
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>, call: CallId, text: &str) -> Answer {
        self.writable()?;
        let ticket = Ticket::decode(text).map_err(|e| {
            let code = match e {
                TicketError::TooLong => "ticket_too_long",
                TicketError::WrongPrefix => "not_a_ticket",
                TicketError::Checksum => "ticket_mistyped",
                TicketError::Version(_) => "newer_ticket",
                _ => "malformed_ticket",
            };
            ApiError::new(code, e.to_string()).hint("ask for a new one: townmesh invite")
        })?;
        if let Some(known) = self.spaces.get(&ticket.space) {
            let name = known.record.name.clone();
            return Err(ApiError::new("already_member", format!("this machine is a member of \"{name}\" already"))
                .hint("townmesh status"));
        }
        if ticket.expires < cx.now.secs() {
            return Err(ApiError::new("ticket_expired", "this ticket has expired")
                .hint("ask for a new one: townmesh invite")
                .hint("check this machine's clock"));
        }
        if ticket.addrs.is_empty() {
            return Err(ApiError::new("ticket_without_address", "the ticket names no address to reach its machine")
                .hint("make it while the other node is up: townmesh up, then townmesh invite"));
        }
        if self.offline {
            return Err(ApiError::new("offline", "this node runs without a network").hint("townmesh up"));
        }
        cx.out.push(Effect::Progress {
            call,
            progress: json!({"doing": "connecting", "to": ticket.peer_id, "addresses": ticket.addrs}),
        });
        let peer = ticket.peer_id;
        self.joins.push(PendingJoin { call, ticket, started: cx.up, dial_at: cx.up, member_since: None });
        if self.peers.is_connected(&peer) {
            self.join_connected(cx, peer);
        }
        self.tick_joins(cx);
        Ok(None)
    }

    pub(crate) fn tick_joins(&mut self, cx: &mut Cx<'_>) {
        let mut over = Vec::new();
        for (at, join) in self.joins.iter_mut().enumerate() {
            let peer = join.ticket.peer_id;
            if join.member_since.is_none() && cx.up.since_ms(join.started) > PATIENCE_MS {
                over.push(at);
            } else if join.member_since.is_none() && cx.up >= join.dial_at && !self.peers.is_connected(&peer) {
                join.dial_at = cx.up.plus_ms(DIAL_AGAIN_MS);
                cx.out.push(Effect::Net(NetEffect::Dial { peer, addrs: join.ticket.addrs.clone() }));
            }
        }
        for at in over.into_iter().rev() {
            let join = self.joins.remove(at);
            let reached = if self.peers.is_connected(&join.ticket.peer_id) {
                "reached, but gave no answer"
            } else {
                "not reached"
            };
            let err = ApiError::new("unreachable", format!("the inviting machine was {reached}"))
                .hint("is it up, and on a network that this machine can reach?")
                .hint(format!("addresses tried: {}", join.ticket.addrs.join(", ")));
            cx.reply(join.call, Err(err));
        }
    }

    /// The inviter is there: show the ticket.
    pub(crate) fn join_connected(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        let Some(join) = self.joins.iter().find(|j| j.ticket.peer_id == peer && j.member_since.is_none()) else {
            return;
        };
        if self.asks.values().any(|a| *a == Asked::Join(peer)) {
            return;
        }
        let request = wire::Join {
            h: join.ticket.h.clone(),
            ticket: join.ticket.secret.id().0.to_vec(),
            proof: join.ticket.secret.proof(&self.peer_id, &self.me).to_vec(),
            card: Vec::new(),
            name: self.name.clone(),
        };
        let call = join.call;
        let request = wire::Join { card: self.card(cx), ..request };
        cx.out.push(Effect::Progress { call, progress: json!({"doing": "showing the ticket", "to": peer}) });
        self.ask(cx, Asked::Join(peer), &wire::Request { body: Some(wire::request::Body::Join(request)) });
    }

    /// The inviter's answer to the ticket.
    pub(crate) fn welcomed(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        answer: Result<wire::response::Body, String>,
    ) -> Result<(), ViewError> {
        let Some(at) = self.joins.iter().position(|j| j.ticket.peer_id == peer && j.member_since.is_none()) else {
            return Ok(());
        };
        let call = self.joins[at].call;
        let welcome = match answer {
            Ok(wire::response::Body::Welcome(welcome)) => welcome,
            Ok(wire::response::Body::Refusal(no)) => {
                self.joins.remove(at);
                let text: String = no.message.chars().take(200).collect();
                let code: String = no.code.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
                cx.reply(call, Err(ApiError::new(&code, text).hint("ask for a new one: townmesh invite")));
                return Ok(());
            }
            // The connection broke: the next one shows the ticket again.
            Ok(_) | Err(_) => {
                self.joins[at].dial_at = cx.up.plus_ms(500);
                if self.peers.is_connected(&peer) {
                    self.join_connected(cx, peer);
                }
                return Ok(());
            }
        };
        let ticket = self.joins[at].ticket.clone();
        match self.enter(cx, &ticket, &welcome)? {
            Ok(()) => {
                self.joins[at].member_since = Some(cx.up);
                cx.out.push(Effect::Progress {
                    call,
                    progress: json!({"doing": "fetching beads", "space": ticket.name}),
                });
                self.remember(cx, peer, welcome.cards.first().cloned(), ticket.addrs.clone())?;
                cx.net(NetEffect::Keep(peer, true));
                self.say_hello(cx, peer);
            }
            Err(why) => {
                self.joins.remove(at);
                cx.reply(call, Err(ApiError::new("bad_welcome", format!("the papers do not verify: {why}"))));
            }
        }
        Ok(())
    }

    /// Checks the papers and opens the space.
    fn enter(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: &Ticket,
        welcome: &wire::Welcome,
    ) -> Result<Result<(), String>, ViewError> {
        let mut keys = Vec::new();
        for wrapped in welcome.wrapped_keys.iter().take(1_000) {
            match identity::unwrap_key(wrapped, &ticket.npub, self.host.nostr()) {
                Ok(key) => keys.push(*key.as_bytes()),
                Err(err) => return Ok(Err(err.to_string())),
            }
        }
        let name = self.free_name(&ticket.name);
        let record = SpaceRecord { name, public: keys.is_empty(), keys };
        let events = welcome.charter.as_ref().map(|c| c.events.clone()).unwrap_or_default();
        let chain = match read_chain(&ticket.space, &record, &events) {
            Ok(chain) if chain.may_read(&self.me) => chain,
            Ok(_) => return Ok(Err("the charter does not name this host".to_owned())),
            Err(why) => return Ok(Err(why)),
        };
        if (chain.visibility() == identity::Visibility::Public) != record.public {
            return Ok(Err("the keys do not fit the charter".to_owned()));
        }
        for event in &events {
            if let Ok(event) = Event::verify(event) {
                cx.txn.put(Table::Charters, charter::key(&ticket.space, &event.id()), event.to_json());
            }
        }
        cx.txn.put_record(Table::Spaces, ticket.space.0.to_vec(), &record);
        if !welcome.attestation.is_empty() {
            self.attestation = Some(welcome.attestation.clone());
            self.card = None;
            cx.txn.put_record(Table::Meta, meta::ATTESTATION.to_vec(), &welcome.attestation);
        }
        for card in &welcome.cards {
            let card_of = Event::verify(card).ok().and_then(|e| identity::HostCard::verify(&e, cx.now.secs()).ok());
            if let Some(host) = card_of {
                self.remember(cx, host.peer_id, Some(card.clone()), Vec::new())?;
            }
        }
        self.open_space(cx, ticket.space, record, chain)?;
        Ok(Ok(()))
    }

    /// Who waits for a space's first catch-up.
    pub(crate) fn joining(&self, space_id: SpaceId) -> Option<CallId> {
        let join = self.joins.iter().find(|j| j.ticket.space == space_id && j.member_since.is_some());
        join.map(|join| join.call)
    }

    fn free_name(&self, wanted: &str) -> String {
        let taken = |name: &str| self.spaces.values().any(|s| s.record.name == name);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        (2..).map(|n| format!("{wanted}-{n}")).find(|n| !taken(n)).unwrap_or_default()
    }

    /// After every exchange: who waits for a first catch-up and has it is answered.
    pub(crate) fn caught_up(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        if space.pull.is_some() || space.checkpoints.fetch.is_some() {
            return Ok(());
        }
        let Some(at) = self.joins.iter().position(|j| j.ticket.space == space_id && j.member_since.is_some()) else {
            return Ok(());
        };
        let join = self.joins.remove(at);
        let totals = cx.txn.totals(&space_id)?;
        cx.txn.write_back()?;
        let beads = cx.txn.totals(&space_id)?.beads.max(totals.beads);
        let name = self.spaces.get(&space_id).map(|s| s.record.name.clone());
        cx.reply(
            join.call,
            Ok(json!({"space": {"name": name, "id": space_id}, "beads": beads, "from": join.ticket.peer_id,
                "took_ms": cx.up.since_ms(join.started)})),
        );
        Ok(())
    }
}
