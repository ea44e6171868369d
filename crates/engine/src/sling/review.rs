//! Results that wait for a person: made under a grant that no longer counts.

use super::step::{self, Ended, Say};
use super::transcript::Grant;
use crate::command::{JudgeOrder, SpaceRef};
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use beads::Unit;
use serde_json::Value;
use types::EventId;

impl Engine {
    /// The results that wait.
    pub(crate) fn work_review(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        let mut out = Vec::new();
        for at in self.beads_with_work(cx, &space)? {
            if let Some((shown, transcript)) = self.transcript(cx, &at)? {
                for (grant, _) in transcript.to_review() {
                    let mut line = self.grant_json(&space, grant);
                    if let Some(line) = line.as_object_mut() {
                        line.insert("bead".into(), at.1.as_str().into());
                        line.insert("title".into(), shown.bead.text("title").into());
                        line.insert("status".into(), shown.bead.text("status").into());
                    }
                    out.push(line);
                }
            }
        }
        Ok(Some(Value::Array(out)))
    }

    /// A person takes a result that waits, or turns it down. Taken, it closes its bead, if that is open still: as an
    /// override, under no grant.
    pub(crate) fn work_judge(&mut self, cx: &mut Cx<'_>, order: &JudgeOrder) -> Answer {
        let JudgeOrder { at, id, attempt, good, reason } = order;
        let (attempt, good) = (*attempt, *good);
        let (at, shown) = self.bead_of_work(cx, at, id)?;
        self.may_write(&at.0)?;
        let Some((_, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        let fits = |grant: &&Grant| attempt.is_none_or(|attempt| grant.fence.n == attempt);
        let waiting: Vec<&Grant> = transcript.to_review().map(|(grant, _)| grant).filter(fits).collect();
        let grant = match waiting.as_slice() {
            [one] => *one,
            [] => {
                return Err(ApiError::new("nothing_waits", format!("no result of {id} waits for a person"))
                    .hint("townmesh work review"));
            }
            several => {
                let attempts: Vec<String> = several.iter().map(|grant| grant.fence.n.to_string()).collect();
                return Err(ApiError::new("which_attempt", format!("several results of {id} wait"))
                    .hint(format!("add --attempt with one of {}", attempts.join(", "))));
            }
        };
        let Some((of, (_, outcome))) = grant.results.iter().next() else { return Ok(None) };
        if good && outcome.ended != Ended::Done {
            return Err(ApiError::new("not_done", format!("that attempt at {id} is {}", outcome.ended.name()))
                .hint(format!("townmesh work dismiss {id}")));
        }
        let (of, fence, grant_id): (EventId, _, _) = (*of, grant.fence, grant.id);
        let why = format!("by {}: {}", self.actor(), step::text(reason.as_deref().unwrap_or("no reason given")));
        let worker = self.host_name(&at.0, &grant.worker);
        self.say(cx, at.0, &shown, Some((grant_id, fence)), &Say::Review { of, good, why }, Vec::new())?;
        if good && !super::coordinate::is_over(&shown) {
            let reason = format!("done by {worker}, attempt {}, accepted by a person", fence.n);
            let mut writes = super::coordinate::closed(&shown, cx.now, reason);
            // Under no grant: an op of its own.
            writes.retain(|write| !matches!(write.unit, Unit::Work(_)));
            let actor = self.actor();
            self.commit(cx, at.0, &actor, writes)?;
        }
        self.sling.stirred.insert(at.clone());
        self.settle_sling(cx)?;
        self.work_show(cx, &SpaceRef { space: Some(at.0.to_string()), cwd: None }, id)
    }
}
