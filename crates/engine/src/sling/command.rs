//! What people ask for: slinging, looking at work, runners, moving the coordinator.

use super::costs::usage_json;
use super::runners::Target;
use super::step::{self, Ended, LEASE_MS_MAX, LEASE_MS_MIN, Outcome, Say, TEXT_BYTES_MAX, Terms};
use super::transcript::{Grant, Offer, OfferEnd, Transcript};
use super::{At, Waiter};
use crate::command::{SlingOrder, SpaceRef};
use crate::desk::Answer;
use crate::effect::Effect;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::input::CallId;
use crate::records::work::{self, RunnerRecord};
use beads::{BeadId, Shown};
use serde_json::{Value, json};
use types::{EventId, SpaceId, Table, ViewError};

/// How long a lease is unless somebody says otherwise, in milliseconds.
const LEASE_MS: u64 = 90_000;

/// Runners on one host, and slots of one.
const RUNNERS_MAX: usize = 64;
const SLOTS_MAX: u32 = 256;

/// Arguments of a runner's program, all together, in bytes.
const ARGV_BYTES_MAX: usize = 64 * 1024;

/// Longest time that one attempt may take, in milliseconds: thirty days.
const TIME_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// Callers that wait for work at once.
const WAITERS_MAX: usize = 256;

impl Engine {
    /// The bead under its own id: work is on that, not on one of several births under it.
    pub(super) fn bead_of_work(&self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str) -> Result<(At, Shown), ApiError> {
        let space = self.resolve_space(at)?;
        let shown = self.find(cx, &space, id)?;
        if shown.shown_id != shown.id {
            return Err(ApiError::new("several_beads", format!("\"{id}\" is one of several beads under one id"))
                .hint(format!("townmesh beads same {} {id}, or give one of them another id", shown.id)));
        }
        Ok(((space, shown.id.clone()), shown))
    }

