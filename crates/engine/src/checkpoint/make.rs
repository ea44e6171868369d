//! Making checkpoints, and comparing those of others.

use super::body::{Cutter, hash, heads_hash};
use super::{Checkpoint, KEPT_MAX, Whole};
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::entropy::draw;
use crate::error::ApiError;
use crate::records;
use crate::records::checkpoint::{self as keys, Kept};
use crate::records::tips::Tips;
use crate::sync::Taken;
use identity::{Event, kinds};
use serde_json::json;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use types::{EventId, SpaceId, Table, View, ViewError, Writer};

/// Wrong checkpoints that are remembered per space.
const SPURNED_MAX: usize = 1_000;

/// A checkpoint of what is here now, and its parts with the manifest in front.
struct Made {
    checkpoint: Checkpoint,
    parts: Vec<Vec<u8>>,
}

impl Engine {
    pub(crate) fn tick_checkpoints(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        let ids: Vec<_> = self.spaces.keys().copied().collect();
        for space_id in ids {
            if self.read_only.is_some() {
                return Ok(());
            }
            self.compare_when_equal(cx, space_id)?;
            if self.checkpoint_due(cx, space_id)? {
                self.make_checkpoint(cx, space_id)?;
            }
            self.drop_history(cx, space_id)?;
        }
        Ok(())
    }

    fn checkpoint_due(&self, cx: &Cx<'_>, space_id: SpaceId) -> Result<bool, ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(false) };
        if space.charter.coordinator() != Some(self.me) || space.pull.is_some() {
            return Ok(false);
        }
        if space.checkpoints.void_base {
            return Ok(false);
        }
        if space.checkpoints.due {
            return Ok(true);
        }
        let last = space.checkpoints.newest.as_ref().map_or(0, |newest| newest.ops);
        Ok(cx.txn.totals(&space_id)?.ops >= last.saturating_add(self.checkpoint_rule.every_ops))
    }

    /// `space.checkpoint`: one now.
    pub(crate) fn checkpoint_now(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        self.writable()?;
        let space_id = self.resolve_space(at)?;
        let coordinator = self.spaces.get(&space_id).and_then(|s| s.charter.coordinator());
        if coordinator != Some(self.me) {
            return Err(ApiError::new("not_the_coordinator", "only the space's coordinator makes checkpoints")
                .hint("townmesh space show names the coordinator"));
        }
        match self.make_checkpoint(cx, space_id)? {
            Some((id, made)) => Ok(Some(json!({"id": id, "ops": made.ops, "beads": made.beads, "parts": made.parts,
                "bytes": made.bytes}))),
            None => Err(ApiError::new("too_large", "the space is too large for a checkpoint")),
        }
    }

