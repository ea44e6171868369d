//! Changing beads by command.

use super::Answer;
use crate::command::{BATCH_MAX, BeadChange, BeadEdit, SpaceRef};
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use beads::{Bead, BeadId, Shadow, Unit, Write, create_writes, delete_write, diff};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use types::{SpaceId, UnixMs};

/// Titles have 1 to this many bytes, as in bd.
const TITLE_LEN_MAX: usize = 500;

impl Engine {
    pub(super) fn set(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str, change: &BeadChange) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let shown = self.find(cx, &space, id)?;
        let mut bead = shown.bead.clone();
        let by = self.actor();
        edit(&mut bead, change, &by, cx.now)?;
        let writes = changes(&Shadow::of(&shown), bead, cx.now)?;
        let units: Vec<String> = writes.iter().map(|w| w.unit.to_string()).collect();
        self.commit(cx, space, &by, writes)?;
        Ok(Some(json!({ "id": id, "changed": units })))
    }

    pub(super) fn batch(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, edits: &[BeadEdit]) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        if edits.len() > BATCH_MAX {
            let message = format!("{} changes in one batch where {BATCH_MAX} are allowed", edits.len());
            return Err(ApiError::new("batch_too_large", message).hint("send several batches"));
        }
        let by = self.actor();
        let mut seen = BTreeSet::new();
        let mut writes = Vec::new();
        for one in edits {
            if !seen.insert(one.id.as_str()) {
                return Err(ApiError::new("repeated_bead", format!("two changes of \"{}\" in one batch", one.id))
                    .hint("put them into one change, or into two batches"));
            }
            let shown = self.find(cx, &space, &one.id)?;
            let mut bead = shown.bead.clone();
            edit(&mut bead, &one.change, &by, cx.now)?;
            writes.extend(changes(&Shadow::of(&shown), bead, cx.now)?);
        }
        let count = writes.len();
        self.commit(cx, space, &by, writes)?;
        Ok(Some(json!({ "beads": edits.len(), "writes": count })))
    }

    pub(super) fn close_beads(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        ids: &[String],
        reason: Option<&str>,
    ) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let by = self.actor();
        let mut writes = Vec::new();
        for id in ids {
            let shown = self.find(cx, &space, id)?;
            let mut bead = shown.bead.clone();
            bead.set("status", Some("closed".into()));
            bead.set("closed_at", Some(rfc3339(cx.now).into()));
            bead.set("close_reason", reason.map(Value::from));
            writes.extend(changes(&Shadow::of(&shown), bead, cx.now)?);
        }
        self.commit(cx, space, &by, writes)?;
        Ok(Some(json!({ "closed": ids })))
    }

    pub(super) fn delete_beads(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, ids: &[String]) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let by = self.actor();
        let mut writes = Vec::new();
        for id in ids {
            let shown = self.find(cx, &space, id)?;
            let mut note = Map::new();
            note.insert("deleted_by".to_owned(), by.clone().into());
            note.insert("deleted_at".to_owned(), rfc3339(cx.now).into());
            writes.push(delete_write(&shown, note));
        }
        self.commit(cx, space, &by, writes)?;
        Ok(Some(json!({ "deleted": ids })))
    }

    pub(super) fn add(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        title: &str,
        id: Option<String>,
        prefix: Option<String>,
        change: &BeadChange,
    ) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        if title.is_empty() || title.len() > TITLE_LEN_MAX {
            return Err(ApiError::new("bad_title", format!("a title has 1 to {TITLE_LEN_MAX} bytes")));
        }
        let by = self.actor();
        let id = match id {
            Some(id) => id,
            None => self.make_id(cx, &space, title, prefix, change)?,
        };
        let id: BeadId = id.parse().map_err(|e| ApiError::new("bad_id", format!("{e}")))?;
        if cx.txn.bead(&space, &id)?.shown().iter().any(|s| !s.hidden) {
            return Err(ApiError::new("id_taken", format!("there is a bead \"{id}\" already"))
                .hint(format!("townmesh beads show {id}")));
        }
        let mut bead = Bead::new(id.clone());
        let now = rfc3339(cx.now);
        let defaults = [
            ("title", Value::from(title)),
            ("status", "open".into()),
            ("priority", 2.into()),
            ("issue_type", "task".into()),
            ("created_at", now.clone().into()),
            ("created_by", by.clone().into()),
            ("updated_at", now.into()),
        ];
        for (name, value) in defaults {
            bead.set(name, Some(value));
        }
        edit(&mut bead, change, &by, cx.now)?;
        check(&bead)?;
        self.commit(cx, space, &by, create_writes(&bead, None))?;
        Ok(Some(json!({ "id": id.as_str() })))
    }

    /// An id as bd makes them, not taken as far as this host knows.
    fn make_id(
        &self,
        cx: &Cx<'_>,
        space: &SpaceId,
        title: &str,
        prefix: Option<String>,
        change: &BeadChange,
    ) -> Result<String, ApiError> {
        let mut ids = Vec::new();
        self.each_shown(cx, space, &mut |shown| ids.push(shown.shown_id.to_string()))?;
        let named = self.spaces.get(space).map(|s| s.record.name.to_ascii_lowercase());
        let prefix = prefix
            .or_else(|| beads::common_prefix(ids.iter().map(String::as_str)))
            .or(named)
            .unwrap_or_else(|| "bd".to_owned());
        let text = |name: &str| change.fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let taken = |id: &str| ids.iter().any(|known| known == id);
        let top = ids.iter().filter(|id| !id.contains('.')).count();
        beads::make_id(&prefix, title, &text("description"), &self.actor(), cx.now.0 * 1_000_000, top, &taken)
            .ok_or_else(|| ApiError::new("no_free_id", "no free id was found").hint("townmesh beads add TITLE --id ID"))
    }
}

