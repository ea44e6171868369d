//! Charter versions: taking in, passing on, and what follows from a removal.

use crate::engine::{Cx, Engine};
use crate::op::Op;
use crate::records::{self, charter, space::SpaceRecord, tips::Tips};
use crate::sync::Taken;
use beads::{BeadId, Stamp};
use identity::{CharterChain, CharterError, Event, SpaceKey};
use proto::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use types::{Dot, EventId, KeyId, SpaceId, Table, View, ViewError, Writer};

/// A chain from its stored or received versions.
pub(crate) fn read_chain(id: &SpaceId, record: &SpaceRecord, events: &[Vec<u8>]) -> Result<CharterChain, String> {
    let events: Vec<Event> =
        events.iter().map(|json| Event::verify(json)).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let keys = |key: &KeyId| record.keys.iter().map(|k| SpaceKey::from_bytes(*k)).find(|k| k.id() == *key);
    let chain = CharterChain::from_events(&events, &keys).map_err(|e| e.to_string())?;
    if chain.space() != *id {
        return Err("the chain belongs to another space".to_owned());
    }
    Ok(chain)
}

impl Engine {
    /// All versions that we hold, each after those that it follows.
    pub(crate) fn charter_chain(&self, cx: &Cx<'_>, space_id: SpaceId) -> Result<wire::CharterChain, ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(wire::CharterChain::default()) };
        let mut events = Vec::new();
        for id in space.charter.ids() {
            events.extend(cx.txn.get(Table::Charters, &charter::key(&space_id, &id))?);
        }
        Ok(wire::CharterChain { h: space.h.clone(), events })
    }

    pub(crate) fn learn_charter(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        chain: &wire::CharterChain,
    ) -> Result<(), ViewError> {
        for event in chain.events.iter().take(identity::CHARTER_VERSIONS_MAX) {
            self.take_in(cx, space_id, event)?;
        }
        Ok(())
    }

    /// Takes in one version.
    pub(crate) fn take_charter(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        event: &Event,
    ) -> Result<Taken, ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(Taken::Rejected("unknown_space")) };
        let held = space.keys.clone();
        let keys = |key: &KeyId| held.iter().find(|k| k.id() == *key).cloned();
        match space.charter.extend(event, &keys) {
            Ok(false) => return Ok(Taken::Known),
            Ok(true) => {}
            Err(CharterError::MissingPrev(_)) => return Ok(Taken::NeedCharter),
            Err(err) => return Ok(Taken::Rejected(err.code())),
        }
        cx.txn.put(Table::Charters, charter::key(&space_id, &event.id()), event.to_json());
        space.refused.clear();
        self.exclude(cx, space_id)?;
        self.introduce(cx, space_id);
        self.stir_space(space_id);
        Ok(Taken::Applied)
    }

    /// Ops that the charter no longer counts lose their effect: their beads are folded again from the rest.
    pub(crate) fn exclude(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        let suspects: BTreeSet<Writer> =
            space.ends.keys().filter(|w| !space.charter.may_write(&w.host)).copied().collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let mut touched: BTreeSet<BeadId> = BTreeSet::new();
        let mut ends: BTreeMap<Writer, Tips> = BTreeMap::new();
        let mut excluded: BTreeSet<Vec<u8>> = BTreeSet::new();
        for writer in &suspects {
            let mut valid = self.base_tips(space_id, writer);
            for (key, json) in cx.txn.collect(Table::Ops, &records::op::writer_prefix(&space_id, writer))? {
                let Some((op, id)) = self.stored_op(space_id, &json) else { continue };
                if self.is_history(&space_id, &op) {
                    continue;
                }
                let counts = self
                    .spaces
                    .get(&space_id)
                    .is_some_and(|s| s.charter.check_op(writer, op.seq, &id, &op.charter).is_ok());
                if counts {
                    valid.advance(op.seq, &id, op.prev.as_ref());
                } else {
                    touched.extend(op.writes.into_iter().map(|w| w.id));
                    excluded.insert(key);
                }
            }
            ends.insert(*writer, valid);
        }
        self.judge_checkpoints(cx, space_id, &suspects, !excluded.is_empty())?;
        if excluded.is_empty() {
            return Ok(());
        }
        for (writer, valid) in ends {
            let key = records::tips::key(&space_id, &writer);
            if valid.0.is_empty() {
                cx.txn.delete(Table::Tips, key);
            } else {
                cx.txn.put_record(Table::Tips, key, &valid);
            }
            if let Some(space) = self.spaces.get_mut(&space_id) {
                match valid.0.is_empty() {
                    true => space.ends.remove(&writer),
                    false => space.ends.insert(writer, valid),
                };
            }
        }
        cx.warn("ops_excluded", format!("{} ops no longer count: their author was removed", excluded.len()));
        self.fold_again(cx, space_id, &touched, &excluded)
    }

    pub(crate) fn stored_op(&self, space_id: SpaceId, json: &[u8]) -> Option<(Op, EventId)> {
        let event = Event::parse(json).ok()?.verify().ok()?;
        let body = self.spaces.get(&space_id)?.open(&event).ok()?;
        Some((Op::decode(event.pubkey(), &body).ok()?, event.id()))
    }

    /// Folds beads anew from every op that counts. Excluded ops leave the log: they count nowhere.
    fn fold_again(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        beads: &BTreeSet<BeadId>,
        excluded: &BTreeSet<Vec<u8>>,
    ) -> Result<(), ViewError> {
        for key in excluded {
            if let Some(event) = cx.txn.get(Table::Ops, key)? {
                cx.txn.put(Table::Evidence, key.clone(), event);
            }
            cx.txn.delete(Table::Ops, key.clone());
            cx.txn.uncount_op(&space_id)?;
        }
        let mut base = self.base_states(cx, space_id, beads)?;
        self.forget_doubts(cx, space_id, beads)?;
        for bead in beads {
            cx.txn.reset_bead(&space_id, bead, base.remove(bead))?;
        }
        let mut ops = Vec::new();
        cx.txn.scan(Table::Ops, &records::op::space_prefix(&space_id), &space_id.0, &mut |_, json| {
            if let Some((mut op, id)) = self.stored_op(space_id, json).filter(|(op, _)| !self.is_history(&space_id, op))
            {
                op.writes.retain(|w| beads.contains(&w.id));
                if !op.writes.is_empty() {
                    ops.push((op, id));
                }
            }
            ControlFlow::Continue(())
        })?;
        // Nothing above the base counts as seen while folding anew: what is replaced before it comes is remembered.
        let seen = |dot: &Dot| self.folds_in(&space_id, &dot.writer, dot.seq);
        for (op, id) in ops {
            self.note_doubts(cx, space_id, &op.writes);
            let stamp = Stamp { dot: Dot::new(op.writer, op.seq, &id), hlc: op.hlc };
            for write in &op.writes {
                let _ = cx.txn.change_bead(&space_id, &write.id, |state, _| state.apply(&stamp, write, &seen))?;
            }
        }
        Ok(())
    }

    /// New members may be connected already: greet them.
    fn introduce(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) {
        let Some(space) = self.spaces.get(&space_id) else { return };
        let waiting: Vec<_> = space
            .charter
            .members()
            .map(|m| m.peer_id)
            .filter(|p| self.peers.is_connected(p) && !self.peers.is_greeted(p))
            .collect();
        for peer in waiting {
            self.say_hello(cx, peer);
        }
    }
}
