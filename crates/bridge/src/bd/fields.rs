//! What bd 1.0 does with each field of an issue, as seen with the real program (docs/interop.md).

use serde_json::{Map, Value};
use std::borrow::Cow;

/// An issue line, taken apart.
pub(crate) type Line = Map<String, Value>;

/// Members that bd's export adds and that say nothing of their own.
pub(crate) const DERIVED: [&str; 5] = ["_type", "dependency_count", "dependent_count", "comment_count", "parent"];

/// Fields that `bd import` writes into an issue that is there already. Everything else it writes for a new one only.
pub(crate) const IMPORTED: [&str; 15] = [
    "title",
    "description",
    "design",
    "acceptance_criteria",
    "notes",
    "status",
    "priority",
    "issue_type",
    "assignee",
    "estimated_minutes",
    "started_at",
    "closed_at",
    "external_ref",
    "close_reason",
    "metadata",
];

/// Fields that `bd update` can set and clear, with their options.
pub(crate) const UPDATED: [(&str, &str); 4] =
    [("due_at", "--due"), ("defer_until", "--defer"), ("spec_id", "--spec-id"), ("await_id", "--await-id")];

/// Fields that are arrays whose elements have an identity, and that import only adds to.
pub(crate) const GROWING: [&str; 3] = ["labels", "dependencies", "comments"];

/// The whole second in which an instant lies: bd keeps no finer time.
pub(crate) fn second(text: &str) -> Option<i64> {
    i64::try_from(beads::instant_ns(text)?.div_euclid(1_000_000_000)).ok()
}

fn is_time(field: &str) -> bool {
    field.ends_with("_at") || matches!(field, "defer_until" | "last_activity")
}

/// Cuts all times to whole seconds. bd rounds them, up as well, and then takes a comment for another one.
pub(crate) fn cut_times(line: &mut Line) {
    for (name, value) in line.iter_mut() {
        match value {
            Value::String(text) if is_time(name) => {
                if let Some(cut) = second(text).and_then(beads::instant_text) {
                    *text = cut;
                }
            }
            Value::Array(items) if GROWING.contains(&name.as_str()) => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(cut_times);
            }
            _ => {}
        }
    }
}

/// What is compared: nothing for the ways to say nothing, whole seconds for instants.
fn normal<'a>(field: &str, value: Option<&'a Value>) -> Option<Cow<'a, Value>> {
    let value = value?;
    let empty = match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Number(number) => field != "priority" && number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    };
    if empty {
        return None;
    }
    match value.as_str().filter(|_| is_time(field)).and_then(second) {
        Some(second) => Some(Cow::Owned(Value::from(second))),
        None => Some(Cow::Borrowed(value)),
    }
}

/// Whether two values say the same, as far as bd can tell.
pub(crate) fn same(field: &str, a: Option<&Value>, b: Option<&Value>) -> bool {
    match (normal(field, a), normal(field, b)) {
        (Some(a), Some(b)) => match (a.as_object(), b.as_object()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| json_eq(v, w))),
            _ => json_eq(&a, &b),
        },
        (None, None) => true,
        _ => false,
    }
}

/// JSON by value: numbers by what they are worth.
fn json_eq(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64().is_some_and(|n| b.as_f64() == Some(n)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_eq(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| json_eq(v, w)))
        }
        _ => a == b,
    }
}

/// What an element of a growing field is known by; `None` if it is not what the field holds.
pub(crate) fn key(field: &str, element: &Value) -> Option<String> {
    let text = |name: &str| element.get(name).and_then(Value::as_str);
    match field {
        "labels" => element.as_str().map(str::to_owned),
        "dependencies" => text("depends_on_id").map(str::to_owned),
        "comments" => {
            let at = text("created_at").and_then(second)?;
            Some(format!("{at}\0{}\0{}", text("author").unwrap_or_default(), text("text")?))
        }
        _ => None,
    }
}

