//! The coordinator's part: who gets a bead, for how long, and what becomes of the result.

use super::step::{Ended, Say};
use super::transcript::{Grant, Offer, OfferEnd, Transcript};
use super::{At, Desk, ledger};
use crate::engine::{Cx, Engine};
use crate::records::work;
use beads::{Bead, Shown, Unit, Write, resolve_write, touch_write};
use serde_json::Value;
use types::{EventId, Fence, PubKey, SpaceId, Table, UnixMs, Usage, ViewError};

/// How often to look at an offer that nobody can take now, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// How soon a worker that has not answered is told again, in milliseconds.
const TELL_AGAIN_MS: u64 = 2_000;

/// How long a worker that declined or wants to try later is left in peace, in milliseconds.
const PAUSE_MS: u64 = 10_000;

/// An offer whose work failed so often is given up.
const FAILURES_MAX: usize = 3;

/// Grants of one bead in one epoch, at most.
const ATTEMPTS_MAX: u64 = 100;

/// A bead with an open offer, as it is looked at.
#[derive(Clone, Copy)]
struct Case<'a> {
    at: &'a At,
    shown: &'a Shown,
    transcript: &'a Transcript,
    offer: &'a Offer,
}

/// Whether there is nothing left to work on.
pub(super) fn is_over(shown: &Shown) -> bool {
    shown.hidden || matches!(shown.bead.text("status"), "closed" | "tombstone")
}

impl Engine {
    /// Looks at a bead that was offered, and does what its coordinator has to do now.
    pub(super) fn coordinate(&mut self, cx: &mut Cx<'_>, at: &At) -> Result<(), ViewError> {
        let Some((shown, transcript)) = self.transcript(cx, at)? else { return Ok(()) };
        self.account(at, &transcript);
        let key = work::open_key(&at.0, at.1.as_str());
        let Some(offer) = transcript.open().cloned() else {
            if self.sling.desks.remove(at).is_some() {
                cx.txn.delete(Table::Work, key);
            }
            self.end_live_grant(cx, at, &shown, &transcript)?;
            let convoy = transcript.newest().map(|offer| offer.convoy.clone()).unwrap_or_default();
            return self.land(cx, at.0, &convoy);
        };
        if !self.sling.desks.contains_key(at) {
            cx.txn.put(Table::Work, key, Vec::new());
            self.sling.desks.insert(at.clone(), Desk::default());
        }
        for id in &transcript.contradicting {
            self.contradiction(cx, at, *id)?;
        }
        self.sling.remember(at, &transcript);
        if !self.coordinates(&at.0) {
            if let Some(desk) = self.sling.desks.get_mut(at) {
                *desk = Desk { look_at: UnixMs(u64::MAX), ..Desk::default() };
            }
            return Ok(());
        }
        if !self.takes_over(cx, at.0)? {
            if let Some(desk) = self.sling.desks.get_mut(at) {
                *desk = Desk { look_at: cx.up.plus_ms(LOOK_MS), ..Desk::default() };
            }
            return Ok(());
        }
        let current = transcript.current().filter(|grant| grant.is_live() && grant.offer == offer.id).cloned();
        if is_over(&shown) && !current.as_ref().is_some_and(|grant| ended_by_worker(&shown, grant)) {
            let why = "the bead was closed or deleted by somebody";
            return self.give_up(cx, at, &shown, &offer, current.as_ref(), why);
        }
        let case = Case { at, shown: &shown, transcript: &transcript, offer: &offer };
        match current {
            Some(grant) => self.oversee(cx, case, &grant),
            None => self.grant_to_somebody(cx, case),
        }
    }

    /// Whether this host grants work in a space now.
    pub(super) fn coordinates(&self, space: &SpaceId) -> bool {
        let coordinator = self.spaces.get(space).and_then(|space| space.charter.coordinator());
        coordinator == Some(self.me) && self.may_write(space).is_ok()
    }

