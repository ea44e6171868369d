//! Whether slung work was done once: from what nodes print and what programs wrote, with no code of the engine.

use super::journal::{Hundredths, Run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How far clocks that are read by different processes may be apart, in hundredths of a second: what `/proc/uptime`
/// rounds off, and one beat of a program that was told to end.
const SLACK: Hundredths = 5;

/// How a slung bead ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The result of this attempt was accepted, and closed it.
    Done(u64),
    /// Nothing came of it, for this reason.
    GivenUp(String),
}

/// A time in which nobody looked after the programs of a host: its node was dead.
#[derive(Debug, Clone)]
pub struct Down {
    /// The host.
    pub host: String,
    /// From the kill.
    pub from: Hundredths,
    /// To the first answer afterwards.
    pub to: Hundredths,
}

/// The number of a fence and its epoch.
fn fence(grant: &Value) -> Option<(u64, u64)> {
    let (epoch, n) = grant["fence"].as_str()?.split_once('.')?;
    Some((epoch.parse().ok()?, n.parse().ok()?))
}

/// Judges one bead by `work show` and `beads show` of one node: fences rise, one result at most was accepted, that under
/// the highest fence, and it is what closed the bead; or there is a reason why nothing came of it.
///
/// # Errors
/// What does not hold.
pub fn bead(work: &Value, shown: &Value) -> Result<End, String> {
    let grants = work["grants"].as_array().ok_or_else(|| format!("no grants: {work}"))?;
    let fences: Vec<(u64, u64)> = grants.iter().filter_map(fence).collect();
    if fences.len() != grants.len() || !fences.is_sorted_by(|a, b| a < b) {
        return Err(format!("fences do not rise: {work}"));
    }
    if work["contradicting"].as_array().is_none_or(|grants| !grants.is_empty()) {
        return Err(format!("grants contradict each other: {work}"));
    }
    let accepted: Vec<&Value> = grants.iter().filter(|grant| grant["state"] == "accepted").collect();
    let status = &shown["bead"]["status"];
    match (work["state"].as_str(), accepted[..].split_first()) {
        (Some("accepted"), Some((grant, []))) => {
            if fence(grant).as_ref() != fences.last() {
                return Err(format!("accepted, but granted again: {work}"));
            }
            let attempt = grant["attempt"].as_u64().unwrap_or_default();
            let reason = format!("done by {}, attempt {attempt}", grant["worker"].as_str().unwrap_or_default());
            if status != "closed" || shown["bead"]["close_reason"] != reason.as_str() {
                return Err(format!("not closed by its accepted result: {shown} {work}"));
            }
            Ok(End::Done(attempt))
        }
        (Some("cancelled"), None) => match work["why"].as_str().filter(|why| !why.is_empty()) {
            Some(_) if status == "closed" => Err(format!("closed, though nothing came of it: {shown} {work}")),
            Some(why) => Ok(End::GivenUp(why.to_owned())),
            None => Err(format!("given up without a reason: {work}")),
        },
        (state, _) => Err(format!("{} accepted results of a bead that is {state:?}: {work}", accepted.len())),
    }
}

/// Judges the runs of one bead by its transcript: every run had a grant, whoever said that it is done has a result that
/// was accepted or is kept, and of the accepted attempt one run at least got to its end.
///
/// # Errors
/// What does not hold.
pub fn runs(work: &Value, of_bead: &[&Run]) -> Result<(), String> {
    let grants = work["grants"].as_array().map(Vec::as_slice).unwrap_or_default();
    let granted: BTreeMap<u64, &Value> = grants.iter().filter_map(|g| Some((g["attempt"].as_u64()?, g))).collect();
    for run in of_bead {
        let Some(grant) = granted.get(&run.attempt) else { return Err(format!("nobody granted {run:?}: {work}")) };
        if grant["worker"] != run.host.as_str() {
            return Err(format!("it was granted to somebody else: {run:?}: {work}"));
        }
    }
    let complete: BTreeSet<u64> = of_bead.iter().filter(|run| run.ended).map(|run| run.attempt).collect();
    match granted.iter().find(|(attempt, grant)| grant["state"] == "accepted" && !complete.contains(attempt)) {
        Some((attempt, _)) => {
            Err(format!("attempt {attempt} was accepted, and no program got to its end: {of_bead:?}"))
        }
        None => Ok(()),
    }
}

