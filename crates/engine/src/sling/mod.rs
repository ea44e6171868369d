//! Slung work: offers, grants, leases, results.
//!
//! Every step is a signed event ([`step`]) that the bead itself keeps, so it travels, is caught up with and is
//! checkpointed like every edit; what the steps mean together is a function of their set ([`transcript`]). The coordinator
//! grants ([`coordinate`]), the worker takes and runs ([`attend`]); both are told at once over a question of their own
//! ([`wire`]), and find out the usual way when that is lost. Leases are never signed: a renewal is a question and its answer.

mod attend;
mod command;
mod convoy;
mod coordinate;
mod costs;
mod ledger;
mod log;
mod people;
mod report;
mod review;
mod runners;
pub(crate) mod step;
mod tentative;
mod transcript;
mod turn;
mod wire;

use crate::engine::{Cx, Engine};
use crate::input::CallId;
use crate::records::work::{self, HookRecord, RunnerRecord};
use beads::{BeadId, Shown, Write};
use std::collections::{BTreeMap, BTreeSet};
use step::{About, Say};
use transcript::{Remembered, Transcript};
use types::{EventId, Fence, PeerId, PubKey, SpaceId, Table, UnixMs, ViewError};

pub use step::{Ended, Outcome, describe_step};
pub(crate) use turn::force;
pub(crate) use wire::Room;

/// Grants that are remembered with their beads; a worker whose grant is forgotten asks again.
const KNOWN_MAX: usize = 100_000;

/// A bead of a space.
pub(crate) type At = (SpaceId, BeadId);

/// An open offer, on the host that coordinates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk {
    /// The grant whose lease runs.
    grant: Option<EventId>,
    /// Its worker may work until then; later the bead may be granted again.
    expires: UnixMs,
    /// When its worker was told last.
    told_at: UnixMs,
    /// When to look again.
    look_at: UnixMs,
    /// Workers that are left in peace until then: they declined, failed or were silent.
    paused: BTreeMap<PubKey, UnixMs>,
    /// Why nobody has it.
    waits: Option<String>,
    /// What its worker said last: how far it is, in percent, and what it does.
    heard: (Option<u8>, String),
}

/// Work that hangs on the hook here.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    record: HookRecord,
    /// The worker may work until then; nothing is begun before the first renewal.
    until: UnixMs,
    /// When to ask for the next renewal.
    renew_at: UnixMs,
    /// The runner was told to begin.
    started: bool,
    /// The runner was told to stop, and why.
    stopping: Option<String>,
    /// How far it says that it is, in percent, and what it does.
    says: (Option<u8>, String),
    /// A question about its lease is under way.
    asked: bool,
    /// Something was reported since that question.
    news: bool,
    /// When what was used was signed last.
    signed_at: UnixMs,
}

impl Hook {
    fn new(record: HookRecord, up: UnixMs) -> Hook {
        Hook {
            record,
            until: UnixMs(0),
            renew_at: up,
            started: false,
            stopping: None,
            says: (None, String::new()),
            asked: false,
            news: false,
            signed_at: up,
        }
    }

    fn is_of(&self, at: &At) -> bool {
        self.record.space == at.0.0 && self.record.bead == at.1.as_str()
    }
}

/// A caller that waits for the end of an offer.
#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    at: At,
    offer: EventId,
    told: String,
}

/// What lives of slung work between inputs.
#[derive(Debug, Default)]
pub(crate) struct Sling {
    desks: BTreeMap<At, Desk>,
    /// By the grant under which the run began.
    hooks: BTreeMap<EventId, Hook>,
    runners: BTreeMap<String, RunnerRecord>,
    waiters: BTreeMap<CallId, Waiter>,
    /// Where each grant belongs, as far as it was looked at.
    known: BTreeMap<EventId, At>,
    /// The epoch in which this host has begun to coordinate, per space.
    turns: BTreeMap<SpaceId, u64>,
    rooms: BTreeMap<PeerId, Room>,
    /// Whom parts of logs are for that are being read.
    readers: BTreeMap<u64, log::Reader>,
    readers_made: u64,
    remembered: Remembered,
    ledgers: BTreeMap<SpaceId, ledger::Ledger>,
    /// Beads whose transcript or state changed since they were last looked at.
    stirred: BTreeSet<At>,
    /// Ops of ours made since the last input, for whoever asked.
    said: Vec<(SpaceId, Vec<u8>)>,
}

impl Sling {
    fn remember(&mut self, at: &At, transcript: &Transcript) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.extend(transcript.grants.values().map(|grant| (grant.id, at.clone())));
    }
}

