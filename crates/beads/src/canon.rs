//! When two values of a unit are the same, and which values a unit can have at all.

use crate::birth::BirthInfo;
use crate::fields::{Field, Kind, Rule, Zero, field};
use crate::json::{self, JSON_DEPTH_MAX, JsonError};
use crate::time::{instant_ns, second};
use crate::unit::Unit;
use crate::work::WorkStep;
use proto::limits::VALUE_BYTES_MAX;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Why a value cannot be the value of its unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Its JSON is longer than an op can carry.
    #[error("a value of {len} bytes; at most {VALUE_BYTES_MAX} can be shared yet")]
    TooLarge {
        /// Length of the JSON in bytes.
        len: usize,
    },
    /// Nested too deeply, or with a reserved key.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not of the field's type.
    #[error("\"{field}\" is not {expected}")]
    Type {
        /// The field or member.
        field: String,
        /// What it should be, in words.
        expected: &'static str,
    },
    /// An object has a member that belongs elsewhere.
    #[error("\"{0}\" does not belong there")]
    Member(String),
    /// The unit needs a value and has none, or the other way round.
    #[error("a {0} cannot have that value")]
    Shape(&'static str),
    /// The value of a birth or a comment is not the one that its name was computed from.
    #[error("the value does not match the name of the {0}")]
    Key(&'static str),
}

fn wrong(field: &str, expected: &'static str) -> ValueError {
    ValueError::Type { field: field.chars().take(60).collect(), expected }
}

/// Checks the type of one field's value. `null` fits everywhere, everything fits an unknown field.
pub(crate) fn check_field(name: &str, value: &Value) -> Result<(), ValueError> {
    let Some(def) = field(name) else { return Ok(()) };
    let (good, expected) = match (def.kind, value) {
        (_, Value::Null) | (Kind::Json, _) => (true, ""),
        (Kind::Text, v) => (v.is_string(), "a text"),
        (Kind::Int, v) => {
            (v.as_number().is_some_and(|n| json::integer(n.as_str()).is_some()), "a whole number of 64 bits")
        }
        (Kind::Bool, v) => (v.is_boolean(), "true or false"),
        (Kind::Time, v) => (v.as_str().is_some_and(|t| t.is_empty() || instant_ns(t).is_some()), "an RFC 3339 time"),
        (Kind::Set, v) => (v.is_array(), "an array"),
    };
    if good { Ok(()) } else { Err(wrong(name, expected)) }
}

/// Appends a field's canonical form; false, and nothing, when the value is the same as an absent one.
fn push_field(def: Option<&Field>, value: &Value, out: &mut Vec<u8>) -> bool {
    let zero = def.map_or(Zero::Null, |d| d.zero);
    let empties = zero == Zero::Empty;
    match (def.map(|d| d.kind), value) {
        (_, Value::Null) if zero == Zero::Reads0 => out.push(b'0'),
        (_, Value::Null) => return false,
        (Some(Kind::Text | Kind::Time | Kind::Json), Value::String(s)) if empties && s.is_empty() => return false,
        (Some(Kind::Set | Kind::Json), Value::Array(a)) if empties && a.is_empty() => return false,
        (Some(Kind::Bool), Value::Bool(false)) if empties => return false,
        (Some(Kind::Int), Value::Number(n)) if empties && json::canonical_number(n.as_str()) == "0" => return false,
        (Some(Kind::Time), Value::String(s)) => push_time(s, out),
        (Some(Kind::Set), Value::Array(items)) => push_set(items, out),
        _ => json::write_canonical(value, out),
    }
    true
}

fn push_time(text: &str, out: &mut Vec<u8>) {
    match instant_ns(text) {
        Some(ns) => out.extend_from_slice(format!("@{ns}").as_bytes()),
        None => json::write_string(text, out),
    }
}

fn push_set(items: &[Value], out: &mut Vec<u8>) {
    let mut members: Vec<Vec<u8>> = Vec::with_capacity(items.len());
    for item in items {
        let mut member = Vec::new();
        json::write_canonical(item, &mut member);
        members.push(member);
    }
    members.sort_unstable();
    members.dedup();
    out.push(b'[');
    for member in members {
        out.extend_from_slice(&member);
        out.push(b',');
    }
    out.push(b']');
}

/// Appends the present members of an object in the order of their names; false when there are none.
fn push_members(map: &Map<String, Value>, mut push: impl FnMut(&str, &Value, &mut Vec<u8>) -> bool) -> Option<Vec<u8>> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(k, _)| *k);
    let mut out = Vec::new();
    for (name, value) in entries {
        let mut member = Vec::new();
        if push(name, value, &mut member) {
            json::write_string(name, &mut out);
            out.push(b':');
            out.append(&mut member);
            out.push(b',');
        }
    }
    (!out.is_empty()).then_some(out)
}

