//! Who used how much for what: the sum of what workers said, and the budgets that it must not reach.
//!
//! What counts is signed and kept by the beads; this is computed from it when somebody asks first, and kept up to date
//! after that. On the host that coordinates, what workers reported since they last signed anything comes on top.

use super::At;
use super::transcript::{Grant, Offer, Transcript};
use crate::engine::{Cx, Engine};
use beads::BeadId;
use std::collections::BTreeMap;
use std::fmt;
use types::{EventId, Limit, PubKey, SpaceId, UnixMs, Usage, ViewError};

/// The rule of a charter that holds the budgets: what they are for, and their limits.
pub(super) const BUDGETS: &str = "budgets";

/// Budgets of one space.
pub(super) const BUDGETS_MAX: usize = 64;

const DAY_S: u64 = 24 * 3600;

/// What a budget is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Everything on one day (UTC).
    Day,
    /// Everything for one rig on one day.
    Rig(String),
    /// Everything that one host does on one day.
    Host(String),
    /// Each bead, whenever.
    Bead,
    /// Each convoy, whenever.
    Convoy,
}

impl Scope {
    pub(super) fn parse(text: &str) -> Option<Scope> {
        let named =
            |name: &str| (!name.is_empty() && name.len() <= super::step::NAME_BYTES_MAX).then(|| name.to_owned());
        match text.split_once(':') {
            None if text == "day" => Some(Scope::Day),
            None if text == "bead" => Some(Scope::Bead),
            None if text == "convoy" => Some(Scope::Convoy),
            Some(("rig", name)) => named(name).map(Scope::Rig),
            Some(("host", name)) => named(name).map(Scope::Host),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Day => f.write_str("day"),
            Scope::Bead => f.write_str("bead"),
            Scope::Convoy => f.write_str("convoy"),
            Scope::Rig(name) => write!(f, "rig:{name}"),
            Scope::Host(name) => write!(f, "host:{name}"),
        }
    }
}

/// Whose usage it is.
#[derive(Debug, Clone)]
pub(super) struct Spender {
    pub(super) bead: BeadId,
    pub(super) worker: PubKey,
    pub(super) rig: String,
    /// Empty: none.
    pub(super) convoy: String,
}

/// What was used under one grant.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) spender: Spender,
    pub(super) runner: String,
    /// By days since 1970 (UTC): when it was said.
    days: BTreeMap<u64, Usage>,
    signed: Usage,
    /// What the worker reported since it signed, and on which day it came.
    live: Option<(u64, Usage)>,
}

impl Entry {
    /// What was used on one day, or ever.
    pub(super) fn used(&self, day: Option<u64>) -> Usage {
        let days = self.days.iter().filter(|(of, _)| day.is_none_or(|day| day == **of));
        let live = self.live.filter(|(of, _)| day.is_none_or(|day| day == *of));
        let live = live.map(|(_, used)| used.minus(self.signed)).unwrap_or_default();
        days.fold(live, |sum, (_, used)| sum.plus(*used))
    }

    /// The days on which something was used.
    pub(super) fn days(&self) -> impl Iterator<Item = u64> {
        let live = self.live.iter().map(|(day, _)| *day).filter(|day| !self.days.contains_key(day));
        self.days.keys().copied().chain(live)
    }
}

/// What was used in one space.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    grants: BTreeMap<EventId, Entry>,
}