/// Whether two elements with one key say the same.
pub(crate) fn same_element(field: &str, a: &Value, b: &Value) -> bool {
    match (field, a.as_object(), b.as_object()) {
        ("dependencies", Some(a), Some(b)) => a.keys().chain(b.keys()).all(|name| {
            // An edge's own issue is written anew wherever it goes.
            let (a, b) = (a.get(name), b.get(name));
            name == "issue_id" || name == "metadata" && no_metadata(a) && no_metadata(b) || same(name, a, b)
        }),
        // Ids of comments belong to a database.
        ("comments", Some(a), Some(b)) => a
            .keys()
            .chain(b.keys())
            .all(|name| matches!(name.as_str(), "id" | "issue_id") || same(name, a.get(name), b.get(name))),
        _ => a == b,
    }
}

fn no_metadata(value: Option<&Value>) -> bool {
    value.is_none_or(|value| matches!(value.as_str(), Some("" | "{}")) || value.is_null())
}

/// The elements of a growing field by their keys, in their order; elements without a key are left out.
pub(crate) fn elements<'a>(line: &'a Line, field: &str) -> Vec<(String, &'a Value)> {
    let items = line.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| Some((key(field, item)?, item))).collect()
}

/// A field's text; empty if it is none.
pub(crate) fn text<'a>(line: &'a Line, field: &str) -> &'a str {
    line.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_compared_as_bd_keeps_them() {
        let same = |field: &str, a: Value, b: Value| same(field, Some(&a), Some(&b));
        assert!(same("created_at", json!("2026-01-01T10:00:00.9Z"), json!("2026-01-01T02:00:00-08:00")));
        assert!(!same("created_at", json!("2026-01-01T10:00:01Z"), json!("2026-01-01T10:00:00Z")));
        assert!(same("notes", json!(""), Value::Null));
        assert!(same("metadata", json!({"a": 1, "b": [1.0]}), json!({"b": [1], "a": 1})));
        assert!(same("metadata", json!({}), Value::Null));
        assert!(!same("priority", json!(0), Value::Null), "priority 0 is a value");
        assert!(same("original_size", json!(0), Value::Null));
        assert!(!same("title", json!("a"), json!("b")));
    }

    #[test]
    fn times_are_cut_and_nothing_else() {
        let mut line = json!({"id": "a", "created_at": "2026-01-01T01:00:00.9+01:00", "due_at": "soon", "x": {"y_at": "z"},
            "title": "2026-01-01T00:00:00.9Z", "comments": [{"text": "t", "created_at": "2026-01-01T00:00:00.5Z"}]});
        cut_times(line.as_object_mut().unwrap());
        assert_eq!(line["created_at"], "2026-01-01T00:00:00Z");
        assert_eq!(line["comments"][0]["created_at"], "2026-01-01T00:00:00Z");
        assert_eq!((&line["due_at"], &line["title"]), (&json!("soon"), &json!("2026-01-01T00:00:00.9Z")));
    }

    #[test]
    fn elements_are_known_by_what_they_are() {
        let a = json!({"id": "1", "author": "x", "text": "t", "created_at": "2026-01-01T10:00:00.5Z"});
        let b = json!({"id": "2", "author": "x", "text": "t", "created_at": "2026-01-01T10:00:00Z"});
        assert_eq!(key("comments", &a), key("comments", &b));
        assert!(same_element("comments", &a, &b));
        let a = json!({"depends_on_id": "t", "type": "blocks", "created_by": "x", "metadata": "{}"});
        let b = json!({"issue_id": "i", "depends_on_id": "t", "type": "blocks", "created_by": "x"});
        assert!(same_element("dependencies", &a, &b));
        let c = json!({"depends_on_id": "t", "type": "related", "created_by": "x"});
        assert!(!same_element("dependencies", &a, &c));
        assert_eq!(key("labels", &json!(3)), None);
    }
}