    /// A grant under which somebody works.
    fn oversee(&mut self, cx: &mut Cx<'_>, case: Case<'_>, grant: &Grant) -> Result<(), ViewError> {
        let Case { at, shown, offer, .. } = case;
        if grant.by != self.me || Some(grant.fence.epoch) != self.epoch(&at.0) {
            // Of an earlier coordinator, or an earlier turn of our own: its worker goes on under a grant of ours.
            return self.grant_to(cx, case, grant.worker);
        }
        if let Some((result, (_, outcome))) = grant.results.iter().next() {
            let (result, outcome) = (*result, outcome.clone());
            return self.judge(cx, case, grant, result, &outcome);
        }
        if let Some(why) = self.over_budget(cx, at, offer, grant)? {
            // What else runs on the same budget ends, too.
            self.stir_space(at.0);
            return self.take_back(cx, at, shown, grant, &why, None);
        }
        let Some(desk) = self.sling.desks.get_mut(at) else { return Ok(()) };
        if desk.grant != Some(grant.id) {
            // After a restart nobody knows when it was renewed last: as if just now.
            desk.grant = Some(grant.id);
            desk.expires = cx.up.plus_ms(grant.terms.lease_ms);
            desk.told_at = UnixMs(0);
        }
        if cx.up >= desk.expires {
            let pause = cx.up.plus_ms(grant.terms.lease_ms);
            desk.paused.insert(grant.worker, pause);
            let why = if grant.accepted.is_some() { "its lease ran out" } else { "it was not taken in time" };
            return self.take_back(cx, at, shown, grant, why, None);
        }
        let expires = desk.expires;
        let answered = grant.accepted.is_some();
        let tell = !answered && cx.up.since_ms(desk.told_at) >= TELL_AGAIN_MS;
        if tell {
            desk.told_at = cx.up;
        }
        let again = if answered { expires } else { UnixMs(expires.0.min(cx.up.plus_ms(TELL_AGAIN_MS).0)) };
        desk.look_at = again;
        if tell {
            self.tell_step(cx, at.0, &at.1, grant.worker, grant.id)?;
        }
        Ok(())
    }

    /// A result under the grant that counts.
    fn judge(
        &mut self,
        cx: &mut Cx<'_>,
        case: Case<'_>,
        grant: &Grant,
        of: EventId,
        outcome: &super::step::Outcome,
    ) -> Result<(), ViewError> {
        let Case { at, shown, transcript, offer } = case;
        let about = Some((grant.id, grant.fence));
        let good = outcome.ended == Ended::Done;
        let why = if good { "accepted".to_owned() } else { format!("{}: {}", outcome.ended.name(), outcome.text) };
        let say = Say::Verdict { of, good, why };
        let writes = if good {
            let by = self.host_name(&at.0, &grant.worker);
            let reason = format!("done by {by}, attempt {}", grant.fence.n);
            closed(shown, cx.now, reason)
        } else {
            reopened(shown, cx.now)
        };
        self.say(cx, at.0, shown, about, &say, writes)?;
        self.tell_last(cx, at.0, grant.worker);
        if good {
            return Ok(());
        }
        let rejected = |grant: &&Grant| grant.offer == offer.id && matches!(grant.verdict, Some((_, false, _)));
        let failed = |grant: &Grant| grant.results.values().any(|(_, outcome)| outcome.ended == Ended::Failed);
        let before = transcript.grants.values().filter(rejected).filter(|grant| failed(grant)).count();
        if before + usize::from(outcome.ended == Ended::Failed) >= FAILURES_MAX {
            let why = format!("it failed {FAILURES_MAX} times: {}", outcome.text);
            return self.end_offer(cx, at, shown, offer, &why);
        }
        if let Some(desk) = self.sling.desks.get_mut(at) {
            desk.grant = None;
            desk.paused.insert(grant.worker, cx.up.plus_ms(PAUSE_MS.min(grant.terms.lease_ms)));
        }
        self.sling.stirred.insert(at.clone());
        Ok(())
    }

    /// Ends a grant; the bead may be given to somebody else.
    fn take_back(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        grant: &Grant,
        why: &str,
        offer: Option<EventId>,
    ) -> Result<(), ViewError> {
        let say = Say::Cancel { offer, why: why.to_owned() };
        let writes = if is_over(shown) { Vec::new() } else { reopened(shown, cx.now) };
        self.say(cx, at.0, shown, Some((grant.id, grant.fence)), &say, writes)?;
        self.tell_last(cx, at.0, grant.worker);
        if let Some(desk) = self.sling.desks.get_mut(at) {
            desk.grant = None;
            desk.look_at = cx.up;
        }
        self.sling.stirred.insert(at.clone());
        Ok(())
    }

    fn end_offer(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        offer: &Offer,
        why: &str,
    ) -> Result<(), ViewError> {
        let say = Say::Cancel { offer: Some(offer.id), why: why.to_owned() };
        self.say(cx, at.0, shown, None, &say, Vec::new())?;
        self.sling.stirred.insert(at.clone());
        Ok(())
    }