    fn make_checkpoint(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
    ) -> Result<Option<(EventId, Checkpoint)>, ViewError> {
        let Some(Made { checkpoint, parts }) = self.state_now(cx, space_id)? else {
            self.count("checkpoint_too_large");
            return Ok(None);
        };
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(None) };
        space.checkpoints.due = false;
        let (tags, content) = space.close(&self.me, kinds::CHECKPOINT, &checkpoint.encode(), draw(cx.entropy));
        let event = self.host.nostr().sign(kinds::CHECKPOINT, cx.now.secs(), tags, content, draw(cx.entropy));
        let (id, json) = (event.id(), event.to_json());
        self.keep_parts(cx, space_id, id, parts);
        self.keep_checkpoint(cx, space_id, id, json.clone(), checkpoint.ops)?;
        self.tell(cx, space_id, vec![json]);
        self.count("checkpoint_made");
        Ok(Some((id, checkpoint)))
    }

    /// Takes in the announcement of a checkpoint.
    pub(crate) fn take_checkpoint(&mut self, space_id: SpaceId, event: &Event) -> Taken {
        let checkpoint = match self.read_checkpoint(space_id, event) {
            Ok(checkpoint) => checkpoint,
            Err(taken) => return taken,
        };
        let Some(space) = self.spaces.get_mut(&space_id) else { return Taken::Rejected("unknown_space") };
        let (id, checkpoints) = (event.id(), &mut space.checkpoints);
        if checkpoints.spurned.contains(&id) {
            return Taken::Rejected("false_checkpoint");
        }
        let known = checkpoints.newest.as_ref().map_or(0, |newest| newest.ops);
        let announced = checkpoints.announced.as_ref().map_or(0, |(_, announced, _)| announced.ops);
        if checkpoint.ops <= known.max(announced) {
            return Taken::Known;
        }
        checkpoints.announced = Some((id, checkpoint, event.to_json()));
        Taken::Applied
    }

    /// A checkpoint's body, if its author may sign it.
    pub(super) fn read_checkpoint(&self, space_id: SpaceId, event: &Event) -> Result<Checkpoint, Taken> {
        let space = self.spaces.get(&space_id).ok_or(Taken::Rejected("unknown_space"))?;
        let body = space.open(event).map_err(Taken::Rejected)?;
        let checkpoint = Checkpoint::decode(&body).map_err(|_| Taken::Rejected("malformed_checkpoint"))?;
        let Some(version) = space.charter.version(&checkpoint.charter) else { return Err(Taken::NeedCharter) };
        let author = event.pubkey();
        let may = version.coordinator == Some(author) && !space.charter.void(&checkpoint.charter);
        if may && space.charter.may_read(&author) {
            Ok(checkpoint)
        } else {
            Err(Taken::Rejected("not_the_coordinator"))
        }
    }

    /// Who holds exactly the ops of an announced checkpoint makes it again, and serves it if it is the same.
    fn compare_when_equal(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        if space.checkpoints.announced.is_none() {
            return Ok(());
        }
        let ops = cx.txn.totals(&space_id)?.ops;
        // What is past here cannot be compared any more.
        space.checkpoints.announced.take_if(|(_, said, _)| ops > said.ops);
        let Some((id, said, event)) = &space.checkpoints.announced else { return Ok(()) };
        let (id, said, event) = (*id, said.clone(), event.clone());
        if space.checkpoints.void_base || ops != said.ops || heads_hash(&space.ends) != said.heads {
            return Ok(());
        }
        let Some(Made { checkpoint: ours, parts }) = self.state_now(cx, space_id)? else { return Ok(()) };
        if (ours.manifest, ours.digest, ours.state_digest) == (said.manifest, said.digest, said.state_digest) {
            self.keep_parts(cx, space_id, id, parts);
            self.count("checkpoint_confirmed");
            return self.keep_checkpoint(cx, space_id, id, event, said.ops);
        }
        self.spurn(cx, space_id, id, "it says something else than the same ops do here");
        Ok(())
    }

    /// A checkpoint is wrong: it is not looked at again.
    pub(super) fn spurn(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, id: EventId, why: &str) {
        self.count("false_checkpoint");
        cx.warn("false_checkpoint", format!("checkpoint {}: {why}", id.fmt_short()));
        let Some(space) = self.spaces.get_mut(&space_id) else { return };
        let checkpoints = &mut space.checkpoints;
        checkpoints.announced.take_if(|(announced, ..)| *announced == id);
        checkpoints.fetch.take_if(|fetch| fetch.id == id);
        if checkpoints.spurned.len() < SPURNED_MAX {
            checkpoints.spurned.insert(id);
        }
    }

    /// The ends of a writer's chain that the base has folded in; none without a base.
    pub(crate) fn base_tips(&self, space_id: SpaceId, writer: &Writer) -> Tips {
        let base = self.spaces.get(&space_id).and_then(|s| s.checkpoints.base.as_ref());
        Tips(base.and_then(|base| base.floor(writer)).map(|floor| floor.tips.clone()).unwrap_or_default())
    }

    /// After a removal: a checkpoint that has folded in what no longer counts is not served any more, and is no
    /// foundation.
    pub(crate) fn judge_checkpoints(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        suspects: &BTreeSet<Writer>,
        excluded: bool,
    ) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        let void = suspects.iter().any(|writer| {
            let floor = space.checkpoints.base.as_ref().and_then(|base| base.floor(writer));
            let tips = floor.into_iter().flat_map(|floor| &floor.tips);
            tips.copied().any(|(seq, id)| space.charter.cut_off(writer, seq, &EventId(id)))
        });
        space.checkpoints.void_base = void;
        if (excluded || void)
            && let Some(newest) = space.checkpoints.newest.take()
        {
            let key = keys::kept_key(&space_id, &newest.id);
            if let Some(kept) = cx.txn.record::<Kept>(Table::Checkpoints, &key)? {
                cx.txn.put_record(Table::Checkpoints, key, &Kept { void: true, ..kept });
            }
            space.checkpoints.due = true;
        }
        Ok(())
    }

    /// The state of a space as it is now; `None` when it is too large.
    fn state_now(&self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<Option<Made>, ViewError> {
        cx.txn.write_back()?;
        let Some(space) = self.spaces.get(&space_id) else { return Ok(None) };
        let mut cutter = Cutter::default();
        let mut fits = true;
        cx.txn.scan(Table::Beads, &space_id.0, &[], &mut |_, state| {
            fits = cutter.push(state);
            if fits { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let Some((parts, bytes)) = cutter.finish(&space.ends).filter(|_| fits) else { return Ok(None) };
        let totals = cx.txn.totals(&space_id)?;
        let checkpoint = Checkpoint {
            charter: space.charter.head(),
            heads: heads_hash(&space.ends),
            manifest: parts.first().map(|manifest| hash(manifest)).unwrap_or_default(),
            parts: parts.len().saturating_sub(1) as u32,
            bytes,
            beads: totals.beads,
            ops: totals.ops,
            digest: totals.digest,
            state_digest: totals.state_digest,
        };
        Ok(Some(Made { checkpoint, parts }))
    }

    fn keep_parts(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, id: EventId, parts: Vec<Vec<u8>>) {
        for (n, part) in parts.into_iter().enumerate() {
            cx.txn.put(Table::Checkpoints, keys::part_key(&space_id, &id, n as u32), part);
        }
    }

    /// A checkpoint is here as a whole: it is kept and served, and older ones go.
    pub(super) fn keep_checkpoint(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        id: EventId,
        event: Vec<u8>,
        ops: u64,
    ) -> Result<(), ViewError> {
        let kept = Kept { event: event.clone(), ops, since_ms: cx.now.0, void: false };
        cx.txn.put_record(Table::Checkpoints, keys::kept_key(&space_id, &id), &kept);
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        let checkpoints = &mut space.checkpoints;
        checkpoints.announced.take_if(|(announced, ..)| *announced == id);
        if checkpoints.newest.as_ref().is_none_or(|newest| newest.ops <= ops) {
            checkpoints.newest = Some(Whole { id, event, ops });
        }
        if checkpoints.next_base.is_none() && super::history_ms(&space.charter.current().policy).is_some() {
            checkpoints.next_base = Some((id, cx.now));
            cx.txn.put_record(Table::Checkpoints, keys::next_base_key(&space_id), &(id.0, cx.now.0));
        }
        self.forget_checkpoints(cx, space_id)
    }

    /// Keeps the newest few, the base, and the one that becomes the next base.
    fn forget_checkpoints(&self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(checkpoints) = self.spaces.get(&space_id).map(|s| &s.checkpoints) else { return Ok(()) };
        let needed = [checkpoints.base.as_ref().map(|base| base.id), checkpoints.next_base.map(|(id, _)| id.0)];
        let mut all = Vec::new();
        for (key, value) in cx.txn.collect(Table::Checkpoints, &keys::kept_prefix(&space_id))? {
            let kept: Kept = records::unpack(Table::Checkpoints, &value)?;
            // A void one is of use only until there is another.
            all.extend(keys::kept_id(&key).map(|id| (!kept.void, kept.ops, kept.since_ms, id)));
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        let counting = all.iter().take(KEPT_MAX).filter(|(counts, ..)| *counts).count();
        for (.., id) in all.into_iter().skip(counting).filter(|(.., id)| !needed.contains(&Some(id.0))) {
            cx.txn.delete(Table::Checkpoints, keys::kept_key(&space_id, &id));
            self.delete_parts(cx, space_id, id)?;
        }
        Ok(())
    }

    pub(super) fn delete_parts(&self, cx: &mut Cx<'_>, space_id: SpaceId, id: EventId) -> Result<(), ViewError> {
        cx.txn.delete_all(Table::Checkpoints, &keys::parts_prefix(&space_id, &id))
    }
}