/// Judges which runs of one bead there were at a time: never two under one fence; under two fences only as long as the node of the
/// earlier one was dead, because nobody was there to stop its program. How often that was so.
///
/// # Errors
/// The two that ran at once.
pub fn overlaps(of_bead: &[&Run], downs: &[Down]) -> Result<usize, String> {
    let mut excused = 0;
    for (at, one) in of_bead.iter().enumerate() {
        for other in &of_bead[at + 1..] {
            let (from, to) = (one.begun.max(other.begun), one.last.min(other.last));
            if from + SLACK >= to {
                continue;
            }
            let older = if one.attempt <= other.attempt { one } else { other };
            let alone = |down: &Down| down.host == older.host && down.from <= from + SLACK && to <= down.to + SLACK;
            if one.attempt == other.attempt || !downs.iter().any(alone) {
                return Err(format!("two at once: {one:?} and {other:?}; dead: {downs:?}"));
            }
            excused += 1;
        }
    }
    Ok(excused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grant(n: u64, state: &str) -> Value {
        json!({"fence": format!("1.{n}"), "attempt": n, "worker": "b", "state": state})
    }

    fn work(state: &str, grants: &[Value]) -> Value {
        json!({"state": state, "grants": grants, "contradicting": [], "why": if state == "cancelled" { "w" } else { "" }})
    }

    fn closed(attempt: u64) -> Value {
        json!({"bead": {"status": "closed", "close_reason": format!("done by b, attempt {attempt}")}})
    }

    fn run(attempt: u64, begun: u64, last: u64, ended: bool) -> Run {
        Run { bead: "x".into(), attempt, host: "b".into(), pid: 1, begun, last, ended }
    }

    #[test]
    fn a_bead_is_done_once_or_given_up() {
        let two = [grant(1, "cancelled"), grant(2, "accepted")];
        assert_eq!(bead(&work("accepted", &two), &closed(2)), Ok(End::Done(2)));
        let open = json!({"bead": {"status": "open"}});
        assert_eq!(bead(&work("cancelled", &two[..1]), &open), Ok(End::GivenUp("w".into())));
    }

    #[test]
    fn each_fault_of_a_bead_is_seen() {
        let (lost, good) = (grant(1, "cancelled"), grant(2, "accepted"));
        let cases = [
            (work("accepted", &[grant(1, "accepted"), good.clone()]), closed(2)),
            (work("accepted", &[good.clone(), lost.clone()]), closed(2)),
            (work("accepted", &[lost.clone(), lost.clone()]), closed(1)),
            (work("accepted", &[grant(1, "accepted"), grant(2, "cancelled")]), closed(1)),
            (work("accepted", &[lost.clone(), good.clone()]), closed(1)),
            (work("accepted", &[lost.clone(), good.clone()]), json!({"bead": {"status": "open"}})),
            (work("working", &[grant(1, "working")]), json!({"bead": {"status": "in_progress"}})),
            (work("cancelled", std::slice::from_ref(&lost)), closed(1)),
            (json!({"state": "cancelled", "grants": [lost], "contradicting": []}), json!({"bead": {"status": "open"}})),
            (json!({"state": "accepted", "grants": [good], "contradicting": ["ab"]}), closed(2)),
        ];
        for (work, shown) in cases {
            assert!(bead(&work, &shown).is_err(), "{work} {shown}");
        }
    }

    #[test]
    fn runs_need_a_grant_and_the_accepted_one_an_end() {
        let done = work("accepted", &[grant(1, "cancelled"), grant(2, "accepted")]);
        let (half, whole) = (run(1, 0, 10, false), run(2, 20, 30, true));
        assert_eq!(runs(&done, &[&half, &whole]), Ok(()));
        assert!(runs(&done, &[&half]).is_err());
        assert!(runs(&done, &[&half, &run(2, 20, 30, false)]).is_err());
        assert!(runs(&done, &[&whole, &run(3, 40, 50, true)]).is_err());
        let elsewhere = Run { host: "c".into(), ..whole.clone() };
        assert!(runs(&done, &[&elsewhere]).is_err());
    }

    #[test]
    fn two_at_once_are_seen() {
        let down = |from, to| Down { host: "b".into(), from, to };
        let (one, two) = (run(1, 0, 100, false), run(2, 50, 150, true));
        assert!(overlaps(&[&one, &two], &[]).is_err());
        assert_eq!(overlaps(&[&one, &two], &[down(40, 120)]), Ok(1));
        assert!(overlaps(&[&one, &two], &[down(60, 120)]).is_err());
        assert!(overlaps(&[&one, &two], &[Down { host: "c".into(), from: 0, to: 200 }]).is_err());
        assert!(overlaps(&[&one, &run(1, 50, 150, true)], &[down(0, 200)]).is_err(), "one fence");
        assert_eq!(overlaps(&[&one, &run(2, 101, 150, true)], &[]), Ok(0));
    }
}
