//! Units with several live values: listing and ending them.

use super::Answer;
use crate::command::{Choice, SpaceRef};
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use beads::{Conflict, Shown, Unit, Write, relation_write, resolve_write};
use serde_json::{Value, json};

/// One conflict as it is listed.
pub(super) fn conflict(shown: &Shown, conflict: &Conflict) -> Value {
    let values: Vec<Value> = conflict
        .values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let by: Vec<String> = v.dots.iter().map(|d| d.writer.host.npub()).collect();
            json!({"n": i + 1, "value": v.value, "absent": v.value.is_none(), "at_ms": v.hlc.ms(), "by": by,
                "baseline": v.baseline, "shown": v.shown})
        })
        .collect();
    json!({"id": shown.shown_id.as_str(), "title": shown.bead.text("title"), "unit": conflict.unit.to_string(),
        "baseline": conflict.baseline, "values": values})
}

impl Engine {
    pub(super) fn conflicts(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        baseline: Option<bool>,
        id: Option<&str>,
    ) -> Answer {
        let space = self.resolve_space(at)?;
        let mut all = Vec::new();
        let mut add = |shown: Shown| {
            let wanted = shown.conflicts.iter().filter(|c| baseline.is_none_or(|b| b == c.baseline));
            all.extend(wanted.map(|c| conflict(&shown, c)));
        };
        match id {
            Some(id) => add(self.find(cx, &space, id)?),
            None => self.each_shown(cx, &space, &mut add)?,
        }
        Ok(Some(json!({ "conflicts": all })))
    }

    pub(super) fn resolve(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        id: Option<&str>,
        unit: Option<&str>,
        choice: &Choice,
        baseline: bool,
    ) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let unit: Option<Unit> = match unit {
            Some(text) => Some(parse_unit(text)?),
            None => None,
        };
        let mut writes = Vec::new();
        match id {
            Some(id) => {
                let shown = self.find(cx, &space, id)?;
                writes = settle(&shown, unit.as_ref(), choice)?;
                if writes.is_empty() {
                    return Err(ApiError::new("no_conflict", format!("nothing to resolve in \"{id}\""))
                        .hint(format!("townmesh beads show {id}")));
                }
            }
            None if *choice != Choice::Shown || unit.is_some() => {
                return Err(ApiError::new(
                    "which_bead",
                    "resolving everything keeps what is shown: name a bead for more",
                )
                .hint("townmesh beads resolve ID [UNIT] --keep N"));
            }
            None => {
                let mut all = Vec::new();
                self.each_shown(cx, &space, &mut |shown| {
                    let open = shown.conflicts.iter().any(|c| c.baseline || !baseline);
                    if open {
                        all.push(shown);
                    }
                })?;
                for shown in all {
                    let some = shown.conflicts.iter().filter(|c| c.baseline || !baseline);
                    for c in some {
                        writes.extend(keep(&shown, c, 0));
                    }
                }
            }
        }
        let count = writes.len();
        let actor = self.actor();
        self.commit(cx, space, &actor, writes)?;
        Ok(Some(json!({ "resolved": count })))
    }

    pub(super) fn same(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, a: &str, b: &str) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let (one, other) = (self.find(cx, &space, a)?, self.find(cx, &space, b)?);
        if one.id != other.id || one.birth == other.birth {
            return Err(ApiError::new("not_one_id", format!("\"{a}\" and \"{b}\" are not two births of one id")));
        }
        let state = cx.txn.bead(&space, &one.id)?;
        let writes = relation_write(&state, one.birth, other.birth, Some(true)).into_iter().collect();
        let actor = self.actor();
        self.commit(cx, space, &actor, writes)?;
        Ok(Some(json!({ "id": one.id.as_str(), "births": 2 })))
    }

    pub(super) fn split(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, id: &str) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let shown = self.find(cx, &space, id)?;
        if shown.births.len() < 2 {
            return Err(ApiError::new("one_birth", format!("\"{id}\" was born once: nothing to split")));
        }
        let state = cx.txn.bead(&space, &shown.id)?;
        let mut writes: Vec<Write> = Vec::new();
        for (i, one) in shown.births.iter().enumerate() {
            for other in &shown.births[i + 1..] {
                writes.extend(relation_write(&state, *one, *other, Some(false)));
            }
        }
        let actor = self.actor();
        self.commit(cx, space, &actor, writes)?;
        let ids: Vec<String> = cx
            .txn
            .bead(&space, &shown.id)?
            .shown()
            .iter()
            .filter(|s| !s.hidden)
            .map(|s| s.shown_id.to_string())
            .collect();
        Ok(Some(json!({ "ids": ids })))
    }
}

/// A unit as people write it: its text form, or a field's bare name.
fn parse_unit(text: &str) -> Result<Unit, ApiError> {
    text.parse::<Unit>().ok().or_else(|| Unit::of_field(text)).ok_or_else(|| {
        ApiError::new("unknown_unit", format!("\"{}\" is no unit", text.chars().take(80).collect::<String>()))
            .hint("townmesh beads conflicts lists them")
    })
}

/// The write that keeps the nth value (from 0) of a conflict.
fn keep(shown: &Shown, conflict: &Conflict, at: usize) -> Option<Write> {
    let value = conflict.values.get(at)?.value.clone();
    resolve_write(shown, &conflict.unit, value)
}

fn settle(shown: &Shown, unit: Option<&Unit>, choice: &Choice) -> Result<Vec<Write>, ApiError> {
    if let Choice::Value(value) = choice {
        let Some(unit) = unit else {
            return Err(ApiError::new("which_unit", "a new value needs a unit")
                .hint("townmesh beads resolve ID UNIT --value JSON"));
        };
        let value = (!value.is_null()).then(|| value.clone());
        return Ok(resolve_write(shown, unit, value).into_iter().collect());
    }
    let mut writes = Vec::new();
    for conflict in shown.conflicts.iter().filter(|c| unit.is_none_or(|u| *u == c.unit)) {
        let at = match choice {
            Choice::Nth(n) => n.saturating_sub(1),
            _ => 0,
        };
        if at >= conflict.values.len() {
            return Err(ApiError::new(
                "no_such_value",
                format!("{} has {} values", conflict.unit, conflict.values.len()),
            )
            .hint(format!("townmesh beads conflicts {}", shown.shown_id)));
        }
        writes.extend(keep(shown, conflict, at));
    }
    Ok(writes)
}