impl Ledger {
    /// Takes over what a bead's transcript says.
    fn account(&mut self, bead: &BeadId, transcript: &Transcript) {
        for grant in transcript.grants.values() {
            let convoy =
                transcript.offers.iter().find(|offer| offer.id == grant.offer).map(|offer| offer.convoy.clone());
            let spender = Spender {
                bead: bead.clone(),
                worker: grant.worker,
                rig: grant.rig.clone(),
                convoy: convoy.unwrap_or_default(),
            };
            let live = self.grants.get(&grant.id).and_then(|entry| entry.live);
            let mut days: BTreeMap<u64, Usage> = BTreeMap::new();
            let mut signed = Usage::default();
            for (at, used, _) in &grant.usage {
                let sum = days.entry(at.0 / DAY_S).or_default();
                *sum = sum.plus(used.minus(signed));
                signed = signed.most(*used);
            }
            let entry = Entry { spender, runner: grant.runner.clone(), days, signed, live };
            self.grants.insert(grant.id, entry);
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.grants.values()
    }

    /// Whether a grant is known and was given to this worker.
    pub(super) fn is_of(&self, grant: &EventId, worker: &PubKey) -> bool {
        self.grants.get(grant).is_some_and(|entry| entry.spender.worker == *worker)
    }

    fn sum(&self, day: Option<u64>, counts: impl Fn(&Spender) -> bool) -> Usage {
        let entries = self.grants.values().filter(|entry| counts(&entry.spender));
        entries.fold(Usage::default(), |sum, entry| sum.plus(entry.used(day)))
    }
}

/// The day of an instant, in days since 1970 (UTC).
pub(super) fn day_of(now: UnixMs) -> u64 {
    now.secs().0 / DAY_S
}

/// A day as people write it.
pub(super) fn day_text(day: u64) -> String {
    let text = crate::desk::rfc3339(UnixMs(day.saturating_mul(DAY_S * 1_000)));
    text.chars().take(10).collect()
}

impl Engine {
    /// The books of a space. Made when they are needed first.
    pub(super) fn ledger(&mut self, cx: &Cx<'_>, space: &SpaceId) -> Result<&mut Ledger, ViewError> {
        if !self.sling.ledgers.contains_key(space) {
            let mut ledger = Ledger::default();
            for at in self.beads_with_work(cx, space)? {
                if let Some((_, transcript)) = self.transcript(cx, &at)? {
                    ledger.account(&at.1, &transcript);
                }
            }
            self.sling.ledgers.insert(*space, ledger);
        }
        Ok(self.sling.ledgers.entry(*space).or_default())
    }

    /// A bead's transcript was read anew.
    pub(super) fn account(&mut self, at: &At, transcript: &Transcript) {
        if let Some(ledger) = self.sling.ledgers.get_mut(&at.0) {
            ledger.account(&at.1, transcript);
        }
    }

    /// The budgets of a space.
    pub(super) fn budgets(&self, space: &SpaceId) -> Vec<(Scope, Limit)> {
        let rule = self.spaces.get(space).and_then(|space| space.charter.current().policy.get(BUDGETS));
        let budgets = rule.and_then(|rule| rule.as_object()).into_iter().flatten();
        let read = |(scope, limit): (&String, &serde_json::Value)| {
            Some((Scope::parse(scope)?, serde_json::from_value(limit.clone()).ok()?))
        };
        budgets.take(BUDGETS_MAX).filter_map(read).collect()
    }

    /// What a budget allows still, on this day, to this spender; `None`: it is not one of its.
    fn left(
        &mut self,
        cx: &Cx<'_>,
        at: &SpaceId,
        scope: &Scope,
        limit: &Limit,
        who: &Spender,
    ) -> Result<Option<Limit>, ViewError> {
        let day = Some(day_of(cx.now));
        let worker = self.host_name(at, &who.worker);
        let ledger = self.ledger(cx, at)?;
        let used = match scope {
            Scope::Day => ledger.sum(day, |_| true),
            Scope::Rig(rig) if who.rig == *rig => ledger.sum(day, |other| other.rig == *rig),
            Scope::Host(host) if worker == *host => ledger.sum(day, |other| other.worker == who.worker),
            Scope::Bead => ledger.sum(None, |other| other.bead == who.bead),
            Scope::Convoy if !who.convoy.is_empty() => ledger.sum(None, |other| other.convoy == who.convoy),
            Scope::Rig(_) | Scope::Host(_) | Scope::Convoy => return Ok(None),
        };
        Ok(Some(limit.rest(&used)))
    }

    /// What the budgets allow this spender still; an error says which one is used up.
    pub(super) fn allowance(
        &mut self,
        cx: &Cx<'_>,
        at: &SpaceId,
        who: &Spender,
    ) -> Result<Result<Limit, String>, ViewError> {
        let mut allowed = Limit::default();
        for (scope, limit) in self.budgets(at) {
            let Some(left) = self.left(cx, at, &scope, &limit, who)? else { continue };
            if left.reached_by(&Usage::default()) {
                return Ok(Err(format!("the budget \"{scope}\" ({limit}) is used up")));
            }
            allowed = allowed.and(left);
        }
        Ok(Ok(allowed))
    }

