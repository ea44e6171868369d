//! One line of a beads file, read with everything that can be wrong with it.

use crate::bead::{Bead, BeadId, BeadIdError};
use crate::canon::{ValueError, check_comment_types, check_dep, check_field, check_value};
use crate::diff::birth_info;
use crate::fields::{Rule, field};
use crate::json::{JsonError, parse_json};
use crate::unit::{Unit, UnitError};
use proto::limits::LINE_BYTES_MAX;
use serde_json::{Map, Value};

/// What a line of a beads file is.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A bead.
    Issue(Bead),
    /// A memory of an agent (`_type` is `memory`): passed through, not shared.
    Memory(String),
    /// The header of a file (`_schema`): passed through.
    Header(String),
    /// Of a kind that this version does not know (another `_type`): passed through.
    Other(String),
    /// Nothing but white space.
    Blank,
}

/// Why a line is refused. Nothing of it is used then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("a line of {len} bytes; at most {LINE_BYTES_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A conflict marker of git: the file is not merged yet.
    #[error("a conflict marker of git")]
    ConflictMarker,
    /// Not JSON, too deep, or a repeated key.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but no object.
    #[error("not an object")]
    NotAnObject,
    /// Has no `id`, or one that is no text.
    #[error("no id")]
    NoId,
    /// The `id` cannot be one.
    #[error(transparent)]
    Id(#[from] BeadIdError),
    /// A field has a value that it cannot have, or one that is too large to be shared.
    #[error("field {unit}: {error}")]
    Value {
        /// The unit's text form, or the field's name.
        unit: String,
        /// What is wrong with it.
        error: ValueError,
    },
    /// A label, target or field name is too long.
    #[error(transparent)]
    Unit(#[from] UnitError),
}

impl LineError {
    /// A stable code for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            LineError::TooLong { .. } => "line_too_long",
            LineError::ConflictMarker => "conflict_marker",
            LineError::Json(JsonError::Syntax(_)) => "not_json",
            LineError::Json(JsonError::Depth) => "too_deep",
            LineError::Json(JsonError::RepeatedKey(_)) => "repeated_key",
            LineError::Json(JsonError::ReservedKey(_)) => "reserved_key",
            LineError::NotAnObject => "not_an_object",
            LineError::NoId => "no_id",
            LineError::Id(_) => "bad_id",
            LineError::Value { error: ValueError::TooLarge { .. }, .. } => "value_too_large",
            LineError::Value { .. } => "bad_value",
            LineError::Unit(_) => "bad_name",
        }
    }
}

const MARKERS: [&str; 4] = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"];

/// Reads one line of a beads file.
///
/// # Errors
/// [`LineError`] says what is wrong with it.
pub fn parse_line(line: &str) -> Result<Parsed, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong { len: line.len() });
    }
    let text = line.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']);
    if text.is_empty() {
        return Ok(Parsed::Blank);
    }
    if MARKERS.iter().any(|marker| text.starts_with(marker)) {
        return Err(LineError::ConflictMarker);
    }
    let Value::Object(map) = parse_json(text)? else { return Err(LineError::NotAnObject) };
    if map.contains_key("_schema") && !map.contains_key("id") {
        return Ok(Parsed::Header(line.to_owned()));
    }
    match map.get("_type").map(Value::as_str) {
        None | Some(Some("issue")) => {}
        Some(Some("memory")) => return Ok(Parsed::Memory(line.to_owned())),
        Some(_) => return Ok(Parsed::Other(line.to_owned())),
    }
    bead(map).map(Parsed::Issue)
}

fn bead(map: Map<String, Value>) -> Result<Bead, LineError> {
    let id: BeadId = map.get("id").and_then(Value::as_str).ok_or(LineError::NoId)?.parse()?;
    let wrapped =
        ["_type", "dependency_count", "dependent_count", "comment_count"].iter().any(|name| map.contains_key(*name));
    let mut bead = Bead::new(id);
    for (name, mut value) in map {
        let rule = field(&name).map(|f| f.rule);
        if matches!(rule, Some(Rule::Id | Rule::Derived)) || (wrapped && name == "parent" && value.is_string()) {
            continue;
        }
        let bad = |error| LineError::Value { unit: name.clone(), error };
        check_field(&name, &value).map_err(bad)?;
        match rule {
            Some(Rule::Labels) => check_labels(&value).map_err(bad)?,
            Some(Rule::Dependencies) => take_deps(&mut value).map_err(bad)?,
            Some(Rule::Comments) => take_comments(&mut value).map_err(bad)?,
            _ => {}
        }
        bead.fields.insert(name, value);
    }
    let birth = (Unit::Birth, birth_info(&bead).to_value());
    for (unit, value) in bead.units().into_iter().chain([birth]) {
        unit.check()?;
        check_value(&unit, Some(&value)).map_err(|error| LineError::Value { unit: name_of(&unit), error })?;
    }
    Ok(bead)
}

