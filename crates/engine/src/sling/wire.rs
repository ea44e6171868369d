//! The short way between the two ends of slung work: a question of its own, beside the ops that travel anyway.

use crate::engine::{Asked, Cx, Engine};
use crate::records;
use crate::sync::Taken;
use beads::{BeadId, Write};
use proto::{limits, names, wire};
use std::ops::ControlFlow;
use types::{EventId, PeerId, PubKey, SpaceId, Table, UnixMs, View, ViewError};

use super::At;
use super::report::Heard;
use super::step;

/// How long what a host said of its room is believed, in milliseconds.
const ROOM_MS: u64 = 2_000;

/// Ops of ours that are kept for an answer.
const SAID_MAX: usize = limits::WORK_OPS_MAX;

/// How much more work a peer would take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    slots: u32,
    told_at: UnixMs,
    asked_at: UnixMs,
}

impl Engine {
    /// An op of ours is made; one that has a step in it may have to be told at once.
    pub(crate) fn note_said(&mut self, space: SpaceId, writes: &[Write], op: &[u8]) {
        if writes.iter().any(step::is_step) && self.sling.said.len() < SAID_MAX {
            self.sling.said.push((space, op.to_vec()));
        }
    }

    /// Tells a host the last op of ours, if it is connected; it finds out the usual way otherwise.
    pub(super) fn tell_last(&mut self, cx: &mut Cx<'_>, space: SpaceId, to: PubKey) {
        let Some((_, op)) = self.sling.said.last().filter(|(of, _)| *of == space).cloned() else { return };
        self.tell_ops(cx, space, to, vec![op]);
    }

    fn tell_ops(&mut self, cx: &mut Cx<'_>, space: SpaceId, to: PubKey, ops: Vec<Vec<u8>>) {
        let work = wire::Work { ops, ..wire::Work::default() };
        self.ask_work(cx, space, to, work);
    }

    fn ask_work(&mut self, cx: &mut Cx<'_>, space: SpaceId, to: PubKey, mut work: wire::Work) -> bool {
        let Some(peer) = self.peer_of(&to).filter(|peer| !self.peers.lacks(peer, names::WORK)) else { return false };
        let Some(h) = self.spaces.get(&space).map(|space| space.h.clone()) else { return false };
        work.h = h;
        let body = Some(wire::request::Body::Work(work));
        self.ask(cx, Asked::Work { peer, space, asked_at: cx.up }, &wire::Request { body });
        true
    }

    /// Tells a worker of its grant again.
    pub(super) fn tell_step(
        &mut self,
        cx: &mut Cx<'_>,
        space: SpaceId,
        bead: &BeadId,
        to: PubKey,
        step: EventId,
    ) -> Result<(), ViewError> {
        let unit = beads::WorkStep::unit(&step);
        let state = cx.txn.bead(&space, bead)?;
        let found = state.work().find(|(_, kept)| step_id(kept).is_some_and(|id| beads::WorkStep::unit(&id) == unit));
        let Some((dot, _)) = found else { return Ok(()) };
        let prefix = records::op::dot_prefix(&space, &dot);
        let mut op = None;
        cx.txn.scan(Table::Ops, &prefix, &prefix, &mut |_, json| {
            op = Some(json.to_vec());
            ControlFlow::Break(())
        })?;
        if let Some(op) = op {
            self.tell_ops(cx, space, to, vec![op]);
        }
        Ok(())
    }

    pub(super) fn ask_renewal(
        &mut self,
        cx: &mut Cx<'_>,
        space: SpaceId,
        coordinator: PubKey,
        grant: EventId,
        heard: &Heard,
    ) {
        let used = heard.to_wire(&grant).into_iter().collect();
        let work = wire::Work { renew: vec![grant.0.to_vec()], used, ..wire::Work::default() };
        self.ask_work(cx, space, coordinator, work);
    }

    /// How much work a connected host would take for a rig, as far as it said so lately; asked otherwise.
    pub(super) fn room_at(&mut self, cx: &mut Cx<'_>, space: SpaceId, npub: PubKey, rig: &str) -> Option<u32> {
        let peer = self.peer_of(&npub)?;
        let known = self.sling.rooms.get(&peer).copied().unwrap_or_default();
        if known.told_at.0 > 0 && cx.up.since_ms(known.told_at) < ROOM_MS {
            return Some(known.slots);
        }
        if known.asked_at.0 == 0 || cx.up.since_ms(known.asked_at) >= ROOM_MS {
            self.sling.rooms.insert(peer, Room { asked_at: cx.up, ..known });
            self.ask_work(cx, space, npub, wire::Work { room: true, rig: rig.to_owned(), ..wire::Work::default() });
        }
        None
    }

