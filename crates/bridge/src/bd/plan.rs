//! Which commands make bd show what it should.

use super::export::{Issues, is_local};
use super::fields::{GROWING, IMPORTED, Line, UPDATED, cut_times, elements, same, second, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Lines that bd should show, by id; `None`: not at all.
pub(crate) type Wanted = BTreeMap<String, Option<Line>>;

/// Commands, in the order in which they are given.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Issue and the labels that it loses.
    pub(crate) unlabel: Vec<(String, Vec<String>)>,
    /// Edges that go: from, to.
    pub(crate) unlink: BTreeSet<(String, String)>,
    /// Lines to import.
    pub(crate) import: Vec<(String, Line)>,
    /// Issues and options of `bd update`.
    pub(crate) update: Vec<(String, Vec<String>)>,
    /// Issues that go.
    pub(crate) delete: Vec<String>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Plan::default()
    }
}

/// What has to be done so that bd, which has `issues`, shows `wanted`. `now` is the present, in seconds. What bd cannot
/// hold is left out, so that nothing is asked of it again and again.
pub(crate) fn plan(issues: &Issues, wanted: &Wanted, now: i64) -> Plan {
    let mut plan = Plan::default();
    let comes = |id: &str| wanted.get(id).is_some_and(|line| line.as_ref().is_some_and(|line| !is_local(line)));
    let goes = |id: &str| wanted.get(id).is_some_and(Option::is_none);
    let exists = |id: &str| id.starts_with("external:") || comes(id) || issues.contains_key(id) && !goes(id);
    for (id, line) in wanted {
        match (issues.get(id), line) {
            (Some(_), None) => plan.delete.push(id.clone()),
            (None, Some(line)) if !is_local(line) => plan.import.push((id.clone(), created(line, now))),
            (Some(has), Some(line)) => plan.change(id, has, line, &exists, now),
            (None, _) => {}
        }
    }
    // bd rewrites the texts of issues that are linked with one that it deletes. Without links it has none to rewrite.
    for (id, line) in issues {
        let targets = elements(line, "dependencies").into_iter().map(|(target, _)| target);
        let gone = targets.filter(|target| goes(id) || goes(target));
        plan.unlink.extend(gone.map(|target| (id.clone(), target)));
    }
    plan
}

fn created(line: &Line, now: i64) -> Line {
    let mut line = line.clone();
    // In the future, it would make all edits until then look old to bd.
    if second(text(&line, "updated_at")).is_none_or(|at| at > now) {
        line.insert("updated_at".into(), Value::from(instant(now)));
    }
    cut_times(&mut line);
    line
}

impl Plan {
    fn change(&mut self, id: &str, has: &Line, line: &Line, exists: &impl Fn(&str) -> bool, now: i64) {
        let mut import = has.clone();
        let mut needed = false;
        for name in IMPORTED {
            if !same(name, has.get(name), line.get(name)) {
                needed = true;
            }
            match line.get(name) {
                Some(value) => drop(import.insert(name.to_owned(), value.clone())),
                None => drop(import.shift_remove(name)),
            }
        }
        for field in GROWING {
            let added = self.change_elements(id, field, has, line, exists);
            needed |= !added.is_empty();
            import.insert(field.to_owned(), Value::Array(added));
        }
        if needed {
            import.insert("updated_at".into(), Value::from(instant(stamp(has, line, now))));
            cut_times(&mut import);
            self.import.push((id.to_owned(), import));
        }
        let options = updates(has, line);
        if !options.is_empty() {
            self.update.push((id.to_owned(), options));
        }
    }

    /// Takes away what goes; returns what comes.
    fn change_elements(
        &mut self,
        id: &str,
        field: &str,
        has: &Line,
        line: &Line,
        exists: &impl Fn(&str) -> bool,
    ) -> Vec<Value> {
        let (has, want) = (elements(has, field), elements(line, field));
        let find =
            |list: &[(String, &Value)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| (*v).clone());
        let mut gone: Vec<String> =
            has.iter().filter(|(key, _)| find(&want, key).is_none()).map(|(key, _)| key.clone()).collect();
        let mut added = Vec::new();
        for (key, element) in &want {
            match find(&has, key) {
                // Of an edge that is there, bd changes nothing but its type, and that by drawing it anew.
                Some(is) if field == "dependencies" && !same("type", is.get("type"), element.get("type")) => {
                    gone.push(key.clone());
                    added.push((*element).clone());
                }
                None if field != "dependencies" || exists(key) => added.push((*element).clone()),
                _ => {}
            }
        }
        match field {
            "labels" if !gone.is_empty() => self.unlabel.push((id.to_owned(), gone)),
            "dependencies" => self.unlink.extend(gone.into_iter().map(|to| (id.to_owned(), to))),
            // bd has no command that takes a comment away.
            _ => {}
        }
        added
    }
}

/// The options of `bd update` for fields that import does not change.
fn updates(has: &Line, line: &Line) -> Vec<String> {
    let mut options = Vec::new();
    for (name, option) in UPDATED {
        if same(name, has.get(name), line.get(name)) {
            continue;
        }
        let value = text(line, name);
        let cut = second(value).filter(|_| name != "spec_id" && name != "await_id").and_then(beads::instant_text);
        options.push(format!("{option}={}", cut.as_deref().unwrap_or(value)));
        // Without a date bd takes a deferred issue for open.
        if name == "defer_until" && text(line, name).is_empty() && text(line, "status") == "deferred" {
            options.push("--status=deferred".into());
        }
    }
    options
}

/// The `updated_at` under which a changed line is imported, in seconds: above what bd has, else bd ignores it; in the
/// past, so that an edit that comes between is above it, and bd ignores the line then.
fn stamp(has: &Line, line: &Line, now: i64) -> i64 {
    let has = second(text(has, "updated_at")).unwrap_or(0);
    match second(text(line, "updated_at")) {
        Some(wanted) if wanted > has && wanted < now => wanted,
        _ => has + 1,
    }
}

/// When the last of these issues was touched, in seconds.
pub(crate) fn newest(issues: &Issues, wanted: &Wanted) -> Option<i64> {
    wanted.keys().filter_map(|id| second(text(issues.get(id)?, "updated_at"))).max()
}

/// An instant as bd writes it.
fn instant(second: i64) -> String {
    beads::instant_text(second).unwrap_or_default()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