    /// Offers a bead.
    pub(crate) fn sling(&mut self, cx: &mut Cx<'_>, call: CallId, order: &SlingOrder) -> Answer {
        let (at, shown) = self.bead_of_work(cx, &order.at, &order.id)?;
        self.may_write(&at.0)?;
        let target = order.target.clone().unwrap_or_else(|| "any".to_owned());
        let terms = self.terms(&at.0, order, &target)?;
        let Some((_, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        let key = match &order.key {
            Some(key) => {
                step::name(key.clone()).ok_or_else(|| ApiError::new("bad_key", "a key has at most 256 bytes"))?
            }
            None => hex::encode(crate::entropy::draw::<16>(cx.entropy)),
        };
        if let Some(known) = transcript.offers.iter().find(|offer| offer.by == self.me && offer.key == key) {
            // Asked again: the same offer.
            return self.slung(cx, call, order.wait, &at, known.id);
        }
        if let Some(open) = transcript.open() {
            let by = self.host_name(&at.0, &open.by);
            return Err(ApiError::new(
                "already_slung",
                format!("{} is slung already, by {by} to {}", order.id, open.target),
            )
            .hint(format!("townmesh work show {}", order.id))
            .hint(format!("townmesh work cancel {}", order.id)));
        }
        self.may_begin(cx, &at, &shown)?;
        let convoy = match &order.convoy {
            Some(convoy) => self.convoy_of_offer(cx, &at.0, convoy)?,
            None => String::new(),
        };
        let say = Say::Offer { target, key, convoy, terms };
        let offer = self.say(cx, at.0, &shown, None, &say, Vec::new())?;
        if let Some(coordinator) = self.spaces.get(&at.0).and_then(|space| space.charter.coordinator()) {
            self.tell_last(cx, at.0, coordinator);
        }
        self.slung(cx, call, order.wait, &at, offer)
    }

    pub(super) fn terms(&self, space: &SpaceId, order: &SlingOrder, target: &str) -> Result<Terms, ApiError> {
        let Some((parsed, rig)) = Target::parse(target) else {
            return Err(ApiError::new("bad_target", format!("\"{}\" is no target", step::text(target)))
                .hint("any, HOST, HOST:RIG or HOST:RIG/ROLE/NAME"));
        };
        if let Target::Host { name, .. } = &parsed
            && self.member_named(space, name).is_none()
        {
            return Err(
                ApiError::new("unknown_host", format!("no host \"{name}\" in this space")).hint("townmesh space show")
            );
        }
        let lease_ms = order.lease_ms.unwrap_or(LEASE_MS);
        if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&lease_ms) {
            let why = format!("a lease lasts {LEASE_MS_MIN} ms to {} h", LEASE_MS_MAX / 3_600_000);
            return Err(ApiError::new("bad_lease", why));
        }
        let base = match &order.base {
            None => None,
            Some(base) => Some(step::commit(base.clone()).ok_or_else(|| {
                ApiError::new("bad_base", "the base is a whole commit id").hint("git rev-parse HEAD")
            })?),
        };
        Ok(Terms { lease_ms, base, rig, cap: order.cap })
    }

    /// Whether a bead can be worked on: open, and not blocked by another one here.
    pub(super) fn may_begin(&self, cx: &Cx<'_>, at: &At, shown: &Shown) -> Result<(), ApiError> {
        let status = shown.bead.text("status");
        if !matches!(status, "open" | "in_progress" | "hooked") {
            return Err(ApiError::new("not_open", format!("{} is {status}", at.1))
                .hint(format!("townmesh beads set {} status=open", at.1)));
        }
        for (target, edge) in shown.bead.dependencies() {
            let kind = edge.get("type").and_then(Value::as_str).unwrap_or("blocks");
            let Some(id) = target.parse::<BeadId>().ok().filter(|_| kind == "blocks") else { continue };
            let other = cx.txn.bead(&at.0, &id)?.shown().into_iter().find(|other| !other.hidden);
            let open =
                other.is_some_and(|other| !matches!(other.bead.text("status"), "closed" | "tombstone" | "pinned"));
            if open {
                return Err(
                    ApiError::new("blocked", format!("{} waits for {target}", at.1)).hint("townmesh beads ready")
                );
            }
        }
        Ok(())
    }

    fn slung(&mut self, cx: &mut Cx<'_>, call: CallId, wait: bool, at: &At, offer: EventId) -> Answer {
        if wait {
            if self.sling.waiters.len() >= WAITERS_MAX {
                return Err(ApiError::new("too_many_waiters", format!("{WAITERS_MAX} callers wait already")));
            }
            self.sling.waiters.insert(call, Waiter { at: at.clone(), offer, told: String::new() });
            self.sling.stirred.insert(at.clone());
            return Ok(None);
        }
        self.settle_sling(cx)?;
        let Some((shown, transcript)) = self.transcript(cx, at)? else { return Ok(None) };
        Ok(Some(self.work_json(at, &shown, &transcript)))
    }

    /// The caller of a call is gone.
    pub(crate) fn forget_waiter(&mut self, call: CallId) {
        self.sling.waiters.remove(&call);
    }

    /// Tells callers that wait how far a bead is.
    pub(super) fn tell_waiters(&mut self, cx: &mut Cx<'_>, at: &At) -> Result<(), ViewError> {
        let calls: Vec<CallId> =
            self.sling.waiters.iter().filter(|(_, waiter)| waiter.at == *at).map(|(call, _)| *call).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let Some((shown, transcript)) = self.transcript(cx, at)? else { return Ok(()) };
        for call in calls {
            let Some(waiter) = self.sling.waiters.get(&call).cloned() else { continue };
            let Some(offer) = transcript.offers.iter().find(|offer| offer.id == waiter.offer) else { continue };
            let line = self.work_json(at, &shown, &transcript);
            match &offer.ended {
                Some(OfferEnd::Accepted(_)) => {
                    self.sling.waiters.remove(&call);
                    cx.reply(call, Ok(line));
                }
                Some(OfferEnd::Cancelled(why)) => {
                    self.sling.waiters.remove(&call);
                    let error = ApiError::new("work_ended", format!("nothing came of {}: {why}", at.1));
                    cx.reply(call, Err(error.hint(format!("townmesh work show {}", at.1))));
                }
                None => {
                    let told = line.to_string();
                    if told != waiter.told {
                        cx.out.push(Effect::Progress { call, progress: line });
                        self.sling.waiters.insert(call, Waiter { told, ..waiter });
                    }
                }
            }
        }
        Ok(())
    }

    /// One line about the newest offer of a bead.
    pub(super) fn work_json(&self, at: &At, shown: &Shown, transcript: &Transcript) -> Value {
        let offer = transcript.newest();
        let grant = offer.and_then(|offer| transcript.grants.values().rev().find(|grant| grant.offer == offer.id));
        let live = grant.is_some_and(|grant| grant.is_live() && grant.results.is_empty());
        let waits = self.sling.desks.get(at).and_then(|desk| desk.waits.clone()).filter(|_| !live);
        // What only its two ends heard so far.
        let hook = self.run_of(at).and_then(|run| self.sling.hooks.get(&run)).filter(|_| live);
        let desk = self.sling.desks.get(at).filter(|desk| live && desk.grant == grant.map(|grant| grant.id));
        let (progress, note) =
            hook.map(|hook| &hook.says).or(desk.map(|desk| &desk.heard)).cloned().unwrap_or_default();
        let note = Some(note).filter(|note| !note.is_empty());
        let used = grant.map(|grant| self.used_under(&at.0, grant)).unwrap_or_default();
        let used = hook.map_or(used, |hook| used.most(hook.record.used));
        let commit = grant.and_then(|grant| grant.results.values().next()).and_then(|(_, out)| out.commit.clone());
        json!({
            "bead": at.1.as_str(),
            "title": shown.bead.text("title"),
            "state": state_of(offer, grant),
            "fence": grant.map(|grant| grant.fence.to_string()),
            "attempt": grant.map(|grant| grant.fence.n),
            "worker": grant.map(|grant| self.host_name(&at.0, &grant.worker)),
            "target": offer.map(|offer| &offer.target),
            "why": why_of(offer, grant).or(waits),
            "commit": commit,
            "used": usage_json(&used),
            "progress": progress,
            "note": note,
            "convoy": offer.map(|offer| offer.convoy.as_str()).filter(|convoy| !convoy.is_empty()),
            "offer": offer.map(|offer| offer.id),
        })
    }

    /// All beads that were slung and are not done; with `all` those that are done, too.
    pub(crate) fn work_ls(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, all: bool) -> Answer {
        let space = self.resolve_space(at)?;
        let mut ids: Vec<At> = self.sling.desks.keys().filter(|at| at.0 == space).cloned().collect();
        if all {
            ids = self.beads_with_work(cx, &space)?;
        }
        let mut out = Vec::new();
        for at in ids {
            if let Some((shown, transcript)) = self.transcript(cx, &at)? {
                out.push(self.work_json(&at, &shown, &transcript));
            }
        }
        Ok(Some(Value::Array(out)))
    }

    pub(super) fn beads_with_work(&self, cx: &Cx<'_>, space: &SpaceId) -> Result<Vec<At>, ViewError> {
        let mut out = Vec::new();
        for (key, _) in cx.txn.collect(Table::Beads, &space.0)? {
            let Some(id) = crate::records::bead::parse(&key).and_then(|id| id.parse::<BeadId>().ok()) else { continue };
            if cx.txn.bead(space, &id)?.has_work() {
                out.push((*space, id));
            }
        }
        Ok(out)
    }

    /// The whole transcript of one bead.
    pub(crate) fn work_show(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str) -> Answer {
        let (at, _) = self.bead_of_work(cx, at, id)?;
        let Some((shown, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        let mut out = self.work_json(&at, &shown, &transcript);
        let grants: Vec<Value> = transcript.grants.values().map(|grant| self.grant_json(&at.0, grant)).collect();
        let offers: Vec<Value> = transcript
            .offers
            .iter()
            .map(|offer| {
                json!({"id": offer.id, "by": self.host_name(&at.0, &offer.by), "at": offer.at.0, "target": offer.target,
                    "lease_ms": offer.terms.lease_ms, "base": offer.terms.base, "state": state_of(Some(offer), None),
                    "why": why_of(Some(offer), None)})
            })
            .collect();
        let hook = self.sling.hooks.values().find(|h| h.record.space == at.0.0 && h.record.bead == at.1.as_str());
        if let Some(out) = out.as_object_mut() {
            out.insert("offers".into(), offers.into());
            out.insert("grants".into(), grants.into());
            let runs = |hook: &super::Hook| hook.started && !hook.record.done && hook.record.prepared.is_none();
            out.insert("running_here".into(), hook.is_some_and(runs).into());
            out.insert("tentative".into(), hook.is_some_and(|hook| hook.record.tentative).into());
            out.insert("prepared".into(), hook.is_some_and(|hook| hook.record.prepared.is_some()).into());
            let of = |hook: &super::Hook| hook.record.space == at.0.0 && hook.record.bead == at.1.as_str();
            let run = self.sling.hooks.iter().find(|(_, hook)| of(hook)).map(|(run, _)| *run);
            let last = transcript.grants.values().rev().find(|grant| grant.worker == self.me).map(|grant| grant.id);
            out.insert("run".into(), json!(run.or(last)));
            out.insert("contradicting".into(), json!(transcript.contradicting));
        }
        Ok(Some(out))
    }

    pub(super) fn grant_json(&self, space: &SpaceId, grant: &Grant) -> Value {
        let result = grant.results.values().next();
        json!({"id": grant.id, "fence": grant.fence.to_string(), "attempt": grant.fence.n,
            "worker": self.host_name(space, &grant.worker), "by": self.host_name(space, &grant.by), "after": grant.prev,
            "state": grant.state(), "granted_at": grant.at.0, "accepted_at": grant.accepted.map(|at| at.0),
            "result_at": result.map(|(at, _)| at.0), "result": result.map(|(_, out)| out.ended.name()),
            "text": result.map(|(_, out)| &out.text), "commit": result.and_then(|(_, out)| out.commit.clone()),
            "branch": result.and_then(|(_, out)| out.branch.clone()), "why": why_of(None, Some(grant)),
            "runner": grant.runner, "rig": grant.rig, "used": usage_json(&self.used_under(space, grant)),
            "cap": Some(grant.terms.cap).filter(|cap| !cap.is_none()),
            "reviewed": grant.reviewed.as_ref().map(|(good, why)| json!({"accepted": good, "why": why}))})
    }

    /// Takes an offer back.
    pub(crate) fn work_cancel(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str, reason: Option<&str>) -> Answer {
        let (at, shown) = self.bead_of_work(cx, at, id)?;
        self.may_write(&at.0)?;
        let Some((_, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        let Some(offer) = transcript.open().cloned() else {
            return Err(ApiError::new("not_slung", format!("{id} is not slung")).hint("townmesh work ls"));
        };
        if offer.by != self.me && !self.coordinates(&at.0) {
            let by = self.host_name(&at.0, &offer.by);
            return Err(ApiError::new("not_yours", format!("{id} was slung by {by}"))
                .hint("run this there, or on the coordinator"));
        }
        let why = format!("cancelled by {}: {}", self.actor(), step::text(reason.unwrap_or("no reason given")));
        let say = Say::Cancel { offer: Some(offer.id), why };
        self.say(cx, at.0, &shown, None, &say, Vec::new())?;
        if let Some(coordinator) = self.spaces.get(&at.0).and_then(|space| space.charter.coordinator()) {
            self.tell_last(cx, at.0, coordinator);
        }
        self.settle_sling(cx)?;
        self.work_show(cx, &SpaceRef { space: Some(at.0.to_string()), cwd: None }, id)
    }

    /// What a person made of work that waits for a person here.
    pub(crate) fn work_result(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        id: &str,
        failed: bool,
        commit: Option<String>,
        text: Option<String>,
    ) -> Answer {
        let (at, _) = self.bead_of_work(cx, at, id)?;
        let of = |hook: &super::Hook| hook.record.space == at.0.0 && hook.record.bead == at.1.as_str();
        let found = self.sling.hooks.iter().find(|(_, hook)| of(hook) && !hook.record.done);
        let Some((run, hook)) = found.map(|(run, hook)| (*run, hook.clone())) else {
            return Err(ApiError::new("not_working", format!("nobody works on {id} here")).hint("townmesh work ls"));
        };
        if self.sling.runners.get(&hook.record.runner).is_some_and(|runner| !runner.argv.is_empty()) {
            return Err(ApiError::new("not_manual", format!("a program works on {id}"))
                .hint(format!("townmesh work cancel {id}")));
        }
        let commit = match commit {
            None => None,
            Some(commit) => Some(step::commit(commit).ok_or_else(|| ApiError::new("bad_commit", "a whole commit id"))?),
        };
        let text = text.unwrap_or_default();
        if text.len() > TEXT_BYTES_MAX {
            return Err(ApiError::new("text_too_long", format!("at most {TEXT_BYTES_MAX} bytes")));
        }
        let ended = if failed { Ended::Failed } else { Ended::Done };
        self.run_ended(cx, run, Outcome { ended, commit, branch: None, text })?;
        self.settle_sling(cx)?;
        self.work_show(cx, &SpaceRef { space: Some(at.0.to_string()), cwd: None }, id)
    }

    /// A runner on this host.
    pub(crate) fn runner_add(&mut self, cx: &mut Cx<'_>, name: &str, runner: RunnerRecord) -> Answer {
        self.writable()?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 64 || name.starts_with(['.', '-']) || !name.chars().all(good) {
            return Err(ApiError::new("bad_name", "a runner's name has letters, digits, '.', '_' and '-'"));
        }
        let bytes: usize = runner.argv.iter().map(String::len).sum();
        let nul = runner.argv.iter().any(|arg| arg.contains('\0'));
        if bytes > ARGV_BYTES_MAX || nul || runner.argv.first().is_some_and(String::is_empty) {
            return Err(ApiError::new("bad_command", "the command is empty, too long, or has a nul in it"));
        }
        if !(1..=SLOTS_MAX).contains(&runner.slots) || !(1..=TIME_MS_MAX).contains(&runner.time_ms) {
            return Err(ApiError::new("bad_runner", format!("1 to {SLOTS_MAX} slots, and a time of at most 30 days")));
        }
        if !self.sling.runners.contains_key(name) && self.sling.runners.len() >= RUNNERS_MAX {
            return Err(
                ApiError::new("too_many_runners", format!("{RUNNERS_MAX} at most")).hint("townmesh runner rm NAME")
            );
        }
        cx.txn.put_record(Table::Work, work::runner_key(name), &runner);
        self.sling.runners.insert(name.to_owned(), runner);
        let waiting: Vec<At> = self.sling.desks.keys().cloned().collect();
        self.sling.stirred.extend(waiting);
        Ok(Some(json!({"name": name})))
    }

    pub(crate) fn runner_ls(&mut self) -> Answer {
        let used = |name: &str| {
            let of = |hook: &&super::Hook| hook.record.runner == name && !hook.record.done;
            self.sling.hooks.values().filter(of).map(|hook| hook.record.bead.clone()).collect::<Vec<_>>()
        };
        let line = |(name, runner): (&String, &RunnerRecord)| {
            json!({"name": name, "rig": runner.rig, "slots": runner.slots, "command": runner.argv, "repo": runner.repo,
                "push": runner.push, "time_ms": runner.time_ms, "sandbox": runner.sandbox, "network": runner.network, "working_on": used(name)})
        };
        Ok(Some(self.sling.runners.iter().map(line).collect()))
    }

    pub(crate) fn runner_rm(&mut self, cx: &mut Cx<'_>, name: &str) -> Answer {
        self.writable()?;
        if self.sling.runners.remove(name).is_none() {
            return Err(ApiError::new("unknown_runner", format!("no runner \"{}\" here", step::text(name)))
                .hint("townmesh runner ls"));
        }
        cx.txn.delete(Table::Work, work::runner_key(name));
        Ok(Some(json!({"name": name})))
    }
}

fn state_of(offer: Option<&Offer>, grant: Option<&Grant>) -> &'static str {
    match (offer.and_then(|offer| offer.ended.as_ref()), grant) {
        (Some(OfferEnd::Accepted(_)), _) => "accepted",
        (Some(OfferEnd::Cancelled(_)), _) => "cancelled",
        (None, Some(grant)) if grant.is_live() => grant.state(),
        (None, _) => "offered",
    }
}

fn why_of(offer: Option<&Offer>, grant: Option<&Grant>) -> Option<String> {
    if let Some(OfferEnd::Cancelled(why)) = offer.and_then(|offer| offer.ended.as_ref()) {
        return Some(why.clone());
    }
    let grant = grant?;
    let verdict = grant.verdict.as_ref().filter(|(_, good, _)| !good).map(|(_, _, why)| why.clone());
    verdict.or_else(|| grant.cancelled.clone()).or_else(|| grant.declined.clone())
}
