//! Work that is begun while the coordinator cannot be reached: prepared under an offer of one's own, and adopted by the
//! grant that the coordinator gives for that offer later. It closes nothing before.

use super::step::{Outcome, Say, Terms};
use super::{At, Hook};
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::records::work::{self, HookRecord};
use types::{EventId, Fence, Limit, Table, UnixMs, Usage, ViewError};

impl Engine {
    /// Begins to work on a bead here and now, without a grant.
    pub(crate) fn work_begin(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        id: &str,
        runner: Option<String>,
        base: Option<String>,
    ) -> Answer {
        let (at, shown) = self.bead_of_work(cx, at, id)?;
        self.may_write(&at.0)?;
        let coordinator = self.spaces.get(&at.0).and_then(|space| space.charter.coordinator());
        if self.coordinates(&at.0) || coordinator.is_some_and(|npub| self.peer_of(&npub).is_some()) {
            return Err(ApiError::new("coordinator_reachable", "whoever grants work can be reached")
                .hint(format!("townmesh sling {id} {}", self.name)));
        }
        let Some((_, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        if let Some(open) = transcript.open() {
            let by = self.host_name(&at.0, &open.by);
            return Err(ApiError::new("already_slung", format!("{id} is slung already, by {by} to {}", open.target))
                .hint(format!("townmesh work show {id}")));
        }
        self.may_begin(cx, &at, &shown)?;
        let target = runner.as_ref().map_or_else(String::new, |name| format!("{}:any/any/{name}", self.name));
        let runner = self.free_runner("", &target).filter(|name| self.runs_program(name)).ok_or_else(|| {
            ApiError::new("no_runner", "no program of that name works here and has room").hint("townmesh runner ls")
        })?;
        let order = crate::command::SlingOrder { base, ..Default::default() };
        let terms: Terms = self.terms(&at.0, &order, &self.name.clone())?;
        let key = hex::encode(crate::entropy::draw::<16>(cx.entropy));
        let (lease_ms, base) = (terms.lease_ms, terms.base.clone());
        let say = Say::Offer { target: self.name.clone(), key, convoy: String::new(), terms };
        let run = self.say(cx, at.0, &shown, None, &say, Vec::new())?;
        let record = HookRecord {
            space: at.0.0,
            bead: at.1.to_string(),
            grant: run.0,
            fence: Fence { epoch: 0, n: 0 },
            lease_ms,
            runner,
            base,
            cap: Limit::default(),
            used: Usage::default(),
            told: Usage::default(),
            done: false,
            tentative: true,
            prepared: None,
        };
        cx.txn.put_record(Table::Work, work::hook_key(&run), &record);
        self.sling.hooks.insert(run, Hook::new(record, cx.up));
        self.tick_hooks(cx)?;
        self.settle_sling(cx)?;
        self.work_show(cx, &SpaceRef { space: Some(at.0.to_string()), cwd: None }, id)
    }

    fn runs_program(&self, runner: &str) -> bool {
        self.sling.runners.get(runner).is_some_and(|runner| !runner.argv.is_empty())
    }

    /// Work that nobody granted has no lease: it begins, also after a restart, and is asked about when there is a grant.
    pub(super) fn go_on_tentatively(&mut self, cx: &mut Cx<'_>, run: &EventId) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get_mut(run) else { return Ok(()) };
        (hook.renew_at, hook.until) = (UnixMs(u64::MAX), UnixMs(u64::MAX));
        if hook.started || hook.record.prepared.is_some() {
            return Ok(());
        }
        hook.started = true;
        let record = hook.record.clone();
        self.begin(cx, *run, &record)
    }

    /// Looks at a bead that is worked on tentatively and is not granted to this host. Returns whether the work goes on.
    pub(super) fn still_wanted(&self, at: &At, run: &EventId, transcript: &super::Transcript) -> Result<(), String> {
        let offer = transcript.offers.iter().find(|offer| offer.id == *run);
        match offer.and_then(|offer| offer.ended.as_ref()) {
            None => Ok(()),
            Some(super::transcript::OfferEnd::Cancelled(why)) => Err(why.clone()),
            Some(super::transcript::OfferEnd::Accepted(_)) => Err(format!("{} is done", at.1)),
        }
    }

    /// A run without a grant is over: what it made waits for one.
    pub(super) fn prepared_tentatively(&mut self, cx: &mut Cx<'_>, run: &EventId, outcome: Outcome) {
        if let Some(hook) = self.sling.hooks.get_mut(run) {
            hook.record.prepared = Some(outcome);
            cx.txn.put_record(Table::Work, work::hook_key(run), &hook.record);
        }
    }

    /// The grant is there: what was prepared is handed in, what still runs goes on under it.
    pub(super) fn adopt_work(&mut self, cx: &mut Cx<'_>, run: &EventId) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get_mut(run) else { return Ok(()) };
        hook.record.tentative = false;
        hook.until = cx.up.plus_ms(hook.record.lease_ms);
        hook.renew_at = cx.up;
        let prepared = hook.record.prepared.take();
        cx.txn.put_record(Table::Work, work::hook_key(run), &hook.record);
        self.count("adopted");
        match prepared {
            Some(outcome) => self.run_ended(cx, *run, outcome),
            None => Ok(()),
        }
    }
}
