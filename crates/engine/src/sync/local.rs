//! Ops made on this machine.

use crate::effect::NetEffect;
use crate::engine::{Cx, Engine};
use crate::entropy::draw;
use crate::error::ApiError;
use crate::op::{self, Op};
use crate::records::{self, tips};
use beads::{BeadId, Unit, Write};
use identity::kinds;
use proto::{limits, wire};
use std::collections::BTreeMap;
use types::{Dot, EventId, SpaceId, Table, ViewError};

/// Bytes of a body that fit into an event of `EVENT_BYTES_MAX`: sealed (base64) and in the clear (JSON in JSON).
const SEALED_BODY_MAX: usize = 43_000;
const CLEAR_BODY_MAX: usize = 28_000;

impl Engine {
    /// Whether this host may write in a space now.
    pub(crate) fn may_write(&self, space: &SpaceId) -> Result<(), ApiError> {
        self.writable()?;
        let Some(space) = self.spaces.get(space) else {
            return Err(ApiError::new("unknown_space", "no such space here").hint("townmesh space ls"));
        };
        if space.charter.may_write(&self.me) {
            return Ok(());
        }
        Err(ApiError::new("not_a_writer", format!("this host may only read \"{}\"", space.record.name))
            .hint("ask the space's owner for a ticket with the role writer"))
    }

    /// Signs, applies and keeps writes, and tells the others; says which dot every written unit got. The caller
    /// has checked [`Engine::may_write`].
    pub(crate) fn commit(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        actor: &str,
        writes: Vec<Write>,
    ) -> Result<BTreeMap<(BeadId, Unit), Dot>, ViewError> {
        let mut dots = BTreeMap::new();
        let Some(public) = self.spaces.get(&space_id).map(|s| s.record.public) else { return Ok(dots) };
        let bytes_max = if public { CLEAR_BODY_MAX } else { SEALED_BODY_MAX };
        let mut events = Vec::new();
        for part in op::split(writes, bytes_max) {
            let units: Vec<_> = part.iter().map(|w| (w.id.clone(), w.unit.clone())).collect();
            if let Some((dot, event)) = self.commit_one(cx, space_id, actor, part)? {
                dots.extend(units.into_iter().map(|at| (at, dot)));
                events.push(event);
            }
        }
        if !events.is_empty() {
            self.tell(cx, space_id, events);
        }
        Ok(dots)
    }

    fn commit_one(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        actor: &str,
        writes: Vec<Write>,
    ) -> Result<Option<(Dot, Vec<u8>)>, ViewError> {
        let writer = self.writer();
        let own: tips::Tips = cx.txn.record(Table::Tips, &tips::key(&space_id, &writer))?.unwrap_or_default();
        let prev = own.0.iter().max().copied();
        let hlc = self.clock.tick(cx.now);
        let Some(space) = self.spaces.get(&space_id) else { return Ok(None) };
        let op = Op {
            writer,
            seq: prev.map_or(0, |(seq, _)| seq) + 1,
            prev: prev.map(|(_, id)| EventId(id)),
            hlc,
            charter: space.charter.head(),
            actor: actor.chars().take(200).collect(),
            writes,
            unknown_writes: 0,
        };
        let (tags, content) = space.close(&self.me, kinds::BEAD_OP, &op.encode(), draw(cx.entropy));
        let event = self.host.nostr().sign(kinds::BEAD_OP, cx.now.secs(), tags, content, draw(cx.entropy));
        let json = event.to_json();
        self.apply_op(cx, space_id, &op, event.id(), json.clone())?;
        self.note_said(space_id, &op.writes, &json);
        cx.txn.put_record(Table::Meta, records::meta::CLOCK.to_vec(), &self.clock.last().packed());
        Ok(Some((Dot::new(writer, op.seq, &event.id()), json)))
    }

    /// Spreads new events: over gossip when they are few, else by telling the others what there is to fetch.
    pub(crate) fn tell(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, events: Vec<Vec<u8>>) {
        let Some(space) = self.spaces.get(&space_id) else { return };
        let bytes: usize = events.iter().map(|e| e.len() + 8).sum();
        if self.gossip && bytes < limits::GOSSIP_BYTES_MAX {
            let data = proto::encode(&wire::Gossip { events });
            cx.net(NetEffect::Publish { topic: space.topic.clone(), data });
            self.confirm_later(cx.up, space_id);
        } else {
            self.push_heads(space_id, None);
        }
    }
}
