//! Catching up: heads are compared, missing ranges pulled, one pull per space at a time.

use super::heads::{self, RemoteTip};
use super::{ServePlan, Taken};
use crate::effect::NetEffect;
use crate::engine::{Asked, Cx, Engine};
use crate::entropy::draw;
use crate::input::AskId;
use crate::records;
use crate::space::Pull;
use proto::{limits, names, wire};
use std::collections::BTreeSet;
use types::{EventId, PeerId, PubKey, SpaceId, Table, UnixMs, ViewError, Writer};

/// A heads exchange with some peer happens at least this often, plus up to half as much again.
const EXCHANGE_EVERY_MS: u64 = 10_000;

/// So long after gossiping something, this many members are asked whether they have it.
const CONFIRM_MS: u64 = 400;
const CONFIRM_PEERS: usize = 3;

/// A member that came less than this ago may not be in the gossip mesh yet, or others may still gossip into its dead
/// connection: until then heads are compared this often.
const YOUNG_MS: u64 = 12_000;
const YOUNG_EVERY_MS: u64 = 1_000;

/// A peer is asked for its heads at most this often, whatever gossip says.
const ASK_GAP_MS: u64 = 100;

impl Engine {
    /// What we hold of a space.
    pub(crate) fn heads(&self, cx: &Cx<'_>, space_id: SpaceId) -> Result<Option<wire::Heads>, ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(None) };
        let totals = cx.txn.totals(&space_id)?;
        Ok(Some(wire::Heads {
            h: space.h.clone(),
            tips: heads::wire_tips(&space.ends),
            charter: space.charter_stamp().0.to_vec(),
            digest: totals.digest.to_vec(),
            state_digest: totals.state_digest.to_vec(),
            checkpoint: space.checkpoints.newest.as_ref().map(|newest| newest.event.clone()).unwrap_or_default(),
        }))
    }

