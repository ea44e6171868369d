//! Writes that were interrupted: what stands there because we wrote it is nobody's edit.

use super::line_hash;
use crate::engine::{Cx, Engine};
use crate::input::{FileLine, FileSnapshot, Generation, WorkspaceId};
use crate::records::shadow::{self, ShadowRecord};
use crate::records::workspace as rec;
use beads::{Bead, Parsed, canonical_hash, parse_line};
use std::collections::BTreeMap;
use types::{Table, ViewError};

impl Engine {
    /// A file that we were about to write is there: its shadows hold, even if we never heard so.
    pub(super) fn promote_intent(
        &mut self,
        cx: &mut Cx<'_>,
        id: WorkspaceId,
        generation: &Generation,
    ) -> Result<(), ViewError> {
        let key = rec::intent_key(id);
        let Some(intent) = cx.txn.record::<rec::Intent>(Table::Workspaces, &key)? else { return Ok(()) };
        if intent.generation != *generation {
            return Ok(());
        }
        cx.txn.delete(Table::Workspaces, key);
        if let Some(ws) = self.workspaces.get_mut(&id) {
            Self::remember_generation(cx, ws, *generation)?;
        }
        self.hold(cx, id, intent.shadows);
        Ok(())
    }

    /// A write that was interrupted, or failed half-way: what stands there as we were about to write it is no edit.
    pub(super) fn promote_lines(
        &mut self,
        cx: &mut Cx<'_>,
        id: WorkspaceId,
        snapshot: &FileSnapshot,
    ) -> Result<(), ViewError> {
        let key = rec::intent_key(id);
        let Some(intent) = cx.txn.record::<rec::Intent>(Table::Workspaces, &key)? else { return Ok(()) };
        cx.txn.delete(Table::Workspaces, key);
        let bead = |line: &FileLine| match parse_line(&line.text) {
            Ok(Parsed::Issue(bead)) => Some((bead.id.to_string(), bead)),
            _ => None,
        };
        let there: BTreeMap<String, Bead> = snapshot.changed.iter().filter_map(bead).collect();
        let mut done = Vec::new();
        for (line_id, meant) in intent.shadows {
            match (meant, there.get(&line_id)) {
                (Some(meant), Some(bead)) if meant.line == line_hash(bead) => done.push((line_id, Some(meant))),
                (Some(meant), Some(bead)) => {
                    let before = cx.txn.record(Table::Shadows, &shadow::key(id, &line_id))?;
                    done.push((line_id, Some(partly(before, &meant, bead))));
                }
                (None, None) if snapshot.first || snapshot.missing.contains(&line_id) => done.push((line_id, None)),
                (Some(_) | None, _) => {}
            }
        }
        self.hold(cx, id, done);
        Ok(())
    }

    /// What was meant to be shown is shown.
    fn hold(&mut self, cx: &mut Cx<'_>, id: WorkspaceId, shadows: Vec<(String, Option<ShadowRecord>)>) {
        let Some(ws) = self.workspaces.get_mut(&id) else { return };
        let written = shadows.iter().filter(|(_, record)| record.is_some()).map(|(line_id, _)| line_id.clone());
        let young = ws.written(written.collect::<Vec<_>>().into_iter(), cx.up);
        cx.txn.put_record(Table::Workspaces, rec::young_key(id), &young);
        cx.txn.put_record(Table::Workspaces, rec::key(id), &ws.record);
        for (line_id, record) in shadows {
            let key = shadow::key(id, &line_id);
            match record {
                Some(record) => cx.txn.put_record(Table::Shadows, key, &record),
                None => cx.txn.delete(Table::Shadows, key),
            }
        }
    }
}

/// The shadow of a line that is not quite as it was to be written: a program that keeps beads in its own way has changed
/// it, or somebody has since. Where it agrees, it is what we wrote; the rest is compared with what was there before.
fn partly(before: Option<ShadowRecord>, meant: &ShadowRecord, bead: &Bead) -> ShadowRecord {
    let now = bead.units();
    let mut record = before.unwrap_or_else(|| {
        let mut shadow = meant.shadow.clone();
        shadow.units.clear();
        ShadowRecord { line: 0, shadow, past: Default::default() }
    });
    for (unit, (hash, dots)) in &meant.shadow.units {
        if now.get(unit).is_some_and(|value| canonical_hash(unit, Some(value)) == *hash) {
            record.shadow.units.insert(unit.clone(), (*hash, dots.clone()));
        }
    }
    record
}
