//! The worker's part: taking work, keeping its lease alive, running it, handing the result back.

use super::report::Heard;
use super::step::{self, Ended, Outcome, Say};
use super::transcript::Grant;
use super::{At, Hook};
use crate::effect::{Effect, WorkEffect};
use crate::engine::{Cx, Engine};
use crate::records::work::{self, HookRecord};
use beads::Shown;
use types::{EventId, SpaceId, Table, UnixMs, Usage, ViewError};

/// A lease is renewed so many times in its length.
const RENEWALS_PER_LEASE: u64 = 3;

/// How soon to ask again when nobody answered, at most, in milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// How long what was used may stay unsigned while the work goes on, in milliseconds.
const SIGN_USAGE_MS: u64 = 60_000;

impl Engine {
    /// Looks at a bead that may be work for this host.
    pub(super) fn attend(&mut self, cx: &mut Cx<'_>, at: &At) -> Result<(), ViewError> {
        let Some((shown, transcript)) = self.transcript(cx, at)? else { return Ok(()) };
        let for_me = transcript.current().filter(|grant| grant.worker == self.me && grant.is_live()).cloned();
        if let Some(run) = self.run_of(at) {
            let Some(hook) = self.sling.hooks.get(&run) else { return Ok(()) };
            let under = EventId(hook.record.grant);
            match &for_me {
                Some(grant) if grant.id == under => return Ok(()),
                // The bead is ours under a newer grant: what runs goes on.
                Some(grant) if !hook.record.done && hook.stopping.is_none() => {
                    return self.carry_over(cx, at, &shown, run, grant);
                }
                None if hook.record.tentative && hook.stopping.is_none() => {
                    return match self.still_wanted(at, &run, &transcript) {
                        Ok(()) => Ok(()),
                        Err(why) => self.stop(cx, &run, &why),
                    };
                }
                _ if hook.record.done => self.unhook(cx, &run)?,
                _ => {
                    let known = transcript.by_id(&under);
                    let why = known.and_then(|grant| grant.cancelled.clone());
                    self.stop(cx, &run, &why.unwrap_or_else(|| "it was granted again".to_owned()))?;
                    // What it was doing ends first.
                    if self.sling.hooks.contains_key(&run) {
                        return Ok(());
                    }
                }
            }
        }
        let Some(grant) = for_me.filter(|grant| grant.accepted.is_none() && grant.results.is_empty()) else {
            return Ok(());
        };
        let target = transcript.offers.iter().find(|offer| offer.id == grant.offer).map(|offer| offer.target.as_str());
        match self.may_write(&at.0).ok().and_then(|()| self.free_runner(&grant.terms.rig, target.unwrap_or_default())) {
            Some(runner) => self.accept(cx, at, &shown, &grant, runner),
            None => {
                let say = Say::Decline { why: "no runner here has room for it".to_owned() };
                self.say(cx, at.0, &shown, Some((grant.id, grant.fence)), &say, Vec::new())?;
                self.tell_last(cx, at.0, grant.by);
                self.sling.stirred.insert(at.clone());
                Ok(())
            }
        }
    }

    /// What runs here for a bead.
    pub(super) fn run_of(&self, at: &At) -> Option<EventId> {
        self.sling.hooks.iter().find(|(_, hook)| hook.is_of(at)).map(|(run, _)| *run)
    }

    fn accept(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        grant: &Grant,
        runner: String,
    ) -> Result<(), ViewError> {
        self.say(cx, at.0, shown, Some((grant.id, grant.fence)), &self.acceptance(&runner), Vec::new())?;
        let record = HookRecord {
            space: at.0.0,
            bead: at.1.to_string(),
            grant: grant.id.0,
            fence: grant.fence,
            lease_ms: grant.terms.lease_ms,
            runner,
            base: grant.terms.base.clone(),
            cap: grant.terms.cap,
            used: Usage::default(),
            told: Usage::default(),
            done: false,
            tentative: false,
            prepared: None,
        };
        cx.txn.put_record(Table::Work, work::hook_key(&grant.id), &record);
        self.sling.hooks.insert(grant.id, Hook::new(record, cx.up));
        self.tell_last(cx, at.0, grant.by);
        self.sling.stirred.insert(at.clone());
        self.renew_soon(cx, grant.id)
    }

