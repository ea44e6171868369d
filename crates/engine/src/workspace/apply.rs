//! What changed in the mesh goes into the file: prepare, note the intent, commit.

use super::{Flight, line_hash, state_id};
use crate::effect::WorkspaceEffect;
use crate::engine::{Cx, Engine};
use crate::input::{Generation, WorkspaceId};
use crate::records::shadow::{self, ShadowRecord};
use crate::records::workspace as rec;
use beads::{BeadId, Shadow};
use std::collections::BTreeSet;
use types::{Table, ViewError};

/// One line to write, remove or leave.
type Change = (String, Option<String>, Option<ShadowRecord>);

impl Engine {
    /// Begins to write every workspace that has something to write and nothing under way.
    pub(crate) fn pump_workspaces(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        if self.read_only.is_some() {
            return Ok(());
        }
        let ids: Vec<_> = self.workspaces.keys().copied().collect();
        for id in ids {
            self.pump_workspace(cx, id)?;
        }
        Ok(())
    }

    fn pump_workspace(&mut self, cx: &mut Cx<'_>, id: WorkspaceId) -> Result<(), ViewError> {
        let Some(ws) = self.workspaces.get_mut(&id) else { return Ok(()) };
        let Some(base) = ws.base else { return Ok(()) };
        if ws.flight.is_some()
            || cx.up < ws.rest_until
            || !ws.broken.is_empty()
            || (ws.dirty.is_empty() && ws.forced.is_empty())
            || ws.backs_off(cx.up)
        {
            return Ok(());
        }
        let forced = std::mem::take(&mut ws.forced);
        let mut states = std::mem::take(&mut ws.dirty);
        states.extend(forced.iter().map(|line| state_id(line).to_owned()));
        let asked_about: BTreeSet<String> = ws.record.question.iter().cloned().collect();
        let mut changes = Vec::new();
        for state in &states {
            self.compare(cx, id, state, &forced, &mut changes)?;
        }
        changes.retain(|(line_id, _, _)| !asked_about.contains(line_id));
        if changes.is_empty() {
            if let Some(ws) = self.workspaces.get_mut(&id) {
                ws.unwritten = None;
            }
            return Ok(());
        }
        let lines = changes.iter().map(|(line_id, text, _)| (line_id.clone(), text.clone())).collect();
        let shadows = changes.into_iter().map(|(line_id, _, record)| (line_id, record)).collect();
        if let Some(ws) = self.workspaces.get_mut(&id) {
            ws.attempts += 1;
            ws.flight = Some(Flight { attempt: ws.attempts, begun: cx.up, states, shadows });
            let attempt = ws.attempts;
            cx.workspace(WorkspaceEffect::Prepare { workspace: id, attempt, base, lines });
        }
        Ok(())
    }

    /// How the file's lines about one id differ from what they should say.
    fn compare(
        &self,
        cx: &Cx<'_>,
        id: WorkspaceId,
        state_key: &str,
        forced: &BTreeSet<String>,
        changes: &mut Vec<Change>,
    ) -> Result<(), ViewError> {
        let Some(ws) = self.workspaces.get(&id) else { return Ok(()) };
        let mut there = BTreeSet::new();
        if cx.txn.any(Table::Shadows, &shadow::key(id, state_key))? {
            let own = cx.txn.collect(Table::Shadows, &shadow::key(id, state_key))?;
            let lines = own.iter().filter_map(|(key, _)| shadow::parse(key));
            there.extend(lines.filter(|l| state_id(l) == state_key).map(str::to_owned));
        }
        there.extend(forced.iter().filter(|l| state_id(l) == state_key).cloned());
        let Ok(bead_id) = state_key.parse::<BeadId>() else { return Ok(()) };
        for shown in cx.txn.bead(&ws.space, &bead_id)?.shown() {
            if shown.hidden {
                continue;
            }
            let line_id = shown.shown_id.to_string();
            there.remove(&line_id);
            let line = line_hash(&shown.bead);
            let before: Option<ShadowRecord> = cx.txn.record(Table::Shadows, &shadow::key(id, &line_id))?;
            if !forced.contains(&line_id) && before.as_ref().is_some_and(|b| b.line == line) {
                continue;
            }
            let record = ShadowRecord::next(line, Shadow::of(&shown), before.as_ref());
            changes.push((line_id, Some(shown.bead.to_line()), Some(record)));
        }
        changes.extend(there.into_iter().map(|line_id| (line_id, None, None)));
        Ok(())
    }

    /// The new file lies ready: its shadows are kept first, then it may become visible.
    pub(crate) fn prepared(
        &mut self,
        cx: &mut Cx<'_>,
        id: WorkspaceId,
        attempt: u64,
        generation: Generation,
    ) -> Result<(), ViewError> {
        let flight = self.workspaces.get(&id).and_then(|ws| ws.flight.as_ref()).filter(|f| f.attempt == attempt);
        let Some(flight) = flight else { return Ok(()) };
        let intent = rec::Intent { generation, shadows: flight.shadows.clone() };
        cx.txn.put_record(Table::Workspaces, rec::intent_key(id), &intent);
        cx.workspace(WorkspaceEffect::Commit(id, attempt));
        Ok(())
    }
}