    /// Nothing more is to be done about an offer.
    pub(super) fn give_up(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        offer: &Offer,
        grant: Option<&Grant>,
        why: &str,
    ) -> Result<(), ViewError> {
        match grant.filter(|grant| Some(grant.fence.epoch) == self.epoch(&at.0)) {
            Some(grant) => self.take_back(cx, at, shown, grant, why, Some(offer.id)),
            None => self.end_offer(cx, at, shown, offer, why),
        }
    }

    /// The offer is over, but somebody still works: whoever offered it took it back.
    fn end_live_grant(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        transcript: &Transcript,
    ) -> Result<(), ViewError> {
        let Some(grant) = transcript.current().filter(|grant| grant.is_live() && grant.by == self.me) else {
            return Ok(());
        };
        let offer = transcript.offers.iter().find(|offer| offer.id == grant.offer);
        match offer.and_then(|offer| offer.ended.as_ref()) {
            Some(OfferEnd::Cancelled(why)) if self.coordinates(&at.0) => {
                let why = why.clone();
                self.take_back(cx, at, shown, grant, &why, None)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn epoch(&self, space: &SpaceId) -> Option<u64> {
        let charter = &self.spaces.get(space)?.charter;
        charter.turn(&charter.head()).map(|turn| turn.0)
    }

    /// Gives a bead away, if there is anybody to take it.
    fn grant_to_somebody(&mut self, cx: &mut Cx<'_>, case: Case<'_>) -> Result<(), ViewError> {
        let Case { at, transcript, offer, .. } = case;
        let Some(desk) = self.sling.desks.get_mut(at) else { return Ok(()) };
        desk.paused.retain(|_, until| cx.up < *until);
        if let Some(last) = transcript.current().filter(|last| desk.grant == Some(last.id)) {
            // It declined: somebody else, or later.
            desk.paused.insert(last.worker, cx.up.plus_ms(PAUSE_MS.min(last.terms.lease_ms)));
            desk.grant = None;
        }
        let wakes = desk.paused.values().min().map_or(u64::MAX, |until| until.0);
        desk.look_at = UnixMs(cx.up.plus_ms(LOOK_MS).0.min(wakes));
        if let Some(worker) = self.choose(cx, at, offer) {
            return self.grant_to(cx, case, worker);
        }
        let waits = "nobody whom it is for can be reached and has room".to_owned();
        if let Some(desk) = self.sling.desks.get_mut(at) {
            desk.waits.get_or_insert(waits);
        }
        Ok(())
    }

    fn grant_to(&mut self, cx: &mut Cx<'_>, case: Case<'_>, worker: PubKey) -> Result<(), ViewError> {
        let Case { at, shown, transcript, offer } = case;
        let Some(epoch) = self.epoch(&at.0) else { return Ok(()) };
        let last = transcript.current().map(|grant| grant.fence);
        if last.is_some_and(|last| last.epoch > epoch) {
            // Somebody coordinates already whom we have not heard of; their charter will come.
            return Ok(());
        }
        let n = last.filter(|last| last.epoch == epoch).map_or(0, |last| last.n) + 1;
        if n > ATTEMPTS_MAX {
            return self.give_up(cx, at, shown, offer, None, &format!("{ATTEMPTS_MAX} attempts came to nothing"));
        }
        let Some(charter) = self.spaces.get(&at.0).map(|space| space.charter.head()) else { return Ok(()) };
        let who =
            ledger::Spender { bead: at.1.clone(), worker, rig: offer.terms.rig.clone(), convoy: offer.convoy.clone() };
        let left = self.left_of_offer(cx, at, transcript, offer)?;
        if left.reached_by(&Usage::default()) {
            let why = format!("its cap of {} is used up", offer.terms.cap);
            return self.give_up(cx, at, shown, offer, None, &why);
        }
        let allowed = match self.allowance(cx, &at.0, &who)? {
            Ok(allowed) => allowed,
            Err(why) => {
                let desk = self.sling.desks.entry(at.clone()).or_default();
                desk.waits = Some(why);
                desk.look_at = cx.up.plus_ms(LOOK_MS);
                // The budget may be of that host alone.
                desk.paused.insert(worker, desk.look_at);
                return Ok(());
            }
        };
        let terms = super::step::Terms { cap: left.and(allowed), ..offer.terms.clone() };
        let lease_ms = terms.lease_ms;
        let fence = Fence { epoch, n };
        let prev = transcript.current().map(|grant| grant.id);
        let say = Say::Grant { offer: offer.id, charter, prev, worker, terms };
        let name = self.host_name(&at.0, &worker);
        let writes = lifecycle(shown, cx.now, |bead| {
            bead.set("status", Some("in_progress".into()));
            if bead.get("started_at").is_none() {
                bead.set("started_at", Some(crate::desk::rfc3339(cx.now).into()));
            }
            bead.set("assignee", Some(name.into()));
        });
        let id = self.say(cx, at.0, shown, Some((EventId([0; 32]), fence)), &say, writes)?;
        self.tell_last(cx, at.0, worker);
        let desk = self.sling.desks.entry(at.clone()).or_default();
        desk.grant = Some(id);
        desk.waits = None;
        desk.heard = (None, String::new());
        desk.expires = cx.up.plus_ms(lease_ms);
        desk.told_at = cx.up;
        desk.look_at = UnixMs(desk.expires.0.min(cx.up.plus_ms(TELL_AGAIN_MS).0));
        self.sling.stirred.insert(at.clone());
        Ok(())
    }

    /// The worker of a grant that counts says that it is alive: its lease runs anew. `false`: the grant is over; `None`:
    /// that is not known here.
    pub(super) fn renew(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        grant: &EventId,
        worker: &PubKey,
    ) -> Result<Option<bool>, ViewError> {
        let Some((_, transcript)) = self.transcript(cx, at)? else { return Ok(Some(false)) };
        let current = transcript.current().filter(|current| current.id == *grant && current.is_live());
        let Some(current) = current.filter(|current| current.worker == *worker) else { return Ok(Some(false)) };
        if current.by != self.me || Some(current.fence.epoch) != self.epoch(&at.0) || !self.coordinates(&at.0) {
            // Its worker gets a grant of this turn, or hears who coordinates.
            return Ok(None);
        }
        let lease_ms = current.terms.lease_ms;
        let id = current.id;
        let desk = self.sling.desks.entry(at.clone()).or_default();
        desk.grant = Some(id);
        desk.expires = cx.up.plus_ms(lease_ms);
        desk.look_at = desk.expires;
        Ok(Some(true))
    }

    /// Two grants under one fence: whoever signed them cannot be trusted to coordinate.
    fn contradiction(&mut self, cx: &mut Cx<'_>, at: &At, id: EventId) -> Result<(), ViewError> {
        let key = [&at.0.0[..], b"work", &id.0].concat();
        if cx.txn.has(Table::Evidence, &key)? {
            return Ok(());
        }
        let state = cx.txn.bead(&at.0, &at.1)?;
        let proof: Vec<Value> = state.work().map(|(_, step)| Value::from(step.event)).collect();
        let proof = serde_json::json!({"kind": "contradicting_grants", "space": at.0, "bead": at.1.as_str(),
            "grant": id, "transcript": proof, "seen_ms": cx.now.0});
        cx.txn.put(Table::Evidence, key, proof.to_string().into_bytes());
        self.count("contradicting_grants");
        cx.warn("contradicting_grants", format!("two grants of {} under one fence", at.1));
        Ok(())
    }
}

/// Whether it was the worker itself that closed the bead; its result is still to come.
fn ended_by_worker(shown: &Shown, grant: &Grant) -> bool {
    let dots = shown.units.get(&Unit::Lifecycle).map(|unit| unit.dots.as_slice()).unwrap_or_default();
    !shown.hidden && !dots.is_empty() && dots.iter().all(|dot| dot.writer.host == grant.worker)
}

/// The writes of who works and how far it is. They are written even when nothing changes: what was written under an
/// earlier grant no longer counts.
fn lifecycle(shown: &Shown, now: UnixMs, change: impl FnOnce(&mut Bead)) -> Vec<Write> {
    let mut bead = shown.bead.clone();
    change(&mut bead);
    let units = bead.units();
    let assignee = Unit::Field("assignee".to_owned());
    let both = [Unit::Lifecycle, assignee].into_iter();
    let mut writes: Vec<Write> =
        both.filter_map(|unit| resolve_write(shown, &unit, units.get(&unit).cloned())).collect();
    writes.push(touch_write(shown, &crate::desk::rfc3339(now)));
    writes
}

/// It is done.
pub(super) fn closed(shown: &Shown, now: UnixMs, reason: String) -> Vec<Write> {
    lifecycle(shown, now, |bead| {
        bead.set("status", Some("closed".into()));
        bead.set("closed_at", Some(crate::desk::rfc3339(now).into()));
        bead.set("close_reason", Some(reason.into()));
    })
}

/// Nobody works on it any more.
fn reopened(shown: &Shown, now: UnixMs) -> Vec<Write> {
    lifecycle(shown, now, |bead| {
        bead.set("status", Some("open".into()));
        bead.set("assignee", None);
        for name in ["closed_at", "close_reason"] {
            bead.set(name, None);
        }
    })
}