    fn carry_over(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        shown: &Shown,
        run: EventId,
        grant: &Grant,
    ) -> Result<(), ViewError> {
        let tentative = self.sling.hooks.get(&run).is_some_and(|hook| hook.record.tentative);
        // Under the new grant it is counted anew; what was used without one belongs to its first.
        self.say_usage(cx, &run)?;
        if grant.accepted.is_none() {
            let runner = self.sling.hooks.get(&run).map(|hook| hook.record.runner.clone()).unwrap_or_default();
            self.say(cx, at.0, shown, Some((grant.id, grant.fence)), &self.acceptance(&runner), Vec::new())?;
            self.tell_last(cx, at.0, grant.by);
            self.sling.stirred.insert(at.clone());
        }
        if let Some(hook) = self.sling.hooks.get_mut(&run) {
            hook.record.grant = grant.id.0;
            hook.record.fence = grant.fence;
            hook.record.lease_ms = grant.terms.lease_ms;
            hook.record.cap = grant.terms.cap;
            if !tentative {
                hook.record.used = Usage::default();
                hook.record.told = Usage::default();
            }
            cx.txn.put_record(Table::Work, work::hook_key(&run), &hook.record);
        }
        if tentative {
            self.adopt_work(cx, &run)?;
        }
        self.renew_soon(cx, run)
    }

    /// Who takes a bead here.
    fn acceptance(&self, runner: &str) -> Say {
        let rig = self.sling.runners.get(runner).map(|record| record.rig.clone()).and_then(step::name);
        Say::Accept { runner: runner.to_owned(), rig: rig.unwrap_or_default() }
    }

    fn unhook(&mut self, cx: &mut Cx<'_>, run: &EventId) -> Result<(), ViewError> {
        self.say_usage(cx, run)?;
        self.sling.hooks.remove(run);
        cx.txn.delete(Table::Work, work::hook_key(run));
        Ok(())
    }

