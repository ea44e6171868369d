//! Beads by value, read without any of the project's crates: what the tests measure the project against.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that tools compute when they write a file.
const DERIVED: [&str; 6] = ["_type", "dependency_count", "dependent_count", "comment_count", "parent", "content_hash"];

/// The beads of a JSONL text by id; the last line of an id counts.
///
/// # Errors
/// When a line is not a JSON object.
pub fn by_id(text: &str) -> Result<BTreeMap<String, Value>> {
    let mut beads = BTreeMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bead: Value = serde_json::from_str(line).with_context(|| format!("line {}", at + 1))?;
        if let Some(id) = bead["id"].as_str() {
            beads.insert(id.to_owned(), bead);
        }
    }
    Ok(beads)
}

/// The first difference between two sets of beads, by value.
pub fn difference(a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> Option<String> {
    for id in a.keys().chain(b.keys()) {
        match (a.get(id), b.get(id)) {
            (Some(one), Some(other)) => {
                let (one, other) = (canonical(one), canonical(other));
                if let Some(field) = one.keys().chain(other.keys()).find(|f| one.get(*f) != other.get(*f)) {
                    return Some(format!("{id}.{field}: {:?} and {:?}", one.get(field), other.get(field)));
                }
            }
            (None, _) => return Some(format!("{id} is only in the second")),
            (_, None) => return Some(format!("{id} is only in the first")),
        }
    }
    None
}

/// A bead's fields as comparable texts, without those that say nothing.
pub fn canonical(bead: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, value) in bead.as_object().into_iter().flatten() {
        if DERIVED.contains(&name.as_str()) {
            continue;
        }
        let text = match name.as_str() {
            "labels" | "waiters" => set(value),
            "dependencies" => dependencies(value),
            "comments" => comments(value),
            _ => plain(name, value),
        };
        if let Some(text) = text {
            out.insert(name.clone(), text);
        }
    }
    out
}

/// Every single thing that a bead says: fields by value, and each label, dependency and comment by itself.
/// Times of creation and change are left out: they are companions, not claims.
pub fn claims(bead: &Value) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for (name, value) in bead.as_object().into_iter().flatten() {
        if DERIVED.contains(&name.as_str()) || matches!(name.as_str(), "id" | "created_at" | "updated_at") {
            continue;
        }
        let items = match (name.as_str(), value) {
            ("labels" | "dependencies" | "comments", Value::Array(items)) => items.iter().collect(),
            _ => vec![value],
        };
        for item in items {
            let one = Value::Array(vec![item.clone()]);
            let text = match name.as_str() {
                "labels" => set(&one),
                "dependencies" => dependencies(&one),
                "comments" => comments(&one),
                "waiters" => set(item),
                _ => plain(name, item),
            };
            all.extend(text.map(|text| (name.clone(), text)));
        }
    }
    all
}

fn plain(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Number(n) if n.as_f64() == Some(0.0) => None,
        Value::Array(items) if items.is_empty() => None,
        Value::String(text) => Some(instant(text).filter(|_| name != "title").unwrap_or_else(|| text.clone())),
        other => Some(sorted(other).to_string()),
    }
}

/// A point in time as nanoseconds, whatever its offset.
fn instant(text: &str) -> Option<String> {
    if text.len() < 20 || !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(|at| format!("@{}", at.as_nanosecond()))
}

fn set(value: &Value) -> Option<String> {
    let items: BTreeSet<String> = value.as_array()?.iter().map(ToString::to_string).collect();
    (!items.is_empty()).then(|| format!("{items:?}"))
}

fn dependencies(value: &Value) -> Option<String> {
    let mut map = BTreeMap::new();
    for edge in value.as_array()? {
        let keep = |name: &str| edge.get(name).and_then(|v| plain(name, v)).filter(|v| v != "{}");
        map.insert(edge["depends_on_id"].to_string(), [keep("type"), keep("metadata"), keep("thread_id")]);
    }
    (!map.is_empty()).then(|| format!("{map:?}"))
}

fn comments(value: &Value) -> Option<String> {
    let comment = |c: &Value| {
        let at = c["created_at"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok()).map(|t| t.as_second());
        (at, c["author"].to_string(), c["text"].to_string())
    };
    let all: BTreeSet<_> = value.as_array()?.iter().map(comment).collect();
    (!all.is_empty()).then(|| format!("{all:?}"))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let by_name: BTreeMap<_, _> = members.iter().collect();
            Value::Object(by_name.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_and_texts_do_not() {
        let one = by_id(
            r#"{"id":"a","title":"t","notes":"","created_at":"2026-01-01T10:00:00Z","labels":["x","y"],"priority":0}"#,
        );
        let other = by_id(r#"{"labels":["y","x"],"created_at":"2026-01-01T02:00:00-08:00","id":"a","title":"t"}"#);
        let third = by_id(r#"{"labels":["y","x"],"created_at":"2026-01-01T02:00:00Z","id":"a","title":"t"}"#);
        let (one, other, third) = (one.unwrap(), other.unwrap(), third.unwrap());
        assert_eq!(difference(&one, &other), None);
        assert!(difference(&one, &third).unwrap().starts_with("a.created_at"));
        assert!(difference(&one, &BTreeMap::new()).unwrap().contains("only in the first"));
    }
}