impl Engine {
    /// Loads what hangs on the hook and what is open.
    pub(crate) fn load_sling(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        for (key, _) in cx.txn.collect(Table::Work, b"o")? {
            if let Some((space, bead)) = work::parse_open(&key)
                && let Ok(bead) = bead.parse::<BeadId>()
            {
                self.sling.desks.insert((space, bead.clone()), Desk::default());
                self.sling.stirred.insert((space, bead));
            }
        }
        for (key, value) in cx.txn.collect(Table::Work, b"h")? {
            let Some(run) = work::parse_hook(&key) else { continue };
            let record: HookRecord = crate::records::unpack(Table::Work, &value)?;
            self.sling.hooks.insert(run, Hook::new(record, cx.up));
        }
        for (key, value) in cx.txn.collect(Table::Work, b"t")? {
            if let Some(space) = key.get(1..).and_then(|space| SpaceId::from_slice(space).ok()) {
                self.sling.turns.insert(space, crate::records::unpack(Table::Work, &value)?);
            }
        }
        for (key, value) in cx.txn.collect(Table::Work, b"r")? {
            if let Some(name) = key.get(1..).and_then(|name| std::str::from_utf8(name).ok()) {
                self.sling.runners.insert(name.to_owned(), crate::records::unpack(Table::Work, &value)?);
            }
        }
        Ok(())
    }

    /// A bead changed: if there is work on it, it is looked at after this input.
    pub(crate) fn stir(&mut self, at: At, has_step: bool) {
        if has_step || self.sling.desks.contains_key(&at) {
            self.sling.stirred.insert(at);
        }
    }

    /// After every input: whatever changed for slung work is acted on, until nothing more comes of it.
    pub(crate) fn settle_sling(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        while self.read_only.is_none()
            && let Some(at) = self.sling.stirred.pop_first()
        {
            self.coordinate(cx, &at)?;
            self.attend(cx, &at)?;
            self.tell_waiters(cx, &at)?;
        }
        Ok(())
    }

    /// An input is through: what was said in it has been told.
    pub(crate) fn sling_is_settled(&mut self) {
        self.sling.said.clear();
    }

    /// Who coordinates may have changed.
    pub(crate) fn stir_space(&mut self, space: SpaceId) {
        let open: Vec<At> = self.sling.desks.keys().filter(|at| at.0 == space).cloned().collect();
        self.sling.stirred.extend(open);
    }

    /// A bead as it is shown under its own id, and its transcript.
    pub(crate) fn transcript(&mut self, cx: &Cx<'_>, at: &At) -> Result<Option<(Shown, Transcript)>, ViewError> {
        let Some(space) = self.spaces.get(&at.0) else { return Ok(None) };
        let state = cx.txn.bead(&at.0, &at.1)?;
        let Some(shown) = state.shown().into_iter().next() else { return Ok(None) };
        let transcript = Transcript::read(&state, &shown.births, &space.h, &space.charter, &mut self.sling.remembered);
        Ok(Some((shown, transcript)))
    }

    /// Signs a step, keeps it together with `writes` in one op, and tells everybody; `to` is told at once.
    pub(crate) fn say(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        shown: &Shown,
        grant: Option<(EventId, Fence)>,
        say: &Say,
        mut writes: Vec<Write>,
    ) -> Result<EventId, ViewError> {
        let h = self.spaces.get(&space_id).map(|space| space.h.clone()).unwrap_or_default();
        let about = About { h: &h, bead: &shown.id, birth: shown.birth, grant };
        let event = step::sign(&self.host, &about, say, cx.now.secs(), crate::entropy::draw(cx.entropy));
        writes.push(step::write(&event, &about));
        let actor = self.actor();
        self.commit(cx, space_id, &actor, writes)?;
        Ok(event.id())
    }

    /// The member with this name or key.
    pub(crate) fn member_named(&self, space: &SpaceId, name: &str) -> Option<PubKey> {
        let charter = &self.spaces.get(space)?.charter;
        charter.members().find(|m| m.name == name || m.npub.npub() == name).map(|m| m.npub)
    }

    /// What a host is called.
    pub(crate) fn host_name(&self, space: &SpaceId, npub: &PubKey) -> String {
        let member = self.spaces.get(space).and_then(|space| space.charter.member(npub));
        member.map_or_else(|| npub.npub(), |member| member.name.clone())
    }

    /// A host's peer, if it is connected and has proven who it is. This host has none.
    pub(crate) fn peer_of(&self, npub: &PubKey) -> Option<PeerId> {
        self.peers.greeted().find(|(_, known)| known == npub).map(|(peer, _)| peer)
    }

    /// Everything that slung work does by the clock.
    pub(crate) fn tick_sling(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        if self.read_only.is_some() {
            return Ok(());
        }
        let due = |desk: &Desk| cx.up >= desk.look_at;
        let due: Vec<At> = self.sling.desks.iter().filter(|(_, desk)| due(desk)).map(|(at, _)| at.clone()).collect();
        self.sling.stirred.extend(due);
        self.tick_hooks(cx)
    }
}