    /// The worker has no right to go on.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>, run: &EventId, why: &str) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get_mut(run).filter(|hook| !hook.record.done) else { return Ok(()) };
        let manual = self.sling.runners.get(&hook.record.runner).is_none_or(|runner| runner.argv.is_empty());
        if hook.started && !manual {
            if hook.stopping.is_none() {
                hook.stopping = Some(why.to_owned());
                cx.out.push(Effect::Work(WorkEffect::Stop { run: *run, why: why.to_owned() }));
            }
            Ok(())
        } else {
            self.unhook(cx, run)
        }
    }

    /// Asks for the next renewal now.
    fn renew_soon(&mut self, cx: &mut Cx<'_>, run: EventId) -> Result<(), ViewError> {
        if let Some(hook) = self.sling.hooks.get_mut(&run) {
            hook.renew_at = cx.up;
        }
        self.tick_hooks(cx)
    }

    pub(super) fn tick_hooks(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        let late = |hook: &Hook| hook.started && !hook.record.done && hook.stopping.is_none() && cx.up >= hook.until;
        let late: Vec<EventId> = self.sling.hooks.iter().filter(|(_, hook)| late(hook)).map(|(run, _)| *run).collect();
        for run in late {
            self.stop(cx, &run, "its lease ran out")?;
        }
        let due = |hook: &Hook| !hook.record.done && hook.stopping.is_none() && cx.up >= hook.renew_at;
        let due: Vec<EventId> = self.sling.hooks.iter().filter(|(_, hook)| due(hook)).map(|(run, _)| *run).collect();
        for run in due {
            self.ask_for_renewal(cx, &run)?;
        }
        let unsigned = |hook: &Hook| {
            hook.record.used != hook.record.told && cx.up.since_ms(hook.signed_at) >= SIGN_USAGE_MS && !hook.record.done
        };
        let unsigned = self.sling.hooks.iter().filter(|(_, hook)| unsigned(hook)).map(|(run, _)| *run);
        for run in unsigned.collect::<Vec<_>>() {
            self.say_usage(cx, &run)?;
        }
        Ok(())
    }

    pub(super) fn ask_for_renewal(&mut self, cx: &mut Cx<'_>, run: &EventId) -> Result<(), ViewError> {
        if self.sling.hooks.get(run).is_some_and(|hook| hook.record.tentative) {
            return self.go_on_tentatively(cx, run);
        }
        let Some(hook) = self.sling.hooks.get_mut(run) else { return Ok(()) };
        let again = ASK_AGAIN_MS.min(hook.record.lease_ms / RENEWALS_PER_LEASE / 2).max(1);
        hook.renew_at = cx.up.plus_ms(again);
        (hook.asked, hook.news) = (true, false);
        let (space, grant) = (SpaceId(hook.record.space), EventId(hook.record.grant));
        let report = Heard { used: hook.record.used, percent: hook.says.0, note: hook.says.1.clone() };
        let Ok(bead) = hook.record.bead.parse() else { return Ok(()) };
        if self.coordinates(&space) {
            let me = self.me;
            let at = (space, bead);
            self.heard(cx, &at, &grant, &me, &report)?;
            if let Some(good) = self.renew(cx, &at, &grant, &me)? {
                self.renewed(cx, &grant, cx.up, good)?;
            }
        } else if let Some(coordinator) = self.spaces.get(&space).and_then(|space| space.charter.coordinator()) {
            self.ask_renewal(cx, space, coordinator, grant, &report);
        }
        Ok(())
    }

    /// The coordinator's answer to a question that was sent at `asked_at`.
    pub(super) fn renewed(
        &mut self,
        cx: &mut Cx<'_>,
        grant: &EventId,
        asked_at: UnixMs,
        good: bool,
    ) -> Result<(), ViewError> {
        let found = self.sling.hooks.iter_mut().find(|(_, hook)| hook.record.grant == grant.0);
        let Some((run, hook)) = found.map(|(run, hook)| (*run, hook)) else { return Ok(()) };
        hook.asked = false;
        if !good {
            return self.stop(cx, &run, "the coordinator says that it is over");
        }
        if hook.stopping.is_some() || hook.record.done {
            return Ok(());
        }
        hook.until = UnixMs(hook.until.0.max(asked_at.plus_ms(hook.record.lease_ms).0));
        hook.renew_at = asked_at.plus_ms(hook.record.lease_ms / RENEWALS_PER_LEASE);
        if hook.started && hook.news {
            return self.ask_for_renewal(cx, &run);
        }
        if hook.started || cx.up >= hook.until {
            return Ok(());
        }
        hook.started = true;
        let record = hook.record.clone();
        self.begin(cx, run, &record)
    }

    /// Tells the runner to begin, or to go on after a restart.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, run: EventId, record: &HookRecord) -> Result<(), ViewError> {
        let Ok(bead) = record.bead.parse() else { return Ok(()) };
        let at: At = (SpaceId(record.space), bead);
        let Some((shown, transcript)) = self.transcript(cx, &at)? else { return Ok(()) };
        let offer = transcript.grants.values().find(|grant| grant.id.0 == record.grant).map(|grant| grant.offer);
        let offered_by = transcript.offers.iter().find(|known| Some(known.id) == offer).map(|offer| offer.by);
        let foreign = !record.tentative && !offered_by.is_some_and(|by| self.same_owner(&at.0, &by));
        let Some(runner) = self.sling.runners.get(&record.runner).cloned() else {
            let text = format!("the runner \"{}\" is gone", record.runner);
            return self.run_ended(cx, run, Outcome { ended: Ended::Later, commit: None, branch: None, text });
        };
        if runner.argv.is_empty() {
            // A person works, and says when it is done.
            return Ok(());
        }
        cx.out.push(Effect::Work(WorkEffect::Start {
            run,
            bead: record.bead.clone(),
            title: shown.bead.text("title").to_owned(),
            line: shown.bead.to_line(),
            fence: record.fence,
            base: record.base.clone(),
            runner: Box::new(runner),
            foreign,
        }));
        Ok(())
    }

    /// Whether a host belongs to whoever owns this one.
    pub(super) fn same_owner(&self, space: &SpaceId, npub: &types::PubKey) -> bool {
        let Some(charter) = self.spaces.get(space).map(|space| &space.charter) else { return false };
        let owner = |npub| charter.member(npub).map(|member| member.owner);
        owner(npub).is_some_and(|theirs| owner(&self.me) == Some(theirs))
    }

    /// A run is over.
    pub(crate) fn run_ended(&mut self, cx: &mut Cx<'_>, run: EventId, outcome: Outcome) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get(&run).filter(|hook| !hook.record.done).cloned() else { return Ok(()) };
        let Ok(bead) = hook.record.bead.parse() else { return Ok(()) };
        let at: At = (SpaceId(hook.record.space), bead);
        let stopped = hook.stopping.is_some();
        if hook.record.tentative && !stopped {
            self.prepared_tentatively(cx, &run, outcome);
            return Ok(());
        }
        let Some((shown, _)) = self.transcript(cx, &at)? else {
            return self.unhook(cx, &run);
        };
        // A run that was stopped and made nothing has nothing to say.
        let unsigned = hook.record.used != hook.record.told;
        if !hook.record.tentative && (!stopped || unsigned || outcome.commit.is_some()) && self.may_write(&at.0).is_ok()
        {
            let grant = (EventId(hook.record.grant), hook.record.fence);
            let ended = if stopped && outcome.ended != Ended::Done { Ended::Stopped } else { outcome.ended };
            let text = hook.stopping.clone().filter(|_| outcome.text.is_empty() || ended == Ended::Stopped);
            let say = Say::Result(Outcome { ended, text: text.unwrap_or_else(|| outcome.text.clone()), ..outcome });
            let writes = self.usage_write(cx, &run, &shown).into_iter().collect();
            self.say(cx, at.0, &shown, Some(grant), &say, writes)?;
            if let Some(coordinator) = self.spaces.get(&at.0).and_then(|space| space.charter.coordinator()) {
                self.tell_last(cx, at.0, coordinator);
            }
        }
        if stopped {
            self.unhook(cx, &run)?;
        } else if let Some(hook) = self.sling.hooks.get_mut(&run) {
            hook.record.done = true;
            cx.txn.put_record(Table::Work, work::hook_key(&run), &hook.record);
        }
        self.sling.stirred.insert(at);
        Ok(())
    }
}
