//! Coupling directories with spaces.

use super::{Ancestors, Workspace};
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::effect::WorkspaceEffect;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::input::{Generation, WorkspaceId, WorkspaceKind};
use crate::records::shadow;
use crate::records::workspace::{self as rec, WorkspaceRecord};
use beads::{Shadow, Unit, Write};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use types::{Dot, Table};

/// Longest directory name in bytes.
const DIR_LEN_MAX: usize = 4096;

impl Engine {
    pub(crate) fn attach(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        dir: &str,
        kind: WorkspaceKind,
        generations: &[String],
        ancestors: BTreeMap<String, Ancestors>,
    ) -> Answer {
        self.writable()?;
        // The directory itself is new here: only a name or the only space can be meant.
        let space = self.resolve_space(&SpaceRef { space: at.space.clone(), cwd: None })?;
        if !dir.starts_with('/') || dir.len() > DIR_LEN_MAX {
            return Err(ApiError::new("bad_dir", "a directory is given by its absolute path"));
        }
        if let Some(known) = self.workspaces.values().find(|w| w.record.dir == dir) {
            if known.space == space && known.kind == kind {
                return Ok(Some(json!({"workspace": known.id, "dir": dir, "attached": false})));
            }
            let how = if known.space == space { "by other means" } else { "to another space" };
            return Err(ApiError::new("dir_taken", format!("{dir} is attached {how} already"))
                .hint(format!("townmesh space detach {dir}")));
        }
        let id = self.workspaces.keys().next_back().map_or(1, |last| last + 1);
        let record = WorkspaceRecord { dir: dir.to_owned(), space: space.0, fresh: true, ..WorkspaceRecord::default() };
        let mut workspace = Workspace::new(id, record, kind, &Vec::new(), cx.up);
        workspace.ancestors = ancestors;
        for text in generations.iter().take(rec::GENERATIONS_MAX as usize) {
            let mut generation: Generation = [0; 20];
            if hex::decode_to_slice(text, &mut generation).is_ok() {
                workspace.record.past.insert(generation);
            }
        }
        cx.txn.put_record(Table::Workspaces, rec::key(id), &workspace.record);
        cx.txn.put_record(Table::Workspaces, rec::kind_key(id), &kind);
        self.workspaces.insert(id, workspace);
        cx.workspace(WorkspaceEffect::Open { workspace: id, dir: dir.to_owned(), kind });
        Ok(Some(json!({"workspace": id, "dir": dir, "attached": true})))
    }

    pub(crate) fn detach(&mut self, cx: &mut Cx<'_>, dir: &str) -> Answer {
        let id = self.workspace_at(dir)?;
        self.workspaces.remove(&id);
        let mut keys = vec![rec::key(id), rec::intent_key(id), rec::young_key(id), rec::kind_key(id)];
        for prefix in [rec::generation_prefix(id), rec::number_prefix(id)] {
            keys.extend(cx.txn.collect(Table::Workspaces, &prefix)?.into_iter().map(|(key, _)| key));
        }
        for key in keys {
            cx.txn.delete(Table::Workspaces, key);
        }
        for (key, _) in cx.txn.collect(Table::Shadows, &shadow::prefix(id))? {
            cx.txn.delete(Table::Shadows, key);
        }
        cx.workspace(WorkspaceEffect::Close(id));
        Ok(Some(json!({ "dir": dir })))
    }

    /// The answer to "did you mean to delete all these?".
    pub(crate) fn deletes(&mut self, cx: &mut Cx<'_>, dir: &str, accept: bool) -> Answer {
        let id = self.workspace_at(dir)?;
        let Some(ws) = self.workspaces.get_mut(&id) else { return Ok(None) };
        let space = ws.space;
        let lines = std::mem::take(&mut ws.record.question);
        if lines.is_empty() {
            return Err(ApiError::new("no_question", format!("nothing was asked about {dir}")));
        }
        cx.txn.put_record(Table::Workspaces, rec::key(id), &ws.record);
        if !accept {
            ws.forced.extend(lines.iter().cloned());
            return Ok(Some(json!({"dir": dir, "restored": lines.len()})));
        }
        self.may_write(&space)?;
        let mut writes = Vec::new();
        for line_id in &lines {
            let key = shadow::key(id, line_id);
            if let Some(record) = cx.txn.record::<shadow::ShadowRecord>(Table::Shadows, &key)? {
                writes.push(delete_line(&record.shadow));
                cx.txn.delete(Table::Shadows, key);
            }
        }
        let actor = format!("{}:file", self.name);
        self.commit(cx, space, &actor, writes)?;
        Ok(Some(json!({"dir": dir, "deleted": lines.len()})))
    }

    fn workspace_at(&self, dir: &str) -> Result<WorkspaceId, ApiError> {
        let known = self.workspaces.values().find(|w| w.record.dir == dir);
        known.map(|w| w.id).ok_or_else(|| {
            ApiError::new("unknown_workspace", format!("{dir} is not attached")).hint("townmesh space ls")
        })
    }
}

/// The line is gone: its bead is deleted by somebody who saw what the shadow says.
pub(super) fn delete_line(shadow: &Shadow) -> Write {
    let seen = shadow.units.iter().filter(|(unit, _)| !unit.is_companion());
    let dots: BTreeSet<Dot> = seen.flat_map(|(_, (_, dots))| dots).copied().collect();
    Write {
        id: shadow.id.clone(),
        birth: shadow.birth,
        unit: Unit::Delete,
        value: Some(json!({})),
        replaces: dots.into_iter().collect(),
        baseline: None,
    }
}
