//! Reading beads.

use super::Answer;
use crate::command::SpaceRef;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::op::Op;
use crate::records;
use beads::{Bead, BeadState, External, ExternalTarget, Shown, external_blockers};
use identity::Event;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use types::{SpaceId, Table, View, ViewError};

/// How many entries a list has when the caller names no limit.
const LIMIT: usize = 100;

impl Engine {
    /// Calls `each` for every visible bead of a space, in the order of their ids.
    pub(crate) fn each_shown(
        &self,
        cx: &Cx<'_>,
        space: &SpaceId,
        each: &mut dyn FnMut(Shown),
    ) -> Result<(), ViewError> {
        let mut broken = None;
        cx.txn.scan(Table::Beads, &space.0, &space.0, &mut |_, bytes| match BeadState::decode(bytes) {
            Ok(state) => {
                state.shown().into_iter().filter(|s| !s.hidden).for_each(&mut *each);
                ControlFlow::Continue(())
            }
            Err(err) => {
                broken = Some(ViewError { table: Table::Beads, reason: err.to_string() });
                ControlFlow::Break(())
            }
        })?;
        broken.map_or(Ok(()), Err)
    }

    fn all_beads(&self, cx: &Cx<'_>, space: &SpaceId) -> Result<Vec<Bead>, ViewError> {
        let mut all = Vec::new();
        self.each_shown(cx, space, &mut |shown| all.push(shown.bead))?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    pub(super) fn export(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        let lines: Vec<String> = self.all_beads(cx, &space)?.iter().map(Bead::to_line).collect();
        Ok(Some(json!({ "lines": lines })))
    }

    pub(super) fn ls(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, status: &[String], all: bool, limit: usize) -> Answer {
        let space = self.resolve_space(at)?;
        let mut beads = Vec::new();
        let mut total = 0u64;
        self.each_shown(cx, &space, &mut |shown| {
            let is = shown.bead.text("status");
            let wanted = match status {
                [] => all || !matches!(is, "closed" | "tombstone"),
                some => some.iter().any(|s| s == is),
            };
            if wanted {
                total += 1;
                if limit == 0 || beads.len() < limit {
                    beads.push(summary(&shown.bead, shown.conflicts.len()));
                }
            }
        })?;
        Ok(Some(json!({ "beads": beads, "total": total })))
    }

    pub(super) fn ready(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, limit: usize) -> Answer {
        let space = self.resolve_space(at)?;
        let all = self.all_beads(cx, &space)?;
        let limit = if limit == 0 { LIMIT } else { limit };
        let external = self.external(cx, &all)?;
        let known = |target: &str| external.get(target).copied().unwrap_or(External::Unknown);
        let ready = beads::ready(&all, cx.now, &known);
        let line = |bead: &Bead| {
            let mut line = summary(bead, 0);
            let unknown: Vec<&str> = external_blockers(bead).filter(|t| known(t) == External::Unknown).collect();
            if !unknown.is_empty() {
                line["unknown"] = json!(unknown);
            }
            line
        };
        let beads: Vec<Value> = ready.iter().take(limit).filter_map(|i| all.get(*i)).map(line).collect();
        Ok(Some(json!({ "beads": beads, "total": ready.len() })))
    }

    /// What the spaces on this node say about everything that these beads depend on in other projects: a project is the
    /// space of that name.
    fn external(&self, cx: &Cx<'_>, beads: &[Bead]) -> Result<BTreeMap<String, External>, ViewError> {
        let targets: BTreeSet<&str> = beads.iter().flat_map(external_blockers).collect();
        let mut projects: BTreeMap<&str, Vec<(&str, ExternalTarget<'_>)>> = BTreeMap::new();
        for text in targets {
            if let Some(target) = ExternalTarget::parse(text) {
                projects.entry(target.project).or_default().push((text, target));
            }
        }
        let mut known = BTreeMap::new();
        for (project, targets) in projects {
            let Some(space) = self.spaces.values().find(|s| s.record.name == project).map(|s| s.id) else { continue };
            let theirs = self.all_beads(cx, &space)?;
            known.extend(targets.into_iter().map(|(text, target)| (text.to_owned(), target.look(theirs.iter()))));
        }
        Ok(known)
    }

    pub(super) fn show(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str) -> Answer {
        let space = self.resolve_space(at)?;
        let shown = self.find(cx, &space, id)?;
        let line: Value = serde_json::from_str(&shown.bead.to_line()).unwrap_or_default();
        let conflicts: Vec<Value> = shown.conflicts.iter().map(|c| super::conflicts::conflict(&shown, c)).collect();
        let births: Vec<String> = shown.births.iter().map(ToString::to_string).collect();
        Ok(Some(json!({ "bead": line, "conflicts": conflicts, "births": births })))
    }

    pub(super) fn log(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: Option<&str>, limit: usize) -> Answer {
        let space_id = self.resolve_space(at)?;
        let limit = if limit == 0 { LIMIT } else { limit };
        let wanted = id.map(crate::workspace::state_id);
        let mut entries = Vec::new();
        let mut op_entry = |event: &[u8]| -> Option<()> {
            let event = Event::verify(event).ok()?;
            let body = self.spaces.get(&space_id)?.open(&event).ok()?;
            let op = Op::decode(event.pubkey(), &body).ok()?;
            let units: Vec<Value> = op
                .writes
                .iter()
                .filter(|w| wanted.is_none_or(|id| w.id.as_str() == id))
                .map(|w| {
                    json!({"id": w.id.as_str(), "unit": w.unit.to_string(), "value": w.value,
                    "baseline": w.baseline.is_some()})
                })
                .collect();
            if !units.is_empty() {
                entries.push((
                    op.hlc,
                    json!({"op": event.id(), "at_ms": op.hlc.ms(), "host": op.writer.host.npub(),
                    "seq": op.seq, "actor": op.actor, "writes": units}),
                ));
            }
            Some(())
        };
        cx.txn.scan(Table::Ops, &records::op::space_prefix(&space_id), &space_id.0, &mut |_, event| {
            op_entry(event);
            ControlFlow::Continue(())
        })?;
        if let (Some(id), true) = (id, entries.is_empty()) {
            return Err(ApiError::new("unknown_bead", format!("no op about \"{id}\"")));
        }
        entries.sort_by_key(|(hlc, _)| std::cmp::Reverse(*hlc));
        let total = entries.len();
        let ops: Vec<Value> = entries.into_iter().take(limit).map(|(_, entry)| entry).collect();
        Ok(Some(json!({ "ops": ops, "total": total })))
    }
}

/// What a list says of a bead.
fn summary(bead: &Bead, conflicts: usize) -> Value {
    json!({
        "id": bead.id.as_str(),
        "title": bead.text("title"),
        "status": bead.text("status"),
        "priority": bead.priority(),
        "issue_type": bead.text("issue_type"),
        "assignee": bead.get("assignee"),
        "updated_at": bead.get("updated_at"),
        "conflicts": conflicts,
    })
}
