//! Convoys: beads that were slung together. A convoy is a bead of its own (type `convoy`) that tracks the others; when
//! all of them are over it lands: whoever coordinates closes it, once.

use super::{At, coordinate};
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use beads::{BeadId, Shown};
use serde_json::{Value, json};
use types::{SpaceId, ViewError};

/// The type of such a bead, and of its edges: Gas Town's own words.
const TYPE: &str = "convoy";
const TRACKS: &str = "tracks";

/// What became of one bead of a convoy.
struct Part {
    line: Value,
    /// `None`: it is under way; else whether it was done.
    over: Option<bool>,
}

impl Engine {
    /// Which bead a convoy is, for an offer that belongs to it.
    pub(super) fn convoy_of_offer(&self, cx: &Cx<'_>, space: &SpaceId, id: &str) -> Result<String, ApiError> {
        let found = self.convoy(cx, space, id)?;
        match found.filter(|shown| !coordinate::is_over(shown)) {
            Some(shown) => Ok(shown.id.to_string()),
            None => Err(ApiError::new("no_convoy", "there is no open convoy of that id").hint("townmesh convoy ls")),
        }
    }

    fn convoy(&self, cx: &Cx<'_>, space: &SpaceId, id: &str) -> Result<Option<Shown>, ViewError> {
        let Ok(id) = id.parse::<BeadId>() else { return Ok(None) };
        let shown = cx.txn.bead(space, &id)?.shown().into_iter().next();
        Ok(shown.filter(|shown| shown.bead.text("issue_type") == TYPE))
    }

    fn parts(&mut self, cx: &Cx<'_>, space: SpaceId, convoy: &Shown) -> Result<Vec<Part>, ViewError> {
        let tracked = convoy.bead.dependencies();
        let tracked = tracked.filter(|(_, edge)| edge.get("type").and_then(Value::as_str) == Some(TRACKS));
        let ids: Vec<BeadId> = tracked.filter_map(|(id, _)| id.parse().ok()).collect();
        let mut out = Vec::new();
        for id in ids {
            let at: At = (space, id);
            let Some((shown, transcript)) = self.transcript(cx, &at)? else { continue };
            let line = self.work_json(&at, &shown, &transcript);
            let closed = coordinate::is_over(&shown);
            let offered = transcript.newest().is_some();
            let open = transcript.open().is_some();
            let over = (closed || offered && !open).then_some(closed && !shown.hidden);
            out.push(Part { line, over });
        }
        Ok(out)
    }

    /// A bead of a convoy changed: if it was the last one, the convoy lands.
    pub(super) fn land(&mut self, cx: &mut Cx<'_>, space: SpaceId, convoy: &str) -> Result<(), ViewError> {
        if convoy.is_empty() || !self.coordinates(&space) {
            return Ok(());
        }
        let Some(shown) = self.convoy(cx, &space, convoy)?.filter(|shown| !coordinate::is_over(shown)) else {
            return Ok(());
        };
        let parts = self.parts(cx, space, &shown)?;
        if parts.is_empty() || parts.iter().any(|part| part.over.is_none()) {
            return Ok(());
        }
        let done = parts.iter().filter(|part| part.over == Some(true)).count();
        let reason = format!("landed: {done} done, {} not", parts.len() - done);
        let writes = coordinate::closed(&shown, cx.now, reason.clone());
        let actor = self.actor();
        self.commit(cx, space, &actor, writes)?;
        self.count("convoys_landed");
        cx.warn("convoy_landed", format!("{convoy} {reason}"));
        Ok(())
    }

    /// Convoys, the open ones first.
    pub(crate) fn convoy_ls(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, all: bool) -> Answer {
        let space = self.resolve_space(at)?;
        let mut out = Vec::new();
        for (key, _) in cx.txn.collect(types::Table::Beads, &space.0)? {
            let Some(id) = crate::records::bead::parse(&key) else { continue };
            if let Some(shown) = self.convoy(cx, &space, id)?
                && !shown.hidden
                && (all || !coordinate::is_over(&shown))
            {
                out.push(self.convoy_json(cx, space, &shown)?);
            }
        }
        Ok(Some(Value::Array(out)))
    }

    /// One convoy with its beads.
    pub(crate) fn convoy_show(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str) -> Answer {
        let space = self.resolve_space(at)?;
        let shown = self.find(cx, &space, id)?;
        if shown.bead.text("issue_type") != TYPE {
            return Err(ApiError::new("no_convoy", format!("{id} is no convoy")).hint("townmesh convoy ls"));
        }
        Ok(Some(self.convoy_json(cx, space, &shown)?))
    }

    fn convoy_json(&mut self, cx: &Cx<'_>, space: SpaceId, shown: &Shown) -> Result<Value, ViewError> {
        let parts = self.parts(cx, space, shown)?;
        let done = parts.iter().filter(|part| part.over == Some(true)).count();
        let over = parts.iter().filter(|part| part.over.is_some()).count();
        let beads: Vec<Value> = parts.into_iter().map(|part| part.line).collect();
        Ok(json!({"convoy": shown.id.as_str(), "title": shown.bead.text("title"), "landed": coordinate::is_over(shown),
            "why": shown.bead.text("close_reason"), "done": done, "over": over, "of": beads.len(), "beads": beads}))
    }
}
