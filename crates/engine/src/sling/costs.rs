//! What people ask about usage: costs, budgets; and what a person says of work.

use super::ledger::{BUDGETS, BUDGETS_MAX, Entry, Scope, day_of, day_text};
use crate::command::{CostsBy, SpaceRef};
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::input::RunReport;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use types::{Limit, SpaceId, Usage};

/// Lines of one answer.
const LINES_MAX: usize = 10_000;

impl Engine {
    /// Who used how much.
    pub(crate) fn costs(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, by: CostsBy, since: Option<&str>) -> Answer {
        let space = self.resolve_space(at)?;
        let since = since.map(day).transpose()?.unwrap_or(0);
        let entries: Vec<Entry> = self.ledger(cx, &space)?.entries().cloned().collect();
        let mut sums: BTreeMap<String, (Usage, u64)> = BTreeMap::new();
        let mut total = Usage::default();
        for entry in &entries {
            let host = self.host_name(&space, &entry.spender.worker);
            let mut counted: Vec<String> = Vec::new();
            for day in entry.days().filter(|day| *day >= since) {
                let name = match by {
                    CostsBy::Bead => entry.spender.bead.to_string(),
                    CostsBy::Agent => format!("{host}/{}", entry.runner),
                    CostsBy::Host => host.clone(),
                    CostsBy::Day => day_text(day),
                    CostsBy::Rig => entry.spender.rig.clone(),
                    CostsBy::Convoy => entry.spender.convoy.clone(),
                };
                let used = entry.used(Some(day));
                total = total.plus(used);
                let sum = sums.entry(name.clone()).or_default();
                sum.0 = sum.0.plus(used);
                if !counted.contains(&name) {
                    sum.1 += 1;
                    counted.push(name);
                }
            }
        }
        let line = |(name, (used, attempts)): (String, (Usage, u64))| {
            let mut line = usage_json(&used);
            line["of"] = name.into();
            line["attempts"] = attempts.into();
            line
        };
        let lines: Vec<Value> = sums.into_iter().take(LINES_MAX).map(line).collect();
        Ok(Some(json!({"lines": lines, "total": usage_json(&total)})))
    }

    /// The budgets of a space, and how much of each is used. Of those for each bead and each convoy, the one that used
    /// most.
    pub(crate) fn budget_ls(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        let budgets = self.budgets(&space);
        let entries: Vec<Entry> = self.ledger(cx, &space)?.entries().cloned().collect();
        let today = day_of(cx.now);
        let mut out = Vec::new();
        for (scope, limit) in budgets {
            let mut sums: BTreeMap<String, Usage> = BTreeMap::new();
            for entry in &entries {
                let (name, day) = match &scope {
                    Scope::Day => (String::new(), Some(today)),
                    Scope::Rig(rig) if entry.spender.rig == *rig => (String::new(), Some(today)),
                    Scope::Host(host) if self.host_name(&space, &entry.spender.worker) == *host => {
                        (String::new(), Some(today))
                    }
                    Scope::Bead => (entry.spender.bead.to_string(), None),
                    Scope::Convoy if !entry.spender.convoy.is_empty() => (entry.spender.convoy.clone(), None),
                    Scope::Rig(_) | Scope::Host(_) | Scope::Convoy => continue,
                };
                let sum = sums.entry(name).or_default();
                *sum = sum.plus(entry.used(day));
            }
            let most =
                sums.into_iter().max_by_key(|(_, used)| (limit.reached_by(used), used.tokens(), used.money_micros));
            let (of, used) = most.unwrap_or_default();
            out.push(json!({"budget": scope.to_string(), "limit": limit_json(&limit), "used": usage_json(&used),
                "of": Some(of).filter(|of| !of.is_empty()), "used_up": limit.reached_by(&used)}));
        }
        Ok(Some(Value::Array(out)))
    }

    /// Sets or removes a budget; on the owner's machine, since the charter holds it.
    pub(crate) fn budget_set(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, scope: &str, limit: Option<Limit>) -> Answer {
        self.writable()?;
        let id = self.resolve_space(at)?;
        let Some(parsed) = Scope::parse(scope) else {
            return Err(ApiError::new("bad_budget", "no such budget").hint("day, rig:RIG, host:HOST, bead or convoy"));
        };
        if limit.is_some_and(|limit| limit.is_none()) {
            return Err(ApiError::new("no_limit", "a budget limits something").hint("add --tokens N or --money USD"));
        }
        let rule = self.spaces.get(&id).and_then(|space| space.charter.current().policy.get(BUDGETS));
        let mut budgets = rule.and_then(Value::as_object).cloned().unwrap_or_default();
        match limit {
            Some(limit) => drop(budgets.insert(parsed.to_string(), limit_json(&limit))),
            None if budgets.remove(&parsed.to_string()).is_none() => {
                return Err(ApiError::new("unknown_budget", format!("there is no budget \"{parsed}\""))
                    .hint("townmesh budget ls"));
            }
            None => {}
        }
        if budgets.len() > BUDGETS_MAX {
            return Err(ApiError::new("too_many_budgets", format!("{BUDGETS_MAX} at most")).hint("townmesh budget rm"));
        }
        let rule = (!budgets.is_empty()).then_some(Value::Object(budgets));
        self.set_rule(cx, id, BUDGETS, rule)?;
        self.stir_space(id);
        self.budget_ls(cx, &whole(&id))
    }

    /// A person, or a program that was started here, says what it used or does.
    pub(crate) fn work_report(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str, report: &RunReport) -> Answer {
        let (at, _) = self.bead_of_work(cx, at, id)?;
        let run = self.run_of(&at).filter(|run| self.sling.hooks.get(run).is_some_and(|hook| !hook.record.done));
        let Some(run) = run else {
            return Err(ApiError::new("not_working", format!("nobody works on {id} here")).hint("townmesh work ls"));
        };
        if report.percent.is_some_and(|percent| percent > 100) {
            return Err(ApiError::new("bad_progress", "progress is 0 to 100"));
        }
        self.run_reported(cx, &run, report)?;
        self.settle_sling(cx)?;
        self.work_show(cx, &whole(&at.0), id)
    }
}

fn whole(space: &SpaceId) -> SpaceRef {
    SpaceRef { space: Some(space.to_string()), cwd: None }
}

/// Usage as the API shows it.
pub(super) fn usage_json(used: &Usage) -> Value {
    json!({"tokens_in": used.tokens_in, "tokens_out": used.tokens_out, "money_micros": used.money_micros})
}

fn limit_json(limit: &Limit) -> Value {
    json!({"tokens": limit.tokens, "money_micros": limit.money_micros})
}

fn day(text: &str) -> Result<u64, ApiError> {
    let date: Result<jiff::civil::Date, _> = text.parse();
    let bad = || ApiError::new("bad_day", "a day is written like 2026-11-23");
    let start = date.map_err(|_| bad())?.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
    u64::try_from(start.timestamp().as_second() / (24 * 3600)).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read() {
        assert_eq!(day("1970-01-02").unwrap(), 1);
        assert_eq!(day_text(day("2026-11-23").unwrap()), "2026-11-23");
        for bad in ["", "yesterday", "2026-13-01", "1969-01-01\n"] {
            assert!(day(bad).is_err(), "{bad:?}");
        }
    }
}
