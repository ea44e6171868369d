//! Tickets: giving them out, and letting their bearers in.

use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::entropy::draw;
use crate::error::ApiError;
use crate::peers::refusal;
use crate::records::{host::HostRecord, ticket::TicketRecord};
use identity::{Attestation, Charter, Conditions, Event, HostCard, Member, Role, Ticket, TicketSecret, kinds};
use proto::wire;
use serde_json::{Map, json};
use types::{SpaceId, Table, UnixMs, ViewError};

/// A ticket lives this long when nothing else is said, in seconds; and this long at most.
const TTL_S: u64 = 3600;
const TTL_S_MAX: u64 = 30 * 24 * 3600;

impl Engine {
    pub(crate) fn invite(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, role: Option<&str>, ttl_s: Option<u64>) -> Answer {
        self.writable()?;
        let id = self.resolve_space(at)?;
        let role = match Role::parse(role.unwrap_or("writer")) {
            Some(role @ (Role::Maintainer | Role::Writer | Role::Reader)) => role,
            _ => return Err(ApiError::new("bad_role", "a role is maintainer, writer or reader")),
        };
        let Some(space) = self.spaces.get(&id) else { return Ok(None) };
        self.as_owner(space, "inviting")?;
        let ttl_s = ttl_s.unwrap_or(TTL_S).clamp(1, TTL_S_MAX);
        let secret = TicketSecret::from_bytes(draw(cx.entropy));
        let expires = cx.now.plus_ms(ttl_s * 1000);
        let ticket = Ticket {
            mesh: space.charter.mesh(),
            space: id,
            h: space.h.clone(),
            name: space.record.name.clone(),
            role: role.clone(),
            peer_id: self.peer_id,
            npub: self.me,
            addrs: self.ticket_addrs(),
            secret: secret.clone(),
            expires: expires.secs(),
        };
        let text = ticket.encode().map_err(|e| ApiError::new("internal", format!("making a ticket: {e}")))?;
        let record = TicketRecord {
            space: id.0,
            role: role.to_string(),
            secret: *secret.as_bytes(),
            expires_ms: expires.0,
            used_by: None,
        };
        cx.txn.put_record(Table::Tickets, secret.id().0.to_vec(), &record);
        Ok(Some(json!({"ticket": text, "space": id, "role": role.to_string(), "expires_ms": expires.0,
            "listening": !self.listen.is_empty()})))
    }

    /// Where the bearer may try; addresses that others can reach first.
    fn ticket_addrs(&self) -> Vec<String> {
        let mut addrs: Vec<String> = self.listen.iter().cloned().collect();
        addrs.sort_by_key(|a| (a.contains("/127.0.0.1/") || a.contains("/::1/"), a.contains("/tcp/"), a.clone()));
        addrs
    }

    /// A ticket's bearer wants in. The same bearer gets the same answer again.
    pub(crate) fn admit(
        &mut self,
        cx: &mut Cx<'_>,
        peer: types::PeerId,
        join: &wire::Join,
    ) -> Result<wire::response::Body, ViewError> {
        match self.try_admit(cx, peer, join)? {
            Ok(welcome) => Ok(wire::response::Body::Welcome(welcome)),
            Err((code, message)) => {
                self.count("join_refused");
                Ok(refusal(code, message))
            }
        }
    }

    fn try_admit(
        &mut self,
        cx: &mut Cx<'_>,
        peer: types::PeerId,
        join: &wire::Join,
    ) -> Result<Result<wire::Welcome, (&'static str, &'static str)>, ViewError> {
        const NO: (&str, &str) = ("bad_ticket", "this ticket is not good (any more): ask for a new one");
        if self.read_only.is_some() {
            return Ok(Err(("store_read_only", "this machine cannot write now: try again later")));
        }
        let card = match Event::verify(&join.card).ok().and_then(|e| HostCard::verify(&e, cx.now.secs()).ok()) {
            Some(card) if card.peer_id == peer => card,
            _ => return Ok(Err(("bad_card", "the host card is not this peer's, or expired: check the clock"))),
        };
        let key = join.ticket.clone();
        let Some(mut record) = cx.txn.record::<TicketRecord>(Table::Tickets, &key)? else { return Ok(Err(NO)) };
        let secret = TicketSecret::from_bytes(record.secret);
        let again = record.used_by == Some(card.npub.0);
        if !secret.check(&join.proof, &peer, &card.npub)
            || (record.used_by.is_some() && !again)
            || (UnixMs(record.expires_ms) < cx.now && !again)
        {
            return Ok(Err(NO));
        }
        let id = SpaceId(record.space);
        if self.spaces.get(&id).is_none_or(|s| s.h != join.h) {
            return Ok(Err(NO));
        }
        if !again {
            let role = Role::parse(&record.role).unwrap_or(Role::Reader);
            if let Err(why) = self.enrol(cx, id, &card, &join.name, role)? {
                cx.warn("join_failed", why);
                return Ok(Err(("join_failed", "the charter could not be extended: see this machine's log")));
            }
            record.used_by = Some(card.npub.0);
            cx.txn.put_record(Table::Tickets, key, &record);
        }
        self.remember(cx, peer, Some(join.card.clone()), Vec::new())?;
        self.welcome(cx, id, &card)
    }

