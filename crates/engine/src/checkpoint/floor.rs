//! What is folded in without being held: fetching it afterwards, or dropping it.

use super::history_ms;
use crate::engine::{Cx, Engine};
use crate::op::Op;
use crate::records::checkpoint::{self as keys, Base};
use crate::records::tips::{self, Tips};
use crate::records::{self};
use crate::sling::step::is_step;
use crate::sync::Taken;
use beads::{BeadId, BeadState, Stamp, Unit, Write};
use proto::{limits, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use types::{Dot, EventId, PeerId, PubKey, SpaceId, Table, View, ViewError, Writer};

/// After a fetch of history that brought nothing new, the next one waits this long, in milliseconds.
const FILL_AGAIN_MS: u64 = 10_000;

/// Ops of history that are fetched in one go: what is new comes before the next ones.
const FILL_AT_ONCE: u64 = 5_000;

/// How often it is looked whether history is old enough to be dropped, in milliseconds.
const DROP_EVERY_MS: u64 = 60_000;

/// Ops that are dropped at once.
const DROP_AT_ONCE: usize = 5_000;

impl Engine {
    /// Ranges of ops below the base that this peer may have; empty when there is nothing to fetch, or not now.
    pub(crate) fn history_from(&self, cx: &Cx<'_>, space_id: SpaceId, peer: &PeerId) -> Vec<wire::Range> {
        let Some(space) = self.spaces.get(&space_id) else { return Vec::new() };
        let checkpoints = &space.checkpoints;
        if cx.up < checkpoints.fill_at || history_ms(&space.charter.current().policy).is_some() {
            return Vec::new();
        }
        let theirs = checkpoints.floors_of.get(peer);
        let mut left = FILL_AT_ONCE;
        let mut ranges = Vec::new();
        for floor in checkpoints.base.iter().flat_map(|base| &base.floors) {
            // The last op is asked for again: another one of its number may have been behind the end of a page.
            let from = floor.filled.max(1);
            let there = theirs.and_then(|floors| floors.get(&floor.writer())).is_none_or(|seq| *seq < from);
            if !there || left == 0 || ranges.len() >= limits::PULL_RANGES_MAX {
                continue;
            }
            let to = floor.top().min(from.saturating_add(left));
            left = left.saturating_sub(to + 1 - from);
            ranges.push(wire::Range { host: floor.host.to_vec(), incarnation: floor.incarnation, from, to });
        }
        ranges
    }

    /// What is not held op by op here, for telling a peer.
    pub(crate) fn floors(&self, space_id: &SpaceId) -> Vec<wire::Tip> {
        let base = self.spaces.get(space_id).and_then(|s| s.checkpoints.base.as_ref());
        let floors = base.into_iter().flat_map(|base| &base.floors);
        let tip = |floor: &keys::Floor| wire::Tip {
            host: floor.host.to_vec(),
            incarnation: floor.incarnation,
            seq: floor.top(),
            id: Vec::new(),
        };
        floors.map(tip).take(limits::TIPS_MAX).collect()
    }

    /// A peer does not hold these op by op.
    pub(crate) fn note_floors(&mut self, space_id: SpaceId, peer: PeerId, floors: &[wire::Tip]) {
        let Some(space) = self.spaces.get_mut(&space_id) else { return };
        let writer = |tip: &wire::Tip| {
            let host = PubKey::from_slice(&tip.host).ok()?;
            Some((Writer { host, incarnation: tip.incarnation }, tip.seq))
        };
        let noted: BTreeMap<Writer, u64> = floors.iter().take(limits::TIPS_MAX).filter_map(writer).collect();
        if noted.is_empty() {
            space.checkpoints.floors_of.remove(&peer);
        } else {
            space.checkpoints.floors_of.insert(peer, noted);
        }
    }

    /// A fetch of history is over; so many ops were missing when it began.
    pub(crate) fn fill_ended(&mut self, cx: &Cx<'_>, space_id: SpaceId, missing: u64) {
        let Some(space) = self.spaces.get_mut(&space_id) else { return };
        if space.checkpoints.history_missing() < missing {
            return;
        }
        space.checkpoints.fill_at = cx.up.plus_ms(FILL_AGAIN_MS);
        for floor in space.checkpoints.base.iter_mut().flat_map(|base| &mut base.floors) {
            if floor.filled >= floor.top() {
                // All numbers are here and still not every end: a side of a fork was left out.
                floor.filled = 0;
            }
        }
    }

    /// Whether this op is below the base, so that its effect is (or may be) folded in.
    pub(crate) fn is_history(&self, space_id: &SpaceId, op: &Op) -> bool {
        let Some(space) = self.spaces.get(space_id) else { return false };
        let Some(floor) = space.checkpoints.base.as_ref().and_then(|base| base.floor(&op.writer)) else { return false };
        // What goes on from an end is new, whatever its number.
        op.seq <= floor.top() && !space.follows_an_end(op)
    }

    /// Keeps an op from below the base. It has been checked.
    pub(crate) fn take_history(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        op: &Op,
        id: EventId,
        bytes: &[u8],
    ) -> Result<Taken, ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(Taken::Rejected("unknown_space")) };
        if history_ms(&space.charter.current().policy).is_some() {
            return Ok(self.rejected("below_the_checkpoint"));
        }
        if let Some(prev) = &op.prev
            && !cx.txn.has(Table::Ops, &records::op::key(&space_id, &op.writer, op.seq - 1, prev))?
        {
            return Ok(Taken::Gap(op.writer));
        }
        cx.txn.put(Table::Ops, records::op::key(&space_id, &op.writer, op.seq, &id), bytes.to_vec());
        self.history_is_here(cx, space_id, op)?;
        Ok(Taken::Applied)
    }

    /// An op from below the base is held: one step further, and maybe all of its writer's are here.
    pub(crate) fn history_is_here(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, op: &Op) -> Result<(), ViewError> {
        let base = self.spaces.get_mut(&space_id).and_then(|s| s.checkpoints.base.as_mut());
        let Some(base) = base else { return Ok(()) };
        let Some(floor) = base.floor_mut(&op.writer).filter(|floor| op.seq <= floor.top()) else { return Ok(()) };
        let further = op.seq == floor.filled + 1;
        if further {
            floor.filled = op.seq;
        }
        let complete = floor.filled == floor.top();
        if further {
            cx.txn.put_record(Table::Checkpoints, keys::base_key(&space_id), base);
        }
        if complete { self.complete(cx, space_id) } else { Ok(()) }
    }

    /// If all ops below the base are here, they are like any other from now on, and there is no base any more.
    fn complete(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let base = self.spaces.get(&space_id).and_then(|s| s.checkpoints.base.as_ref());
        let Some(floors) = base.map(|base| base.floors.clone()) else { return Ok(()) };
        for floor in &floors {
            let held = |(seq, id): &(u64, [u8; 32])| {
                cx.txn.has(Table::Ops, &records::op::key(&space_id, &floor.writer(), *seq, &EventId(*id)))
            };
            for tip in &floor.tips {
                if floor.filled < floor.top() || !held(tip)? {
                    return Ok(());
                }
            }
        }
        let mut beside = Vec::new();
        for floor in &floors {
            beside.extend(self.beside(cx, space_id, &floor.writer(), floor)?);
        }
        cx.txn.delete(Table::Checkpoints, keys::base_key(&space_id));
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.checkpoints.base = None;
        }
        self.count("history_whole");
        self.settle_doubts(cx, space_id, &beside)?;
        self.fold_held(cx, space_id, beside)?;
        self.exclude(cx, space_id)
    }

    /// Now that all of it is here: what was replaced and is not part of what the base folded in may still come.
    fn settle_doubts(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, beside: &[(Op, EventId)]) -> Result<(), ViewError> {
        let beside: BTreeSet<Dot> = beside.iter().map(|(op, id)| Dot::new(op.writer, op.seq, id)).collect();
        for (key, value) in cx.txn.collect(Table::Checkpoints, &keys::doubts_prefix(&space_id))? {
            cx.txn.delete(Table::Checkpoints, key);
            let doubt: keys::Doubt = records::unpack(Table::Checkpoints, &value)?;
            let (dot, Ok(bead)) = (doubt.dot(), doubt.bead.parse::<BeadId>()) else { continue };
            if beside.contains(&dot) || !cx.txn.has_dot(&space_id, &dot) {
                cx.txn.change_bead(&space_id, &bead, |state, _| state.expect_replaced(&doubt.unit, &dot))?;
            }
        }
        Ok(())
    }

    /// Beads are folded anew: so are the doubts about them.
    pub(crate) fn forget_doubts(
        &self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        beads: &BTreeSet<BeadId>,
    ) -> Result<(), ViewError> {
        for (key, value) in cx.txn.collect(Table::Checkpoints, &keys::doubts_prefix(&space_id))? {
            let doubt: keys::Doubt = records::unpack(Table::Checkpoints, &value)?;
            if doubt.bead.parse().is_ok_and(|bead| beads.contains(&bead)) {
                cx.txn.delete(Table::Checkpoints, key);
            }
        }
        Ok(())
    }

    /// Whether an op with this number of this writer is folded in below the base of this space, whichever op it is.
    pub(crate) fn folds_in(&self, space_id: &SpaceId, writer: &Writer, seq: u64) -> bool {
        self.spaces.get(space_id).is_some_and(|space| space.checkpoints.covers(writer, seq))
    }

    /// Replacements of what is below the base are noted: see [`keys::Doubt`].
    pub(crate) fn note_doubts(&self, cx: &mut Cx<'_>, space_id: SpaceId, writes: &[Write]) {
        let Some(space) = self.spaces.get(&space_id).filter(|space| space.checkpoints.base.is_some()) else { return };
        // What a delete saw is covered, not replaced.
        for write in writes.iter().filter(|write| write.unit != Unit::Delete || write.value.is_none()) {
            // Also of what is held by now: only when all of it is here does it show whether the base folded it in.
            for dot in write.replaces.iter().filter(|dot| space.checkpoints.covers(&dot.writer, dot.seq)) {
                let at = (dot.writer.host.0, dot.writer.incarnation, dot.seq, dot.tag);
                let doubt = keys::Doubt { bead: write.id.to_string(), unit: write.unit.clone(), dot: at };
                cx.txn.put_record(Table::Checkpoints, doubt.key(&space_id), &doubt);
            }
        }
    }

    /// Ops of a writer at or below its floor that are not folded in: sides of forks that the checkpoint's maker did
    /// not know. In the order of their numbers.
    fn beside(
        &self,
        cx: &Cx<'_>,
        space_id: SpaceId,
        writer: &Writer,
        floor: &keys::Floor,
    ) -> Result<Vec<(Op, EventId)>, ViewError> {
        let mut keys_here: Vec<(u64, EventId)> = Vec::new();
        cx.txn.scan(Table::Ops, &records::op::writer_prefix(&space_id, writer), &[], &mut |key, _| {
            keys_here
                .extend(records::op::parse(key).map(|(_, seq, id)| (seq, id)).filter(|(seq, _)| *seq <= floor.top()));
            ControlFlow::Continue(())
        })?;
        if floor.tips.len() == 1 && keys_here.len() as u64 == floor.top() {
            return Ok(Vec::new());
        }
        let mut ops: BTreeMap<(u64, EventId), Op> = BTreeMap::new();
        for (seq, id) in keys_here {
            let json = cx.txn.get(Table::Ops, &records::op::key(&space_id, writer, seq, &id))?;
            if let Some((op, id)) = json.and_then(|json| self.stored_op(space_id, &json)) {
                ops.insert((seq, id), op);
            }
        }
        for (seq, id) in &floor.tips {
            let mut at = Some((*seq, EventId(*id)));
            while let Some(place) = at {
                // What another side has led to already is out, and everything before it.
                at = ops.remove(&place).and_then(|op| op.prev).map(|prev| (place.0 - 1, prev));
            }
        }
        Ok(ops.into_iter().map(|((_, id), op)| (op, id)).collect())
    }

    /// After a checkpoint was adopted: what is here above it counts as before.
    pub(super) fn fold_above(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let mut above = Vec::new();
        cx.txn.scan(Table::Ops, &records::op::space_prefix(&space_id), &[], &mut |key, json| {
            let covered = |(writer, seq, _)| self.folds_in(&space_id, &writer, seq);
            if records::op::parse(key).is_some_and(covered) {
                return ControlFlow::Continue(());
            }
            above.extend(self.stored_op(space_id, json).filter(|(op, _)| !self.is_history(&space_id, op)));
            ControlFlow::Continue(())
        })?;
        self.fold_held(cx, space_id, above)
    }

    /// Folds ops that are in the log already, in any order.
    fn fold_held(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, ops: Vec<(Op, EventId)>) -> Result<(), ViewError> {
        let mut to_come: BTreeSet<Dot> = ops.iter().map(|(op, id)| Dot::new(op.writer, op.seq, id)).collect();
        for (op, id) in ops {
            to_come.remove(&Dot::new(op.writer, op.seq, &id));
            self.fold_op(cx, space_id, &op, id, &to_come)?;
            cx.txn.count_op(&space_id)?;
        }
        Ok(())
    }

    /// Advances a chain's end and applies an op's writes. `to_come`: what is in the log and was not folded yet.
    pub(crate) fn fold_op(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        op: &Op,
        id: EventId,
        to_come: &BTreeSet<Dot>,
    ) -> Result<(), ViewError> {
        self.advance(cx, space_id, op, id)?;
        self.note_doubts(cx, space_id, &op.writes);
        let stamp = Stamp { dot: Dot::new(op.writer, op.seq, &id), hlc: op.hlc };
        let mut refused = 0;
        for of_one_bead in op.writes.chunk_by(|a, b| a.id == b.id) {
            let Some(id) = of_one_bead.first().map(|write| &write.id) else { continue };
            refused += cx.txn.change_bead(&space_id, id, |state, txn| {
                let below = |dot: &Dot| self.folds_in(&space_id, &dot.writer, dot.seq);
                let here = |dot: &Dot| txn.has_dot(&space_id, dot) && !to_come.contains(dot);
                let seen = |dot: &Dot| *dot != stamp.dot && (below(dot) || here(dot));
                of_one_bead.iter().filter(|write| state.apply(&stamp, write, &seen).is_err()).count()
            })?;
            self.stir((space_id, id.clone()), of_one_bead.iter().any(is_step));
        }
        for _ in 0..refused {
            // The same on every host: the op counts, this write has no effect.
            self.count("write_without_effect");
        }
        Ok(())
    }

    /// Moves the end of a chain on.
    fn advance(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, op: &Op, id: EventId) -> Result<(), ViewError> {
        let tips_key = tips::key(&space_id, &op.writer);
        let mut ends: Tips = cx.txn.record(Table::Tips, &tips_key)?.unwrap_or_default();
        if ends.advance(op.seq, &id, op.prev.as_ref()) {
            self.forked(cx, space_id, op, id);
        }
        cx.txn.put_record(Table::Tips, tips_key, &ends);
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.ends.insert(op.writer, ends);
        }
        Ok(())
    }

    /// What these beads are in the base; nothing when there is none.
    pub(crate) fn base_states(
        &self,
        cx: &Cx<'_>,
        space_id: SpaceId,
        wanted: &BTreeSet<BeadId>,
    ) -> Result<BTreeMap<BeadId, BeadState>, ViewError> {
        let mut out = BTreeMap::new();
        let Some(base) = self.spaces.get(&space_id).and_then(|s| s.checkpoints.base.as_ref()) else { return Ok(out) };
        let id = EventId(base.id);
        let Some(manifest) = self.manifest(cx, space_id, id)? else { return Ok(out) };
        self.for_each_state(cx, space_id, id, manifest.parts.len() as u32, &mut |state, _| {
            if wanted.contains(state.id()) {
                out.insert(state.id().clone(), state);
            }
        })?;
        Ok(out)
    }

    /// Drops ops below a checkpoint that is older than the charter wants history to be.
    pub(super) fn drop_history(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        if let Some(writer) = space.checkpoints.dropping.first().copied() {
            return self.drop_some(cx, space_id, writer);
        }
        if cx.up < space.checkpoints.drop_at {
            return Ok(());
        }
        space.checkpoints.drop_at = cx.up.plus_ms(DROP_EVERY_MS);
        let Some(ms) = history_ms(&space.charter.current().policy) else { return Ok(()) };
        let Some((id, since)) = space.checkpoints.next_base else { return Ok(()) };
        if cx.now.since_ms(since) < ms || space.pull.is_some() {
            return Ok(());
        }
        self.rise(cx, space_id, id)
    }

    /// The base becomes a newer checkpoint: what it folds in is not held any more.
    fn rise(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, id: EventId) -> Result<(), ViewError> {
        let manifest = self.manifest(cx, space_id, id)?;
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        space.checkpoints.next_base =
            space.checkpoints.newest.as_ref().map(|n| (n.id, cx.now)).filter(|(n, _)| *n != id);
        match space.checkpoints.next_base {
            Some((next, since)) => {
                cx.txn.put_record(Table::Checkpoints, keys::next_base_key(&space_id), &(next.0, since.0));
            }
            None => cx.txn.delete(Table::Checkpoints, keys::next_base_key(&space_id)),
        }
        let Some(manifest) = manifest else { return Ok(()) };
        let floors = super::fetch::floors_of(&manifest);
        space.checkpoints.dropping = floors.iter().map(keys::Floor::writer).collect();
        let base = Base { id: id.0, floors };
        cx.txn.put_record(Table::Checkpoints, keys::base_key(&space_id), &base);
        space.checkpoints.base = Some(base);
        self.count("history_dropped");
        // The doubts were about the base before this one: each base begins with none, so they do not pile up.
        cx.txn.delete_all(Table::Checkpoints, &keys::doubts_prefix(&space_id))
    }

    fn drop_some(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, writer: Writer) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        let low = space.checkpoints.base.as_ref().and_then(|base| base.floor(&writer)).map_or(0, keys::Floor::low);
        let mut gone = Vec::new();
        cx.txn.scan(Table::Ops, &records::op::writer_prefix(&space_id, &writer), &[], &mut |key, _| {
            let below = records::op::parse(key).is_some_and(|(_, seq, _)| seq <= low);
            if below && gone.len() < DROP_AT_ONCE {
                gone.push(key.to_vec());
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        })?;
        if gone.len() < DROP_AT_ONCE {
            space.checkpoints.dropping.remove(&writer);
        }
        for key in gone {
            cx.txn.delete(Table::Ops, key);
        }
        Ok(())
    }
}