fn push_dep_member(name: &str, value: &Value, out: &mut Vec<u8>) -> bool {
    match (name, value) {
        ("created_at" | "created_by", _) | (_, Value::Null) => return false,
        ("type" | "metadata" | "thread_id", Value::String(s)) if s.is_empty() => return false,
        ("metadata", Value::String(s)) => match json::parse_json(s) {
            Ok(Value::Object(map)) if map.is_empty() => return false,
            Ok(inner) => json::write_canonical(&inner, out),
            Err(_) => json::write_string(s, out),
        },
        _ => json::write_canonical(value, out),
    }
    true
}

fn push_comment_member(name: &str, value: &Value, out: &mut Vec<u8>) -> bool {
    match (name, value) {
        ("id" | "issue_id", _) | (_, Value::Null) => return false,
        ("author" | "text", Value::String(s)) if s.is_empty() => return false,
        ("created_at", Value::String(s)) => match instant_ns(s) {
            Some(ns) => out.extend_from_slice(format!("@{}", second(ns)).as_bytes()),
            None => json::write_string(s, out),
        },
        _ => json::write_canonical(value, out),
    }
    true
}

/// The canonical form of a unit's value: equal exactly for values that count as equal. `None`: absent.
pub(crate) fn canonical(unit: &Unit, value: Option<&Value>) -> Option<Vec<u8>> {
    let name = match unit {
        Unit::Field(name) => name.as_str(),
        Unit::CreatedAt => "created_at",
        Unit::UpdatedAt => "updated_at",
        Unit::Lifecycle | Unit::Compaction => {
            return push_members(value?.as_object()?, |name, v, out| push_field(field(name), v, out));
        }
        // An edge or a comment without members is still there.
        Unit::Dep(_) => return Some(push_members(value?.as_object()?, push_dep_member).unwrap_or_default()),
        Unit::Comment(_) => return Some(push_members(value?.as_object()?, push_comment_member).unwrap_or_default()),
        Unit::Birth | Unit::Label(_) | Unit::Delete | Unit::Relation(_) | Unit::Work(_) => {
            let mut out = Vec::new();
            json::write_canonical(value?, &mut out);
            return Some(out);
        }
    };
    let mut out = Vec::new();
    push_field(field(name), value.unwrap_or(&Value::Null), &mut out).then_some(out)
}

/// A hash of a unit's value that is equal for values that count as equal (times as instants, sets as sets, numbers
/// by value; see `docs/fields.md`). `None` stands for an absent value.
pub fn canonical_hash(unit: &Unit, value: Option<&Value>) -> u64 {
    hash_canonical(canonical(unit, value).as_deref())
}

