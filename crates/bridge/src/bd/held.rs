//! What bd cannot hold: what a line should say, and what bd shows in its place.
//!
//! bd drops some fields, cuts times to seconds and credits edges to whoever imports them. Each such line has a
//! [`Held`]: as long as bd goes on showing what it showed right after the write, the line reads as it was meant.

use super::export::is_local;
use super::fields::{GROWING, IMPORTED, Line, elements, same, same_element, second, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// A line that bd cannot hold in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The line as it was meant.
    pub full: Line,
    /// What bd shows of it, apart from what somebody changed and nobody was told yet; `None` if bd does not have the issue at all.
    pub shown: Option<Line>,
    /// Names of the fields that bd holds differently or not at all, sorted.
    pub fields: Vec<String>,
}

impl Held {
    /// bd should have this issue and does not; some are never given to it.
    pub(crate) fn is_refused(&self) -> bool {
        self.shown.is_none() && !is_local(&self.full)
    }

    /// Takes over what somebody changed in bd since. Returns whether bd shows another line than before.
    pub(crate) fn advance(&mut self, now: &Line) -> bool {
        let Some(shown) = self.shown.as_ref().filter(|shown| *shown != now) else { return false };
        self.full = carry(&self.full, shown, now);
        self.shown = Some(now.clone());
        true
    }
}

/// What became of a line that was written.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Settled {
    /// What of bd's line goes back to what was written: the rest is somebody else's change.
    pub(crate) shown: Line,
    /// Names of fields that bd does not hold as they were meant.
    pub(crate) lost: BTreeSet<String>,
    /// Elements of growing fields that should be gone and are not.
    pub(crate) stuck: bool,
}

/// What became of the import of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// There was none, or bd refused it.
    Not,
    /// bd took it, and nobody has touched the issue since.
    Untouched,
    /// bd took it, and then somebody changed the issue.
    Touched,
}

/// Compares what was wanted with what bd shows after the write. What bd shows as before was not taken, unless import is
/// known to change it and was taken: then somebody changed it back. What is neither as before nor as wanted is
/// somebody's change, unless nobody touched the issue since our import: then it is what bd made of it. `exists` tells
/// whether bd has an issue.
pub(crate) fn settle(
    before: &Line,
    wanted: &Line,
    after: &Line,
    import: Import,
    exists: impl Fn(&str) -> bool,
) -> Settled {
    let mut out = Settled { shown: after.clone(), ..Settled::default() };
    let names: BTreeSet<&String> = before.keys().chain(wanted.keys()).chain(after.keys()).collect();
    for name in names {
        if GROWING.contains(&name.as_str()) {
            settle_elements(name, before, wanted, after, &exists, &mut out);
            continue;
        }
        let (was, want, is) = (before.get(name), wanted.get(name), after.get(name));
        if same(name, want, is) {
            // Finer than bd's seconds, for one: equal for bd, but not for others.
            if want != is && want.is_some() {
                out.lost.insert(name.clone());
            }
        } else if import == Import::Untouched
            || same(name, was, is) && !(import == Import::Touched && IMPORTED.contains(&name.as_str()))
            || name == "updated_at"
        {
            out.lost.insert(name.clone());
        } else {
            put(&mut out.shown, name, want.cloned());
        }
    }
    out
}

