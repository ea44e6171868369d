//! Beginning with a checkpoint instead of with the first op.

use super::Checkpoint;
use super::body::{Joiner, hash, heads_hash};
use crate::effect::Effect;
use crate::engine::{Cx, Engine};
use crate::input::AskId;
use crate::records::checkpoint::{self as keys, Base, Floor};
use crate::records::tips::{self, Tips};
use crate::records::totals::Totals;
use crate::sync::{Ends, Taken, remote_tips};
use beads::{BeadState, Contribution};
use identity::Event;
use proto::{limits, names, wire};
use serde_json::json;
use std::collections::BTreeMap;
use types::{EventId, PeerId, SpaceId, Table, View, ViewError};

/// After so many streams that brought nothing, a checkpoint is not fetched from this peer any more.
const FAILURES_MAX: u32 = 3;

/// A checkpoint that is being fetched.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) peer: PeerId,
    pub(crate) id: EventId,
    checkpoint: Checkpoint,
    event: Vec<u8>,
    /// SHA-256 of every part besides the manifest, once that is here.
    hashes: Vec<[u8; 32]>,
    /// The first part that is missing.
    next: u32,
    failures: u32,
    ask: AskId,
    /// `next` when the present stream began.
    began: u32,
}

impl Engine {
    /// A peer says which checkpoint it serves.
    pub(crate) fn offered(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        space_id: SpaceId,
        event: &[u8],
    ) -> Result<(), ViewError> {
        if event.is_empty() || self.read_only.is_some() || self.peers.lacks(&peer, names::CHECKPOINTS) {
            return Ok(());
        }
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        if space.checkpoints.fetch.is_some() {
            return Ok(());
        }
        let newest = space.checkpoints.newest.as_ref().map(|newest| newest.id);
        let event = match Event::parse(event) {
            // It is here, and what it has folded in is not missing.
            Ok(event) if Some(event.id()) == newest => return Ok(()),
            Ok(event) => event.verify(),
            Err(err) => Err(err),
        };
        let event = match event {
            Ok(event) => event,
            Err(err) => {
                self.rejected(err.code());
                return Ok(());
            }
        };
        let id = event.id();
        let checkpoint = match self.read_checkpoint(space_id, &event) {
            Ok(checkpoint) => checkpoint,
            // The charter is asked for because of the same heads; they are compared again afterwards.
            Err(Taken::Rejected(code)) => {
                self.rejected(code);
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        let grew_from_it = space.checkpoints.base.as_ref().is_some_and(|base| base.id == id.0);
        if grew_from_it || space.checkpoints.spurned.contains(&id) || heads_hash(&space.ends) == checkpoint.heads {
            return Ok(());
        }
        // For somebody who has little, it is the shorter way; others fetch what they lack.
        let ops = cx.txn.totals(&space_id)?.ops;
        let shorter = checkpoint.ops >= self.checkpoint_rule.join_min_ops && ops.saturating_mul(10) < checkpoint.ops;
        if !shorter && !self.needs_checkpoint(space_id, &peer) {
            return Ok(());
        }
        let mut fetch = Fetch {
            peer,
            id,
            checkpoint,
            event: event.to_json(),
            hashes: Vec::new(),
            next: 0,
            failures: 0,
            ask: 0,
            began: 0,
        };
        // What an earlier attempt brought is still here.
        while let Some(part) = cx.txn.get(Table::Checkpoints, &keys::part_key(&space_id, &id, fetch.next))?
            && fetch.accept(&part).is_ok()
        {}
        let whole = fetch.is_whole();
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.checkpoints.fetch = Some(fetch);
        }
        if whole { self.adopt(cx, space_id) } else { Ok(()) }
    }

    /// Whether there is no other way: what this store grew from no longer counts, or all who are present lack the ops
    /// that are missing here.
    fn needs_checkpoint(&self, space_id: SpaceId, peer: &PeerId) -> bool {
        let Some(space) = self.spaces.get(&space_id) else { return false };
        if space.checkpoints.void_base {
            return true;
        }
        let stuck = |peer: &PeerId| {
            let floors = space.checkpoints.floors_of.get(peer);
            floors.is_some_and(|floors| {
                floors.iter().any(|(writer, seq)| {
                    space.ends.get(writer).map_or(0, Tips::top) < *seq && !space.checkpoints.covers(writer, *seq)
                })
            })
        };
        stuck(peer) && self.present(&space_id).iter().all(stuck)
    }

    /// Opens a stream for what is missing of the checkpoint that is being fetched. Says whether there is one.
    pub(crate) fn pump_fetch(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> bool {
        let Some(space) = self.spaces.get_mut(&space_id) else { return false };
        let Some(fetch) = &mut space.checkpoints.fetch else { return false };
        if !self.peers.is_greeted(&fetch.peer) {
            space.checkpoints.fetch = None;
            return false;
        }
        fetch.began = fetch.next;
        let peer = fetch.peer;
        let request = wire::PullRequest {
            h: space.h.clone(),
            ranges: Vec::new(),
            checkpoint: fetch.id.0.to_vec(),
            part: fetch.next,
        };
        let ask = self.pull(cx, space_id, peer, &request, None);
        if let Some(fetch) = self.spaces.get_mut(&space_id).and_then(|s| s.checkpoints.fetch.as_mut()) {
            fetch.ask = ask;
        }
        true
    }

    /// Parts that came on a pull of ours.
    pub(crate) fn take_parts(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        ask: AskId,
        parts: &[Vec<u8>],
    ) -> Result<(), ViewError> {
        for part in parts {
            let fetch = self.spaces.get_mut(&space_id).and_then(|s| s.checkpoints.fetch.as_mut());
            let Some(fetch) = fetch.filter(|fetch| fetch.ask == ask) else { return Ok(()) };
            let (id, n) = (fetch.id, fetch.next);
            if fetch.accept(part).is_err() {
                // Every hash is signed for: the peer is to blame, not the checkpoint.
                self.count("false_part");
                return Ok(());
            }
            let (whole, of, peer) = (fetch.is_whole(), fetch.checkpoint.parts, fetch.peer);
            cx.txn.put(Table::Checkpoints, keys::part_key(&space_id, &id, n), part.clone());
            self.tell_joiner(
                cx,
                space_id,
                json!({"doing": "fetching a checkpoint", "part": n, "of": of, "from": peer}),
            );
            if whole {
                return self.adopt(cx, space_id);
            }
        }
        Ok(())
    }

    /// A stream of parts is over.
    pub(crate) fn fetch_ended(&mut self, space_id: SpaceId, ask: AskId) {
        let Some(space) = self.spaces.get_mut(&space_id) else { return };
        let Some(fetch) = space.checkpoints.fetch.as_mut().filter(|fetch| fetch.ask == ask) else { return };
        fetch.failures = if fetch.next > fetch.began { 0 } else { fetch.failures + 1 };
        if fetch.failures >= FAILURES_MAX {
            space.checkpoints.fetch = None;
        }
    }

    /// The whole checkpoint is here: the space grows from it.
    fn adopt(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        let Some(Fetch { id, checkpoint, event, .. }) = space.checkpoints.fetch.take() else { return Ok(()) };
        let mut sums = Totals { ops: checkpoint.ops, ..Totals::default() };
        let mut states = Vec::new();
        let none = Contribution::default();
        let read = self.for_each_state(cx, space_id, id, checkpoint.parts, &mut |state, bytes| {
            sums.replace(&none, &state.contribution());
            states.push((state.id().clone(), bytes.to_vec()));
        });
        match read {
            Ok(()) if sums.agree(&checkpoint) => {}
            other => {
                self.delete_parts(cx, space_id, id)?;
                let why = other.err().map_or("its parts are not what it says of them".to_owned(), |err| err.reason);
                self.spurn(cx, space_id, id, &why);
                return Ok(());
            }
        }
        let Some(manifest) = self.manifest(cx, space_id, id)? else { return Ok(()) };
        self.clear_beads(cx, space_id)?;
        cx.txn.delete_all(Table::Checkpoints, &keys::doubts_prefix(&space_id))?;
        for (bead, bytes) in states {
            cx.txn.put_bead(&space_id, &bead, bytes);
        }
        cx.txn.set_totals(&space_id, sums);
        let floors = floors_of(&manifest);
        // What is here above the floors is folded again, and moves the ends again.
        let before = self.spaces.get_mut(&space_id).map(|s| std::mem::take(&mut s.ends)).unwrap_or_default();
        for writer in before.keys() {
            cx.txn.delete(Table::Tips, tips::key(&space_id, writer));
        }
        for floor in &floors {
            let tips = Tips(floor.tips.clone());
            cx.txn.put_record(Table::Tips, tips::key(&space_id, &floor.writer()), &tips);
            if let Some(space) = self.spaces.get_mut(&space_id) {
                space.ends.insert(floor.writer(), tips);
            }
        }
        let base = Base { id: id.0, floors };
        cx.txn.put_record(Table::Checkpoints, keys::base_key(&space_id), &base);
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.checkpoints.base = Some(base);
            space.checkpoints.fill_at = cx.up;
            space.refused.clear();
        }
        self.keep_checkpoint(cx, space_id, id, event, checkpoint.ops)?;
        self.fold_above(cx, space_id)?;
        self.count("checkpoint_adopted");
        self.exclude(cx, space_id)
    }

    /// Beads that are here and not in the checkpoint are gone; all that change are told to files and callers.
    fn clear_beads(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        cx.txn.write_back()?;
        for (key, _) in cx.txn.collect(Table::Beads, &space_id.0)? {
            if let Some(Ok(id)) = crate::records::bead::parse(&key).map(str::parse) {
                cx.txn.drop_bead(&space_id, &id);
            }
        }
        Ok(())
    }

    /// The manifest of a checkpoint that is here.
    pub(super) fn manifest(
        &self,
        cx: &Cx<'_>,
        space_id: SpaceId,
        id: EventId,
    ) -> Result<Option<wire::CheckpointManifest>, ViewError> {
        let part = cx.txn.get(Table::Checkpoints, &keys::part_key(&space_id, &id, 0))?;
        Ok(part.and_then(|part| proto::decode(&part, limits::FRAME_BYTES_MAX).ok()))
    }

    /// Goes through the states of a checkpoint whose parts are here.
    pub(super) fn for_each_state(
        &self,
        cx: &Cx<'_>,
        space_id: SpaceId,
        id: EventId,
        parts: u32,
        each: &mut dyn FnMut(BeadState, &[u8]),
    ) -> Result<(), ViewError> {
        let broken = |reason: String| ViewError { table: Table::Checkpoints, reason };
        let mut joiner = Joiner::default();
        for n in 1..=parts {
            let part = cx.txn.get(Table::Checkpoints, &keys::part_key(&space_id, &id, n))?;
            let part = part.ok_or_else(|| broken(format!("part {n} is not here")))?;
            joiner.push(&part, each).map_err(broken)?;
        }
        if joiner.is_done() { Ok(()) } else { Err(broken("the last state is cut off".to_owned())) }
    }
}

impl Totals {
    fn agree(&self, said: &Checkpoint) -> bool {
        (self.beads, self.digest, self.state_digest) == (said.beads, said.digest, said.state_digest)
    }
}

impl Fetch {
    /// Checks the next part against its hash.
    fn accept(&mut self, part: &[u8]) -> Result<(), String> {
        if self.next == 0 {
            if hash(part) != self.checkpoint.manifest {
                return Err("the manifest is not the one that was signed".to_owned());
            }
            let manifest: wire::CheckpointManifest =
                proto::decode(part, limits::FRAME_BYTES_MAX).map_err(|e| e.to_string())?;
            let hashes: Option<Vec<[u8; 32]>> =
                manifest.parts.iter().map(|hash| hash.as_slice().try_into().ok()).collect();
            let hashes = hashes.filter(|h| h.len() == self.checkpoint.parts as usize).ok_or("not as many parts")?;
            if heads_hash(&ends_of(&manifest)) != self.checkpoint.heads {
                return Err("the manifest names other heads".to_owned());
            }
            self.hashes = hashes;
        } else if self.hashes.get(self.next as usize - 1) != Some(&hash(part)) {
            return Err(format!("part {} is not the one that was signed", self.next));
        }
        self.next += 1;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.next == self.checkpoint.parts + 1
    }
}

/// The ends that a manifest names.
fn ends_of(manifest: &wire::CheckpointManifest) -> Ends {
    let mut ends = Ends::new();
    for tip in remote_tips(&manifest.tips) {
        ends.entry(tip.writer).or_default().0.push((tip.seq, tip.id.0));
    }
    for tips in ends.values_mut() {
        tips.0.sort_unstable();
    }
    ends
}

pub(super) fn floors_of(manifest: &wire::CheckpointManifest) -> Vec<Floor> {
    let floors: BTreeMap<_, _> = ends_of(manifest)
        .into_iter()
        .map(|(writer, Tips(tips))| {
            (
                (writer.host.0, writer.incarnation),
                Floor { host: writer.host.0, incarnation: writer.incarnation, tips, filled: 0 },
            )
        })
        .collect();
    floors.into_values().collect()
}

impl Engine {
    /// Tells who waits for a join how far it is.
    fn tell_joiner(&self, cx: &mut Cx<'_>, space_id: SpaceId, progress: serde_json::Value) {
        if let Some(call) = self.joining(space_id) {
            cx.out.push(Effect::Progress { call, progress });
        }
    }
}