/// Applies a change to a bead's value.
fn edit(bead: &mut Bead, change: &BeadChange, by: &str, now: UnixMs) -> Result<(), ApiError> {
    for (name, value) in &change.fields {
        let value = (!value.is_null()).then(|| value.clone());
        if name == "status" {
            set_status(bead, value.as_ref().and_then(Value::as_str).unwrap_or("open"), now);
        } else if !bead.set(name, value) {
            return Err(ApiError::new("bad_field", format!("\"{name}\" cannot be set like this"))
                .hint("labels, deps and comments have flags of their own; ids never change"));
        }
    }
    for label in &change.add_labels {
        bead.set_label(label, true);
    }
    for label in &change.remove_labels {
        bead.set_label(label, false);
    }
    for (target, kind) in &change.add_deps {
        let mut members = Map::new();
        members.insert("type".to_owned(), kind.clone().into());
        members.insert("created_at".to_owned(), rfc3339(now).into());
        members.insert("created_by".to_owned(), by.into());
        bead.set_dependency(target, Some(members));
    }
    for target in &change.remove_deps {
        bead.set_dependency(target, None);
    }
    for text in &change.comments {
        bead.add_comment(by, text, &rfc3339(now));
    }
    Ok(())
}

/// A status with the times that go with it, as bd keeps them.
fn set_status(bead: &mut Bead, status: &str, now: UnixMs) {
    bead.set("status", Some(status.into()));
    if status == "closed" {
        bead.set("closed_at", Some(rfc3339(now).into()));
    } else {
        bead.set("closed_at", None);
        bead.set("close_reason", None);
        if status == "in_progress" && bead.get("started_at").is_none() {
            bead.set("started_at", Some(rfc3339(now).into()));
        }
    }
}

/// The writes from what was shown to `bead`, stamped as changed now.
fn changes(shadow: &Shadow, mut bead: Bead, now: UnixMs) -> Result<Vec<Write>, ApiError> {
    let unchanged = diff(shadow, &bead).writes.iter().all(|w| w.unit == Unit::UpdatedAt);
    if unchanged {
        return Ok(Vec::new());
    }
    bead.set("updated_at", Some(rfc3339(now).into()));
    check(&bead)?;
    let mut writes = diff(&Shadow { updated_at_ns: None, ..shadow.clone() }, &bead).writes;
    writes.retain(|w| w.unit != Unit::UpdatedAt || shadow.updated_at_ns.is_none_or(|at| ns(now) > at));
    Ok(writes)
}

fn ns(now: UnixMs) -> i128 {
    i128::from(now.0) * 1_000_000
}

/// A bead made here must be one that every host can take in.
fn check(bead: &Bead) -> Result<(), ApiError> {
    match beads::parse_line(&bead.to_line()) {
        Ok(_) => Ok(()),
        Err(err) => Err(ApiError::new(err.code(), err.to_string())),
    }
}

/// RFC 3339 in UTC.
pub(crate) fn rfc3339(now: UnixMs) -> String {
    let at = i64::try_from(now.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_they_were() {
        for ms in [0, 951_782_400_123, 1_795_391_999_999, 4_102_444_800_000] {
            let text = rfc3339(UnixMs(ms));
            assert_eq!(beads::instant_ns(&text), Some(ns(UnixMs(ms))), "{text}");
        }
    }
}