    /// Compares heads with one peer, unless that is under way or was a moment ago.
    pub(crate) fn ask_heads(&mut self, cx: &mut Cx<'_>, peer: PeerId, space_id: SpaceId) -> Result<(), ViewError> {
        if self.asks.values().any(|a| *a == Asked::Heads(peer, space_id)) {
            if let Some(space) = self.spaces.get_mut(&space_id) {
                space.ask_again.insert(peer);
            }
            return Ok(());
        }
        let soon = self.spaces.get(&space_id).and_then(|s| s.asked_at.get(&peer));
        if soon.is_some_and(|at| cx.up.since_ms(*at) < ASK_GAP_MS) {
            if let Some(space) = self.spaces.get_mut(&space_id) {
                space.ask_again.insert(peer);
            }
            return Ok(());
        }
        let Some(heads) = self.heads(cx, space_id)? else { return Ok(()) };
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.asked_at.insert(peer, cx.up);
            space.ask_again.remove(&peer);
        }
        let request = wire::Request { body: Some(wire::request::Body::Heads(heads)) };
        self.ask(cx, Asked::Heads(peer, space_id), &request);
        Ok(())
    }

    /// Tells every connected member but one what we hold, so that they fetch what they lack.
    pub(crate) fn push_heads(&mut self, space_id: SpaceId, except: Option<PeerId>) {
        for peer in self.present(&space_id) {
            if Some(peer) != except
                && let Some(space) = self.spaces.get_mut(&space_id)
            {
                space.ask_again.insert(peer);
            }
        }
    }

    /// What was gossiped may be lost, most of all while a mesh is forming: a few members are asked soon whether they
    /// have it, and those that came a moment ago at once.
    pub(crate) fn confirm_later(&mut self, now: UnixMs, space_id: SpaceId) {
        let young: Vec<PeerId> =
            self.present(&space_id).into_iter().filter(|p| self.peers.greeted_within(p, now, YOUNG_MS)).collect();
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.confirm_at.get_or_insert(now.plus_ms(CONFIRM_MS));
            space.ask_again.extend(young);
        }
    }

    fn confirm_when_due(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) {
        if self.spaces.get(&space_id).and_then(|s| s.confirm_at).is_none_or(|at| cx.up < at) {
            return;
        }
        let mut present = self.present(&space_id);
        while present.len() > CONFIRM_PEERS {
            let at = u32::from_be_bytes(draw(cx.entropy)) as usize % present.len();
            present.swap_remove(at);
        }
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.confirm_at = None;
            space.ask_again.extend(present);
        }
    }

    /// Members of a space that are connected, have said who they are, and can compare and fetch ops.
    pub(crate) fn present(&self, space_id: &SpaceId) -> Vec<PeerId> {
        let Some(space) = self.spaces.get(space_id) else { return Vec::new() };
        let readers = self.peers.greeted().filter(|(_, npub)| space.charter.may_read(npub));
        readers.map(|(peer, _)| peer).filter(|peer| !self.peers.lacks(peer, names::SYNC)).collect()
    }

    pub(crate) fn tick_sync(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        let ids: Vec<_> = self.spaces.keys().copied().collect();
        for space_id in ids {
            self.confirm_when_due(cx, space_id);
            let due: Vec<PeerId> = match self.spaces.get(&space_id) {
                Some(space) => space.ask_again.iter().copied().collect(),
                None => continue,
            };
            for peer in due {
                if self.peers.is_greeted(&peer) {
                    self.ask_heads(cx, peer, space_id)?;
                } else if let Some(space) = self.spaces.get_mut(&space_id) {
                    space.ask_again.remove(&peer);
                }
            }
            if self.read_only.is_some() {
                continue;
            }
            if self.spaces.get(&space_id).is_some_and(|s| s.waiting > 0 || !s.blocked.is_empty()) {
                self.retry_waiting(cx, space_id)?;
            }
            self.exchange_when_due(cx, space_id)?;
            self.pump_pull(cx, space_id)?;
        }
        Ok(())
    }

    fn exchange_when_due(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let jitter = u64::from(u16::from_be_bytes(draw(cx.entropy))) * (EXCHANGE_EVERY_MS / 2) / 65_536;
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        if cx.up < space.exchange_at {
            return Ok(());
        }
        space.exchange_at = cx.up.plus_ms(EXCHANGE_EVERY_MS + jitter);
        let mut present = self.present(&space_id);
        let young: Vec<PeerId> =
            present.iter().filter(|p| self.peers.greeted_within(p, cx.up, YOUNG_MS)).copied().collect();
        if !young.is_empty() {
            present = young;
            self.exchange_soon(cx.up, space_id);
        }
        if present.is_empty() {
            return Ok(());
        }
        let at = u32::from_be_bytes(draw(cx.entropy)) as usize % present.len();
        self.ask_heads(cx, present[at], space_id)
    }

    /// Heads are compared within a second.
    pub(crate) fn exchange_soon(&mut self, now: UnixMs, space_id: SpaceId) {
        if let Some(space) = self.spaces.get_mut(&space_id) {
            space.exchange_at = space.exchange_at.min(now.plus_ms(YOUNG_EVERY_MS));
        }
    }

    /// A peer told what it holds.
    pub(crate) fn learn_heads(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        space_id: SpaceId,
        told: &wire::Heads,
    ) -> Result<(), ViewError> {
        let tips = heads::remote_tips(&told.tips);
        if self.peers.lacks(&peer, names::SYNC) {
            return Ok(());
        }
        self.handed_over(cx, peer, space_id, &told.charter, &tips)?;
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        space.peer_heads.insert(peer, tips);
        let another = |id: EventId| !space.charter.knows(&id) && id != space.charter_stamp();
        let unknown = EventId::from_slice(&told.charter).is_ok_and(another);
        if unknown {
            let h = space.h.clone();
            let request = wire::Request { body: Some(wire::request::Body::Charter(wire::CharterQuery { h })) };
            self.ask(cx, Asked::Charter(peer, space_id), &request);
        }
        self.offered(cx, peer, space_id, &told.checkpoint)?;
        self.pump_pull(cx, space_id)
    }

    /// Begins a pull when something is missing and none is under way.
    pub(crate) fn pump_pull(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        if space.pull.is_some() || self.read_only.is_some() {
            return Ok(());
        }
        if self.pump_fetch(cx, space_id) {
            return Ok(());
        }
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        let candidates: Vec<PeerId> = space.peer_heads.keys().copied().collect();
        for peer in candidates {
            let ranges = self.missing_from(cx, space_id, &peer);
            let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
            if ranges.is_empty() || !self.peers.is_greeted(&peer) {
                space.peer_heads.remove(&peer);
                continue;
            }
            let request = wire::PullRequest { h: space.h.clone(), ranges, ..Default::default() };
            let _ = self.pull(cx, space_id, peer, &request, None);
            return Ok(());
        }
        self.pump_history(cx, space_id);
        Ok(())
    }

    /// Fetches ops below the base when nothing else is to be fetched.
    fn pump_history(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) {
        if self.spaces.get(&space_id).is_none_or(|s| s.checkpoints.base.is_none()) {
            return;
        }
        let mut present = self.present(&space_id);
        while !present.is_empty() {
            let at = u32::from_be_bytes(draw(cx.entropy)) as usize % present.len();
            let peer = present.swap_remove(at);
            let ranges = self.history_from(cx, space_id, &peer);
            let Some(space) = self.spaces.get(&space_id) else { return };
            if !ranges.is_empty() {
                let request = wire::PullRequest { h: space.h.clone(), ranges, ..Default::default() };
                let missing = space.checkpoints.history_missing();
                let _ = self.pull(cx, space_id, peer, &request, Some(missing));
                return;
            }
        }
    }

    /// Opens a pull stream.
    pub(crate) fn pull(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        peer: PeerId,
        request: &wire::PullRequest,
        fills: Option<u64>,
    ) -> AskId {
        let ask = self.next_ask;
        self.next_ask += 1;
        let Some(space) = self.spaces.get_mut(&space_id) else { return ask };
        space.pull = Some(Pull { ask, peer, applied: 0, gaps: BTreeSet::new(), fills, pages: 0 });
        self.asks.insert(ask, Asked::Pull(peer, space_id));
        cx.net(NetEffect::Pull { peer, ask, body: proto::encode(request) });
        ask
    }

    fn missing_from(&self, cx: &Cx<'_>, space_id: SpaceId, peer: &PeerId) -> Vec<wire::Range> {
        let Some(space) = self.spaces.get(&space_id) else { return Vec::new() };
        let Some(theirs) = space.peer_heads.get(peer) else { return Vec::new() };
        let not_there = space.checkpoints.floors_of.get(peer);
        let has = |tip: &RemoteTip| {
            space.checkpoints.covers(&tip.writer, tip.seq)
                || space.blocked.contains_key(&tip.writer)
                || space.refused.contains(&tip.id)
                || space.ends.get(&tip.writer).is_some_and(|e| e.contains(tip.seq, &tip.id))
                || cx.txn.has(Table::Ops, &records::op::key(&space_id, &tip.writer, tip.seq, &tip.id)).unwrap_or(false)
        };
        let mut ranges = heads::missing(&space.ends, theirs, &has, &|w| space.back.get(w).copied().unwrap_or(0));
        // What it said that it does not hold op by op is not asked of it again.
        ranges.retain(|range| {
            let floor = PubKey::from_slice(&range.host)
                .ok()
                .and_then(|host| not_there?.get(&Writer { host, incarnation: range.incarnation }));
            floor.is_none_or(|floor| range.from > *floor)
        });
        ranges
    }

    /// A peer wants ops.
    pub(crate) fn pull_asked(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        stream: u64,
        body: &[u8],
    ) -> Result<(), ViewError> {
        let plan = match proto::decode::<wire::PullRequest>(body, limits::FRAME_BYTES_MAX) {
            Err(_) => ServePlan::refuse("malformed", "not a pull request"),
            Ok(request) => match self.reader_of(&peer, &request.h) {
                Some(space_id) if request.checkpoint.is_empty() => {
                    ServePlan::ranges(space_id, &request.ranges, self.floors(&space_id))
                }
                Some(space_id) => match EventId::from_slice(&request.checkpoint) {
                    Ok(id) => ServePlan::checkpoint(space_id, id, request.part),
                    Err(_) => ServePlan::refuse("malformed", "not a checkpoint's id"),
                },
                None => {
                    self.count("pull_refused");
                    ServePlan::refuse("not_a_member", "not a member of this space")
                }
            },
        };
        cx.net(NetEffect::Serve { stream, plan });
        Ok(())
    }

    /// The space behind an `h` tag, if this greeted peer may read it.
    pub(crate) fn reader_of(&self, peer: &PeerId, h: &str) -> Option<SpaceId> {
        let npub = self.peers.npub(peer)?;
        let space_id = *self.by_h.get(h)?;
        self.spaces.get(&space_id)?.charter.may_read(&npub).then_some(space_id)
    }

    /// One page of a pull of ours.
    pub(crate) fn page(&mut self, cx: &mut Cx<'_>, ask: AskId, body: &[u8]) -> Result<(), ViewError> {
        let Some(Asked::Pull(peer, space_id)) = self.asks.get(&ask).cloned() else { return Ok(()) };
        let Ok(page) = proto::decode::<wire::PullPage>(body, limits::FRAME_BYTES_MAX) else {
            self.count("malformed_page");
            return Ok(());
        };
        if page.refusal.is_some() {
            self.count("pull_was_refused");
            return Ok(());
        }
        let pull = self.spaces.get_mut(&space_id).and_then(|s| s.pull.as_mut());
        let Some(pull) = pull.filter(|pull| pull.ask == ask) else { return Ok(()) };
        pull.pages += 1;
        if pull.pages == 1 {
            self.note_floors(space_id, peer, &page.floors);
        }
        if !page.parts.is_empty() {
            self.take_parts(cx, space_id, ask, &page.parts)?;
        }
        for event in &page.events {
            let taken = self.take_in(cx, space_id, event)?;
            let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
            let Some(pull) = space.pull.as_mut().filter(|p| p.ask == ask) else { return Ok(()) };
            match taken {
                Taken::Applied => pull.applied += 1,
                Taken::Gap(writer) => {
                    pull.gaps.insert(writer);
                }
                Taken::Rejected(_) if space.refused.len() < limits::TIPS_MAX => {
                    // Only a verified event speaks for its id: a damaged copy must not keep the op itself out.
                    space.refused.extend(identity::Event::verify(event).map(|e| e.id()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A pull of ours is over: go on with what is still missing, from whoever has it.
    pub(crate) fn pull_ended(
        &mut self,
        cx: &mut Cx<'_>,
        ask: AskId,
        result: Result<(), String>,
    ) -> Result<(), ViewError> {
        let Some(Asked::Pull(peer, space_id)) = self.asks.remove(&ask) else { return Ok(()) };
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        let Some(pull) = space.pull.take_if(|p| p.ask == ask) else { return Ok(()) };
        if result.is_err() {
            self.count("pull_failed");
        }
        self.fetch_ended(space_id, ask);
        if let Some(missing) = pull.fills {
            self.fill_ended(cx, space_id, missing);
        }
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        space.back.retain(|writer, _| pull.gaps.contains(writer));
        let top = space.peer_heads.get(&peer).and_then(|tips| tips.iter().map(|t| t.seq).max()).unwrap_or(0);
        let mut exhausted = true;
        for writer in &pull.gaps {
            let back = space.back.entry(*writer).or_insert(0);
            exhausted &= *back > top;
            *back = (*back * 2).max(1);
        }
        if pull.applied == 0 && exhausted {
            // Nothing came of it: what this peer told is not asked for again until it tells anew.
            space.peer_heads.remove(&peer);
        }
        if pull.applied > 0 && !self.gossip {
            self.push_heads(space_id, Some(peer));
        }
        self.pump_pull(cx, space_id)?;
        self.caught_up(cx, space_id)
    }

    /// Forgets questions to a peer that is gone.
    pub(crate) fn forget_asks(&mut self, cx: &mut Cx<'_>, peer: PeerId) -> Result<(), ViewError> {
        self.asks.retain(|_, asked| {
            !matches!(asked,
            Asked::Hello(p) | Asked::Heads(p, _) | Asked::Charter(p, _) | Asked::Hosts(p, _) if *p == peer)
        });
        let ids: Vec<_> = self.spaces.keys().copied().collect();
        for space_id in ids {
            let Some(space) = self.spaces.get_mut(&space_id) else { continue };
            space.peer_heads.remove(&peer);
            space.asked_at.remove(&peer);
            space.ask_again.remove(&peer);
            space.checkpoints.floors_of.remove(&peer);
            space.checkpoints.fetch.take_if(|fetch| fetch.peer == peer);
            if let Some(pull) = space.pull.take_if(|p| p.peer == peer) {
                self.asks.remove(&pull.ask);
                self.pump_pull(cx, space_id)?;
            }
        }
        Ok(())
    }
}

/// When the first exchange of a freshly loaded space is due.
pub(crate) fn first_exchange(now: UnixMs) -> UnixMs {
    now.plus_ms(EXCHANGE_EVERY_MS)
}
