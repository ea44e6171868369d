//! Who works where, and what is kept against whom.

use super::At;
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use types::{PubKey, Table};

/// Proofs in one answer.
const PROOFS_MAX: usize = 1_000;

impl Engine {
    /// Every host of a space: whether it is there, and which beads it works on, as far as this host knows.
    pub(crate) fn agents(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        let open: Vec<At> = self.sling.desks.keys().filter(|at| at.0 == space).cloned().collect();
        let mut busy: BTreeMap<PubKey, Vec<Value>> = BTreeMap::new();
        for at in open {
            let Some((shown, transcript)) = self.transcript(cx, &at)? else { continue };
            let Some(grant) = transcript.current().filter(|grant| grant.is_live()) else { continue };
            let since = grant.accepted.unwrap_or(grant.at);
            let line = json!({"bead": at.1.as_str(), "title": shown.bead.text("title"), "attempt": grant.fence.n,
                "state": grant.state(), "since": since.0});
            busy.entry(grant.worker).or_default().push(line);
        }
        let Some(charter) = self.spaces.get(&space).map(|space| &space.charter) else { return Ok(None) };
        let line = |member: &identity::Member| {
            json!({"host": member.name, "npub": member.npub.npub(), "here": member.npub == self.me,
                "online": member.npub == self.me || self.peer_of(&member.npub).is_some(),
                "coordinator": charter.coordinator() == Some(member.npub),
                "working_on": busy.get(&member.npub).cloned().unwrap_or_default()})
        };
        Ok(Some(charter.members().map(line).collect()))
    }

    /// What is kept against members of a space: forks, grants that contradict each other, ops that no longer count.
    pub(crate) fn evidence(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        let proof = |(_, value): (Vec<u8>, Vec<u8>)| -> Value {
            match serde_json::from_slice::<Value>(&value) {
                Ok(proof) if proof["kind"].is_string() => proof,
                Ok(event) => json!({"kind": "excluded_op", "id": event["id"], "host": event["pubkey"]}),
                Err(_) => json!({"kind": "unreadable"}),
            }
        };
        Ok(Some(cx.txn.collect(Table::Evidence, &space.0)?.into_iter().take(PROOFS_MAX).map(proof).collect()))
    }
}