    /// Adds a member by a new charter version.
    fn enrol(
        &mut self,
        cx: &mut Cx<'_>,
        id: SpaceId,
        card: &HostCard,
        name: &str,
        role: Role,
    ) -> Result<Result<(), String>, ViewError> {
        let (Some(space), Some(owner)) = (self.spaces.get(&id), &self.owner) else {
            return Ok(Err("the owner's key is not here".to_owned()));
        };
        let mut draft = space.charter.draft();
        let taken = |wanted: &str| draft.members.iter().any(|m| m.name == wanted && m.npub != card.npub);
        let base: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(48).collect();
        let base = if base.is_empty() { "host".to_owned() } else { base };
        let free = (2..1000).map(|n| format!("{base}-{n}")).find(|n| !taken(n));
        let name = if taken(&base) { free.unwrap_or(base) } else { base };
        draft.members.retain(|m| m.npub != card.npub);
        draft.members.push(Member {
            npub: card.npub,
            peer_id: card.peer_id,
            name,
            owner: owner.npub(),
            roles: vec![role],
            unknown: Map::new(),
        });
        self.amend(cx, id, draft)
    }

    /// Signs a further charter version, takes it in and spreads it.
    pub(crate) fn amend(
        &mut self,
        cx: &mut Cx<'_>,
        id: SpaceId,
        mut draft: Charter,
    ) -> Result<Result<(), String>, ViewError> {
        let (Some(space), Some(owner)) = (self.spaces.get(&id), &self.owner) else {
            return Ok(Err("the owner's key is not here".to_owned()));
        };
        draft.next_owner = owner.commitment();
        let nonce = draw(cx.entropy);
        let sealed = space.keys.first().zip(space.keys.last()).map(|(secret, key)| (secret, key, nonce));
        let event = match draft.sign(owner.nostr(), cx.now.secs(), sealed, Some(id), draw(cx.entropy)) {
            Ok(event) => event,
            Err(err) => return Ok(Err(err.to_string())),
        };
        match self.take_charter(cx, id, &event)? {
            crate::sync::Taken::Applied => {
                self.tell(cx, id, vec![event.to_json()]);
                Ok(Ok(()))
            }
            other => Ok(Err(format!("{other:?}"))),
        }
    }

    /// The new member's papers.
    fn welcome(
        &mut self,
        cx: &mut Cx<'_>,
        id: SpaceId,
        card: &HostCard,
    ) -> Result<Result<wire::Welcome, (&'static str, &'static str)>, ViewError> {
        let charter = self.charter_chain(cx, id)?;
        let own_card = self.card(cx);
        let (Some(space), Some(owner)) = (self.spaces.get(&id), &self.owner) else {
            return Ok(Err(("join_failed", "the owner's key is not here")));
        };
        let mut wrapped_keys = Vec::new();
        for key in &space.keys {
            match identity::wrap_key(key, &card.npub, self.host.nostr(), draw(cx.entropy)) {
                Ok(text) => wrapped_keys.push(text),
                Err(_) => return Ok(Err(("join_failed", "the key cannot be encrypted to this host"))),
            }
        }
        let conditions = Conditions::none().kind(kinds::HOST_CARD);
        let attestation = Attestation::issue(owner.nostr(), &card.npub, conditions, draw(cx.entropy)).to_json();
        let mut cards = vec![own_card];
        for member in space.charter.members() {
            let key = crate::records::host::key(&member.peer_id);
            if let Some(HostRecord { card: Some(json), .. }) = cx.txn.record(Table::Hosts, &key)? {
                cards.push(json);
            }
        }
        Ok(Ok(wire::Welcome {
            charter: Some(charter),
            wrapped_keys,
            attestation,
            cards,
            space_name: space.record.name.clone(),
        }))
    }
}