fn settle_elements(
    field: &str,
    before: &Line,
    wanted: &Line,
    after: &Line,
    exists: &impl Fn(&str) -> bool,
    out: &mut Settled,
) {
    let (before, wanted, after) = (elements(before, field), elements(wanted, field), elements(after, field));
    let find = |list: &[(String, &Value)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| (*v).clone());
    let keys: BTreeSet<&String> = before.iter().chain(&wanted).chain(&after).map(|(key, _)| key).collect();
    let mut shown = Vec::new();
    for key in keys {
        match (find(&before, key), find(&wanted, key), find(&after, key)) {
            (_, Some(want), Some(is)) if same_element(field, &want, &is) => shown.push(is),
            (was, Some(want), Some(is)) => {
                // The type is what people change; who drew an edge and when is what bd writes itself.
                let kind = |edge: &Value| edge.get("type").cloned();
                let changed = kind(&is) != kind(&want) && was.as_ref().map(kind) != Some(kind(&is));
                out.lost.insert(field.to_owned());
                shown.push(if changed { want } else { is });
            }
            (Some(_), Some(want), None) if field != "dependencies" || exists(key) => shown.push(want),
            (_, Some(_), None) => drop(out.lost.insert(field.to_owned())),
            (Some(_), None, Some(is)) if field != "comments" => {
                out.stuck = true;
                shown.push(is);
            }
            // A comment that was there before never goes away.
            (Some(_), None, Some(_)) | (None, None, Some(_)) | (_, None, None) => {}
        }
    }
    put(&mut out.shown, field, (!shown.is_empty()).then_some(Value::Array(shown)));
}

/// The full line with what changed in bd from `shown` to `now` carried over: bd's newest word counts.
pub(crate) fn carry(full: &Line, shown: &Line, now: &Line) -> Line {
    let mut out = full.clone();
    let mut changed = false;
    let names: BTreeSet<&String> = shown.keys().chain(now.keys()).collect();
    for name in names {
        if GROWING.contains(&name.as_str()) {
            changed |= carry_elements(name, full, shown, now, &mut out);
        } else if name != "updated_at" && !same(name, shown.get(name), now.get(name)) {
            changed = true;
            put(&mut out, name, now.get(name).cloned());
        }
    }
    // Older than the full line's it would look like an old copy, which what bd shows now is not.
    if changed && second(text(now, "updated_at")) > second(text(full, "updated_at")) {
        put(&mut out, "updated_at", now.get("updated_at").cloned());
    }
    out
}

fn carry_elements(field: &str, full: &Line, shown: &Line, now: &Line, out: &mut Line) -> bool {
    let (full, shown, now) = (elements(full, field), elements(shown, field), elements(now, field));
    let find = |list: &[(String, &Value)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| (*v).clone());
    let mut items = Vec::new();
    let mut changed = false;
    for (key, element) in &full {
        match (find(&shown, key), find(&now, key)) {
            (Some(_), None) => changed = true,
            (Some(was), Some(is)) if !same_element(field, &was, &is) => {
                changed = true;
                items.push(is);
            }
            _ => items.push((*element).clone()),
        }
    }
    for (key, element) in &now {
        if find(&full, key).is_none() && find(&shown, key).is_none() {
            changed = true;
            items.push((*element).clone());
        }
    }
    if changed {
        put(out, field, (!items.is_empty()).then_some(Value::Array(items)));
    }
    changed
}