fn name_of(unit: &Unit) -> String {
    match unit {
        Unit::Field(name) => name.clone(),
        other => other.to_string(),
    }
}

fn kind(field: &str, expected: &'static str) -> ValueError {
    ValueError::Type { field: field.to_owned(), expected }
}

fn check_labels(value: &Value) -> Result<(), ValueError> {
    let good = value.as_array().into_iter().flatten().all(Value::is_string);
    if good { Ok(()) } else { Err(kind("labels", "an array of texts")) }
}

fn take_deps(value: &mut Value) -> Result<(), ValueError> {
    for item in value.as_array_mut().into_iter().flatten() {
        let map = item.as_object_mut().ok_or_else(|| kind("dependencies", "an array of objects"))?;
        map.shift_remove("issue_id");
        let target = map.shift_remove("depends_on_id").unwrap_or(Value::Null);
        if target.as_str().is_none_or(str::is_empty) {
            return Err(kind("depends_on_id", "an id"));
        }
        check_dep(map)?;
        map.shift_insert(0, "depends_on_id".into(), target);
    }
    Ok(())
}

fn take_comments(value: &mut Value) -> Result<(), ValueError> {
    for item in value.as_array_mut().into_iter().flatten() {
        let map = item.as_object_mut().ok_or_else(|| kind("comments", "an array of objects"))?;
        map.shift_remove("issue_id");
        check_comment_types(map)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::limits::VALUE_BYTES_MAX;

    fn issue(line: &str) -> Bead {
        match parse_line(line).unwrap() {
            Parsed::Issue(bead) => bead,
            other => panic!("{other:?}"),
        }
    }

    fn code(line: &str) -> &'static str {
        parse_line(line).map(|p| panic!("{p:?}")).unwrap_err().code()
    }

    #[test]
    fn kinds_of_lines() {
        assert!(matches!(parse_line(" \r"), Ok(Parsed::Blank)));
        assert!(matches!(parse_line(r#"{"_type":"memory","key":"k","value":"v"}"#), Ok(Parsed::Memory(_))));
        assert!(matches!(parse_line(r#"{"_schema":"beads-jsonl/1"}"#), Ok(Parsed::Header(_))));
        assert!(matches!(parse_line(r#"{"_type":"kv","id":"a"}"#), Ok(Parsed::Other(_))));
        assert!(matches!(parse_line("\u{feff}{\"id\":\"a\"}\r"), Ok(Parsed::Issue(_))));
    }

    #[test]
    fn derived_fields_go_and_everything_else_stays() {
        let line = r#"{"_type":"issue","id":"a","title":"<t>","x":[1.50,{"y":null}],"dependency_count":1,"parent":"b","hook_bead":"h","content_hash":"c"}"#;
        assert_eq!(issue(line).to_line(), r#"{"id":"a","title":"<t>","hook_bead":"h","x":[1.50,{"y":null}]}"#);
        assert_eq!(issue(r#"{"id":"a","parent":"b"}"#).to_line(), r#"{"id":"a","parent":"b"}"#);
    }

    #[test]
    fn the_bead_s_own_id_is_written_anew() {
        let line = r#"{"id":"a","dependencies":[{"issue_id":"zzz","depends_on_id":"b","type":"blocks","z":1}],"comments":[{"id":7,"issue_id":"q","author":"x","text":"t","created_at":"2025-01-01T00:00:00Z"},{"author":"y","text":"u"}]}"#;
        let written = issue(line).to_line();
        assert!(written.contains(r#"{"issue_id":"a","depends_on_id":"b","type":"blocks","z":1}"#), "{written}");
        assert!(written.contains(r#"{"id":7,"issue_id":"a","author":"x""#), "{written}");
        assert!(written.contains(r#"{"issue_id":"a","author":"y""#), "{written}");
        assert!(issue(&written).same(&issue(line)));
    }

    #[test]
    fn equality_is_by_value() {
        let same = [
            (r#""priority":0"#, r#""title":"""#),
            (r#""updated_at":"2025-01-01T00:00:00Z""#, r#""updated_at":"2025-01-01T01:00:00.000+01:00""#),
            (r#""labels":["a","b","a"]"#, r#""labels":["b","a"]"#),
            (r#""metadata":{"a":1,"b":2}"#, r#""metadata":{"b":2.0,"a":1}"#),
            (r#""pinned":false,"description":"","labels":[],"timeout":0,"wisp":null"#, r#""compaction_level":0"#),
            (
                r#""dependencies":[{"depends_on_id":"b","metadata":"{}","thread_id":"","created_by":"x"}]"#,
                r#""dependencies":[{"issue_id":"old","depends_on_id":"b","created_at":"2025-01-01T00:00:00Z"}]"#,
            ),
            (
                r#""comments":[{"id":1,"author":"a","text":"t","created_at":"2025-01-01T00:00:00.9Z"}]"#,
                r#""comments":[{"id":"uuid","author":"a","text":"t","created_at":"2025-01-01T00:00:00Z"}]"#,
            ),
            (
                r#""labels":["a"],"dependencies":[{"depends_on_id":"b","type":"x"},{"depends_on_id":"b","type":"y"}]"#,
                r#""labels":["a","a"],"dependencies":[{"depends_on_id":"b","type":"y"}]"#,
            ),
            (r#""waiters":["x","y"]"#, r#""waiters":["y","x"]"#),
        ];
        for (a, b) in same {
            let (a, b) = (issue(&format!("{{\"id\":\"a\",{a}}}")), issue(&format!("{{\"id\":\"a\",{b}}}")));
            assert!(a.same(&b), "{a:?} {b:?}");
        }
        let different = [
            (r#""priority":1"#, r#""title":"""#),
            (r#""labels":["a"]"#, r#""labels":["b"]"#),
            (r#""x":false"#, r#""y":null"#),
            (r#""metadata":{}"#, r#""title":"""#),
            (r#""status":"open""#, r#""status":"closed""#),
            (r#""dependencies":[{"depends_on_id":"b","z":1}]"#, r#""dependencies":[{"depends_on_id":"b","z":2}]"#),
            (r#""comments":[{"text":"t","z":1}]"#, r#""comments":[{"text":"t"}]"#),
            (r#""closed_at":"2025-01-01T00:00:00Z""#, r#""closed_at":"2025-01-01T00:00:01Z""#),
            (r#""estimated_minutes":0"#, r#""title":"""#),
        ];
        for (a, b) in different {
            let (a, b) = (issue(&format!("{{\"id\":\"a\",{a}}}")), issue(&format!("{{\"id\":\"a\",{b}}}")));
            assert!(!a.same(&b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn bad_lines_have_typed_answers() {
        assert_eq!(code(&format!("{{\"id\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX))), "line_too_long");
        assert_eq!(code("<<<<<<< HEAD"), "conflict_marker");
        assert_eq!(code("======="), "conflict_marker");
        assert_eq!(code(r#"{"id":"a""#), "not_json");
        assert_eq!(code(r#"{"id":"a"} x"#), "not_json");
        assert_eq!(code("[1]"), "not_an_object");
        assert_eq!(code(r#"{"title":"t"}"#), "no_id");
        assert_eq!(code(r#"{"id":1}"#), "no_id");
        assert_eq!(code(r#"{"id":""}"#), "bad_id");
        assert_eq!(code(r#"{"id":"a\u0000"}"#), "bad_id");
        assert_eq!(code(&format!("{{\"id\":\"{}\"}}", "x".repeat(257))), "bad_id");
        assert_eq!(code(r#"{"id":"a","id":"b"}"#), "repeated_key");
        assert_eq!(code(&format!("{{\"id\":\"a\",\"x\":{}{}}}", "[".repeat(40), "]".repeat(40))), "too_deep");
        assert_eq!(code(&format!("{{\"id\":\"a\",\"notes\":\"{}\"}}", "x".repeat(VALUE_BYTES_MAX))), "value_too_large");
        assert_eq!(code(&format!("{{\"id\":\"a\",\"labels\":[\"{}\"]}}", "x".repeat(2000))), "bad_name");
        assert_eq!(code(&format!("{{\"id\":\"a\",\"{}\":1}}", "x".repeat(2000))), "bad_name");
    }

    #[test]
    fn wrong_types_of_known_fields_are_refused() {
        let bad = [
            r#""title":1"#,
            r#""priority":"1""#,
            r#""priority":1.5"#,
            r#""priority":1e30"#,
            r#""pinned":1"#,
            r#""updated_at":"soon""#,
            r#""labels":"a""#,
            r#""labels":[1]"#,
            r#""dependencies":[1]"#,
            r#""dependencies":[{"type":"blocks"}]"#,
            r#""dependencies":[{"depends_on_id":"b","type":7}]"#,
            r#""comments":[{"text":1}]"#,
            r#""comments":[{"created_at":"x"}]"#,
            r#""status":["open"]"#,
        ];
        for field in bad {
            assert_eq!(code(&format!("{{\"id\":\"a\",{field}}}")), "bad_value", "{field}");
        }
        issue(r#"{"id":"a","priority":20e-1,"title":null,"closed_at":"","labels":null}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,300}") {
            let _ = parse_line(&text);
        }

        #[test]
        fn a_field_of_any_json_is_answered(
            name in prop::sample::select(crate::fields().iter().map(|f| f.name).collect::<Vec<_>>()),
            value in prop::sample::select(vec!["null", "1", "\"a\"", "[]", "{}", "[[]]", "[{}]", "true", "-1e5",
                "[{\"depends_on_id\":\"\"}]", "[{\"id\":{}}]", "[\"a\",\"a\"]"]),
        ) {
            if let Ok(Parsed::Issue(bead)) = parse_line(&format!("{{\"id\":\"a\",\"{name}\":{value}}}")) {
                prop_assert!(issue(&bead.to_line()).same(&bead));
            }
        }
    }
}