pub(crate) fn hash_canonical(canonical: Option<&[u8]>) -> u64 {
    let mut hasher = Sha256::new();
    match canonical {
        None => hasher.update([0]),
        Some(bytes) => {
            hasher.update([1]);
            hasher.update(bytes);
        }
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// The key of a comment: 16 bytes of SHA-256 over author, UTC second and text.
pub(crate) fn comment_key(value: &Map<String, Value>) -> Option<[u8; 16]> {
    let text = |name: &str| match value.get(name) {
        None | Some(Value::Null) => Some(""),
        Some(v) => v.as_str(),
    };
    let (author, body) = (text("author")?, text("text")?);
    let at = match text("created_at")? {
        "" => 0,
        time => second(instant_ns(time)?),
    };
    let mut hasher = Sha256::new();
    hasher.update(b"townmesh/comment/1\0");
    hasher.update((author.len() as u64).to_be_bytes());
    hasher.update(author);
    hasher.update(at.to_be_bytes());
    hasher.update(body);
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize()[..16]);
    Some(key)
}

/// Checks that `value` can be the value of `unit`.
pub(crate) fn check_value(unit: &Unit, value: Option<&Value>) -> Result<(), ValueError> {
    let Some(value) = value else {
        return match unit {
            Unit::Birth => Err(ValueError::Shape("birth")),
            Unit::Comment(_) => Err(ValueError::Shape("comment")),
            Unit::Work(_) => Err(ValueError::Shape("work")),
            _ => Ok(()),
        };
    };
    json::check_depth(value, JSON_DEPTH_MAX)?;
    check_size(value)?;
    match unit {
        Unit::Field(name) => check_field(name, value),
        Unit::CreatedAt => check_field("created_at", value),
        Unit::UpdatedAt => check_field("updated_at", value),
        Unit::Lifecycle => check_composite(value, Rule::Lifecycle, "lifecycle"),
        Unit::Compaction => check_composite(value, Rule::Compaction, "compaction"),
        Unit::Label(_) if *value == Value::Bool(true) => Ok(()),
        Unit::Label(_) => Err(ValueError::Shape("label")),
        Unit::Dep(_) => check_dep(object(value, "dependency")?),
        Unit::Comment(key) => check_comment(object(value, "comment")?, key),
        Unit::Birth => BirthInfo::from_value(value).map(|_| ()).ok_or(ValueError::Shape("birth")),
        Unit::Delete => object(value, "delete").map(|_| ()),
        Unit::Relation(_) if matches!(value.as_str(), Some("same" | "split")) => Ok(()),
        Unit::Relation(_) => Err(ValueError::Shape("relation")),
        Unit::Work(_) => WorkStep::from_value(value).map(|_| ()).ok_or(ValueError::Shape("work")),
    }
}

fn check_size(value: &Value) -> Result<(), ValueError> {
    // A character takes at most six bytes when escaped: short texts need no second look.
    if value.as_str().is_some_and(|s| s.len() * 6 + 2 <= VALUE_BYTES_MAX) {
        return Ok(());
    }
    let len = value.to_string().len();
    if len > VALUE_BYTES_MAX { Err(ValueError::TooLarge { len }) } else { Ok(()) }
}

fn object<'a>(value: &'a Value, what: &'static str) -> Result<&'a Map<String, Value>, ValueError> {
    value.as_object().ok_or(ValueError::Shape(what))
}

fn check_composite(value: &Value, rule: Rule, what: &'static str) -> Result<(), ValueError> {
    for (name, member) in object(value, what)? {
        if field(name).map(|f| f.rule) != Some(rule) {
            return Err(ValueError::Member(name.chars().take(60).collect()));
        }
        check_field(name, member)?;
    }
    Ok(())
}

fn check_text(map: &Map<String, Value>, name: &'static str) -> Result<(), ValueError> {
    match map.get(name) {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(_) => Err(wrong(name, "a text")),
    }
}

fn check_time(map: &Map<String, Value>, name: &'static str) -> Result<(), ValueError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(s)) if s.is_empty() || instant_ns(s).is_some() => Ok(()),
        Some(_) => Err(wrong(name, "an RFC 3339 time")),
    }
}

pub(crate) fn check_dep(map: &Map<String, Value>) -> Result<(), ValueError> {
    for name in ["issue_id", "depends_on_id"] {
        if map.contains_key(name) {
            return Err(ValueError::Member(name.into()));
        }
    }
    for name in ["type", "created_by", "metadata", "thread_id"] {
        check_text(map, name)?;
    }
    check_time(map, "created_at")
}

fn check_comment(map: &Map<String, Value>, key: &[u8; 16]) -> Result<(), ValueError> {
    for name in ["id", "issue_id"] {
        if map.contains_key(name) {
            return Err(ValueError::Member(name.into()));
        }
    }
    check_comment_types(map)?;
    if comment_key(map).as_ref() == Some(key) { Ok(()) } else { Err(ValueError::Key("comment")) }
}

pub(crate) fn check_comment_types(map: &Map<String, Value>) -> Result<(), ValueError> {
    check_text(map, "author")?;
    check_text(map, "text")?;
    check_time(map, "created_at")
}