    /// A bead goes to a host: it has less room now.
    pub(super) fn less_room(&mut self, npub: &PubKey) {
        if let Some(room) = self.peer_of(npub).and_then(|peer| self.sling.rooms.get_mut(&peer)) {
            room.slots = room.slots.saturating_sub(1);
        }
    }

    /// A peer's question about work.
    pub(crate) fn work_asked(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        space: SpaceId,
        work: &wire::Work,
    ) -> Result<wire::WorkAnswer, ViewError> {
        self.sling.said.clear();
        self.take_ops(cx, peer, space, &work.ops)?;
        self.settle_sling(cx)?;
        if let Some(worker) = self.peers.npub(&peer) {
            for used in work.used.iter().take(limits::RENEWALS_MAX) {
                let Some((grant, heard)) = Heard::from_wire(used) else { continue };
                let Some(at) = self.sling.known.get(&grant).filter(|at| at.0 == space).cloned() else { continue };
                self.heard(cx, &at, &grant, &worker, &heard)?;
            }
            self.settle_sling(cx)?;
        }
        let mut answer = wire::WorkAnswer::default();
        let said = std::mem::take(&mut self.sling.said);
        answer.ops = said.into_iter().filter(|(of, _)| *of == space).map(|(_, op)| op).collect();
        for id in work.renew.iter().take(limits::RENEWALS_MAX) {
            let Ok(grant) = <[u8; 32]>::try_from(id.as_slice()).map(EventId) else { continue };
            if !self.coordinates(&space) {
                // Not ours to judge: the worker finds out who coordinates now.
                break;
            }
            let worker = self.peers.npub(&peer);
            let Some((at, worker)) = self.sling.known.get(&grant).cloned().zip(worker) else { continue };
            match self.renew(cx, &at, &grant, &worker)? {
                Some(true) => answer.renewed.push(id.clone()),
                Some(false) => answer.ended.push(id.clone()),
                None => {}
            }
        }
        if work.room && work.rig.len() <= step::NAME_BYTES_MAX {
            answer.slots_free = self.slots_free(&work.rig);
        }
        Ok(answer)
    }

    fn take_ops(&mut self, cx: &mut Cx<'_>, peer: PeerId, space: SpaceId, ops: &[Vec<u8>]) -> Result<(), ViewError> {
        for op in ops.iter().take(limits::WORK_OPS_MAX) {
            if op.len() > limits::EVENT_BYTES_MAX {
                self.count("oversized_event");
                continue;
            }
            if let Taken::Gap(_) | Taken::NeedCharter = self.take_in(cx, space, op)? {
                // Something before it is missing: the usual way brings both.
                self.ask_heads(cx, peer, space)?;
            }
        }
        Ok(())
    }

    /// The answer to a question of ours about work.
    pub(crate) fn work_answered(
        &mut self,
        cx: &mut Cx<'_>,
        (peer, space, asked_at): (PeerId, SpaceId, UnixMs),
        answer: &wire::WorkAnswer,
    ) -> Result<(), ViewError> {
        self.take_ops(cx, peer, space, &answer.ops)?;
        for (ids, good) in [(&answer.renewed, true), (&answer.ended, false)] {
            for id in ids.iter().take(limits::RENEWALS_MAX) {
                let Ok(grant) = <[u8; 32]>::try_from(id.as_slice()).map(EventId) else { continue };
                // Only the coordinator's word counts.
                let coordinator = self.spaces.get(&space).and_then(|space| space.charter.coordinator());
                if coordinator.is_some() && self.peers.npub(&peer) == coordinator {
                    self.renewed(cx, &grant, asked_at, good)?;
                }
            }
        }
        if self.sling.rooms.get(&peer).is_some_and(|room| room.asked_at == asked_at) {
            let room = Room { slots: answer.slots_free, told_at: cx.up, asked_at: UnixMs(0) };
            self.sling.rooms.insert(peer, room);
            let waiting = self.sling.desks.iter().filter(|(at, desk)| at.0 == space && desk.grant.is_none());
            let waiting: Vec<At> = waiting.map(|(at, _)| at.clone()).collect();
            self.sling.stirred.extend(waiting);
        }
        Ok(())
    }
}

fn step_id(kept: &beads::WorkStep) -> Option<EventId> {
    identity::Event::parse(kept.event.as_bytes()).ok().map(|event| event.id())
}