fn put(line: &mut Line, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(line.insert(name.to_owned(), value)),
        None => drop(line.shift_remove(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(value: Value) -> Line {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_bd_drops_is_kept_and_comes_back() {
        let before = line(json!({"id": "a", "title": "old", "updated_at": "2026-01-01T00:00:00Z"}));
        let wanted = line(json!({"id": "a", "title": "new", "pinned": true, "zeal": 3, "owner": "o",
            "created_at": "2026-01-01T00:00:00.25Z", "updated_at": "2026-01-02T00:00:00Z",
            "dependencies": [{"depends_on_id": "gone", "type": "blocks"}, {"depends_on_id": "b", "type": "blocks",
                "created_by": "ann"}]}));
        let after = line(json!({"id": "a", "title": "new", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:01Z",
            "dependencies": [{"issue_id": "a", "depends_on_id": "b", "type": "blocks", "created_by": "townmesh"}]}));
        let settled = settle(&before, &wanted, &after, Import::Not, |id| id == "b");
        let lost: Vec<&str> = settled.lost.iter().map(String::as_str).collect();
        assert_eq!(lost, ["created_at", "dependencies", "owner", "pinned", "updated_at", "zeal"]);
        assert_eq!(carry(&wanted, &settled.shown, &after), wanted, "unchanged in bd: the line as it was meant");

        let mut edited = after.clone();
        edited["title"] = json!("by hand");
        edited["updated_at"] = json!("2026-01-03T00:00:00Z");
        edited["dependencies"] = json!([]);
        edited.insert("labels".into(), json!(["x"]));
        let seen = carry(&wanted, &settled.shown, &edited);
        assert_eq!(
            (&seen["title"], &seen["pinned"], &seen["labels"]),
            (&json!("by hand"), &json!(true), &json!(["x"]))
        );
        assert_eq!(seen["updated_at"], "2026-01-03T00:00:00Z");
        assert_eq!(seen["dependencies"], json!([{"depends_on_id": "gone", "type": "blocks"}]), "b's edge was removed");
    }

    #[test]
    fn a_change_that_came_between_is_somebodys_edit() {
        let before = line(json!({"id": "a", "title": "old", "labels": ["x", "y"]}));
        let wanted = line(json!({"id": "a", "title": "mine", "labels": ["x", "y", "w"]}));
        let after = line(json!({"id": "a", "title": "theirs", "labels": ["w", "x", "z"]}));
        let settled = settle(&before, &wanted, &after, Import::Touched, |_| true);
        assert!(settled.lost.is_empty() && !settled.stuck);
        let seen = carry(&wanted, &settled.shown, &after);
        assert_eq!(seen["title"], "theirs");
        assert_eq!(seen["labels"], json!(["x", "w", "z"]), "y was removed and z added by them");
    }

    #[test]
    fn an_edit_back_to_what_was_before_is_an_edit() {
        let before = line(json!({"id": "a", "status": "in_progress", "started_at": "2026-01-01T00:00:00Z", "zeal": 1}));
        let wanted = line(json!({"id": "a", "status": "closed", "closed_at": "2026-01-02T00:00:00Z", "zeal": 2}));
        let after = line(json!({"id": "a", "status": "in_progress", "started_at": "2026-01-03T00:00:00Z", "zeal": 1}));
        let settled = settle(&before, &wanted, &after, Import::Touched, |_| true);
        assert_eq!(settled.lost.iter().map(String::as_str).collect::<Vec<_>>(), ["zeal"], "what import never changes");
        let seen = carry(&wanted, &settled.shown, &after);
        let status = |line: &Line| ["status", "started_at", "closed_at"].map(|name| line.get(name).cloned());
        assert_eq!(status(&seen), status(&after));
        let refused = settle(&before, &wanted, &before, Import::Not, |_| true);
        assert_eq!(carry(&wanted, &refused.shown, &before), wanted, "what bd refused stays wanted");
    }

    #[test]
    fn what_should_be_gone_and_is_not_is_no_edit() {
        let before = line(json!({"id": "a", "labels": ["x"]}));
        let wanted = line(json!({"id": "a"}));
        let settled = settle(&before, &wanted, &before, Import::Not, |_| true);
        assert!(settled.stuck);
        assert_eq!(carry(&wanted, &settled.shown, &before), wanted);
    }

    #[test]
    fn a_slow_clock_does_not_make_an_edit_old() {
        let full = line(json!({"id": "a", "title": "t", "updated_at": "2030-01-01T00:00:00Z"}));
        let shown = line(json!({"id": "a", "title": "t", "updated_at": "2026-01-01T00:00:00Z"}));
        let now = line(json!({"id": "a", "title": "u", "updated_at": "2026-01-01T00:00:05Z"}));
        let seen = carry(&full, &shown, &now);
        assert_eq!((&seen["title"], &seen["updated_at"]), (&json!("u"), &json!("2030-01-01T00:00:00Z")));
    }
}