    /// What was used under a grant, as far as this host knows.
    pub(super) fn used_under(&self, space: &SpaceId, grant: &Grant) -> Usage {
        let entry = self.sling.ledgers.get(space).and_then(|ledger| ledger.grants.get(&grant.id));
        entry.map(|entry| entry.used(None)).unwrap_or_default().most(grant.used())
    }

    /// Why a grant has to end, because of what was used.
    pub(super) fn over_budget(
        &mut self,
        cx: &Cx<'_>,
        at: &At,
        offer: &Offer,
        grant: &Grant,
    ) -> Result<Option<String>, ViewError> {
        if grant.terms.cap.is_none() && self.budgets(&at.0).is_empty() {
            return Ok(None);
        }
        let used = self.ledger(cx, &at.0)?.grants.get(&grant.id).map(|entry| entry.used(None)).unwrap_or_default();
        let spender = spender(at, offer, grant);
        if let Err(why) = self.allowance(cx, &at.0, &spender)? {
            return Ok(Some(why));
        }
        Ok(grant.terms.cap.reached_by(&used).then(|| cap_is_reached(&grant.terms.cap)))
    }

    /// How much of what was allowed for an offer is left.
    pub(super) fn left_of_offer(
        &mut self,
        cx: &Cx<'_>,
        at: &At,
        transcript: &Transcript,
        offer: &Offer,
    ) -> Result<Limit, ViewError> {
        if offer.terms.cap.is_none() {
            return Ok(Limit::default());
        }
        let ledger = self.ledger(cx, &at.0)?;
        let grants = transcript.grants.values().filter(|grant| grant.offer == offer.id);
        let used = grants.filter_map(|grant| ledger.grants.get(&grant.id)).map(|entry| entry.used(None));
        Ok(offer.terms.cap.rest(&used.fold(Usage::default(), Usage::plus)))
    }

    /// A worker says what it used under a grant so far. Returns whether that is news.
    pub(super) fn note_used(&mut self, cx: &Cx<'_>, at: &At, grant: &EventId, used: Usage) -> Result<bool, ViewError> {
        let today = day_of(cx.now);
        let ledger = self.ledger(cx, &at.0)?;
        let Some(entry) = ledger.grants.get_mut(grant) else { return Ok(false) };
        let before = entry.live.map(|(_, used)| used).unwrap_or_default().most(entry.signed);
        let now = before.most(used);
        entry.live = Some((today, now));
        Ok(now != before)
    }
}

/// Who spends under a grant.
pub(super) fn spender(at: &At, offer: &Offer, grant: &Grant) -> Spender {
    Spender { bead: at.1.clone(), worker: grant.worker, rig: grant.rig.clone(), convoy: offer.convoy.clone() }
}

/// Why work ends whose own cap is reached.
pub(super) fn cap_is_reached(cap: &Limit) -> String {
    format!("its cap of {cap} is reached")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        for (text, scope) in [
            ("day", Scope::Day),
            ("bead", Scope::Bead),
            ("convoy", Scope::Convoy),
            ("rig:app", Scope::Rig("app".into())),
            ("host:server", Scope::Host("server".into())),
        ] {
            assert_eq!(Scope::parse(text), Some(scope.clone()));
            assert_eq!(scope.to_string(), text);
        }
        for bad in ["", "days", "rig", "rig:", "host:", "x:y"] {
            assert_eq!(Scope::parse(bad), None, "{bad:?}");
        }
        assert_eq!(day_text(day_of(UnixMs(1_795_446_377_000))), "2026-11-23");
    }

    #[test]
    fn what_was_signed_and_reported_is_counted_once_and_on_its_day() {
        let used = |tokens_in| Usage { tokens_in, ..Usage::default() };
        let spender =
            Spender { bead: "a".parse().unwrap(), worker: PubKey([1; 32]), rig: String::new(), convoy: String::new() };
        let days = BTreeMap::from([(10, used(5)), (11, used(7))]);
        let entry = Entry { spender, runner: String::new(), days, signed: used(12), live: Some((12, used(20))) };
        assert_eq!((entry.used(None), entry.used(Some(11)), entry.used(Some(12))), (used(20), used(7), used(8)));
        assert_eq!(entry.days().collect::<Vec<_>>(), [10, 11, 12]);
        let late = Entry { live: Some((12, used(9))), ..entry };
        assert_eq!(late.used(None), used(12), "what was signed since is more");
    }
}
