//! One line that two sides changed: field by field, at the top level of the JSON object.
//!
//! Only for the rare line of a displaced file whose bead was also changed by what displaced it. The real merge of
//! beads is the bead model's; here it is enough that no side's change is undone by the other side's old value.

use serde_json::{Map, Value};

/// The current line with the changes from `base` to `theirs` carried over; `None` if one of them is no JSON object.
/// Where both sides changed a field: arrays are folded by element, of other values theirs is taken if
/// `theirs_wins`. `updated_at` stays the current one, so that nobody takes the result for an old line.
pub(crate) fn fold(base: &str, current: &str, theirs: &str, theirs_wins: bool) -> Option<String> {
    let (base, current, theirs) = (object(base)?, object(current)?, object(theirs)?);
    let mut out = current.clone();
    for key in base.keys().chain(theirs.keys()) {
        let (was, is, wanted) = (base.get(key), current.get(key), theirs.get(key));
        if wanted == was || wanted == is {
            continue;
        }
        let value = if is == was {
            wanted.cloned()
        } else if key == "updated_at" {
            continue;
        } else {
            match (is, wanted) {
                (Some(Value::Array(is)), Some(Value::Array(wanted))) => {
                    Some(fold_arrays(was.and_then(Value::as_array), is, wanted))
                }
                _ if theirs_wins => wanted.cloned(),
                _ => continue,
            }
        };
        match value {
            Some(value) => out.insert(key.clone(), value),
            None => out.shift_remove(key),
        };
    }
    serde_json::to_string(&Value::Object(out)).ok()
}

fn fold_arrays(was: Option<&Vec<Value>>, is: &[Value], wanted: &[Value]) -> Value {
    let had = |value: &Value| was.is_some_and(|was| was.contains(value));
    let kept = is.iter().filter(|value| wanted.contains(value) || !had(value));
    let added = wanted.iter().filter(|value| !had(value) && !is.contains(value));
    Value::Array(kept.chain(added).cloned().collect())
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_each_sides_changes() {
        let base = r#"{"id":"a","t":1,"u":1,"gone":1,"labels":["x","y"],"updated_at":"1"}"#;
        let current = r#"{"id":"a","t":2,"u":1,"gone":1,"labels":["x","y","mesh"],"updated_at":"5"}"#;
        let theirs = r#"{"id":"a","t":1,"u":3,"labels":["y","user"],"new":1,"updated_at":"4"}"#;
        assert_eq!(
            fold(base, current, theirs, true).unwrap(),
            r#"{"id":"a","t":2,"u":3,"labels":["y","mesh","user"],"updated_at":"5","new":1}"#
        );
    }

    #[test]
    fn one_side_wins_a_clash() {
        let (base, current, theirs) = (r#"{"t":1}"#, r#"{"t":2}"#, r#"{"t":3}"#);
        assert_eq!(fold(base, current, theirs, true).unwrap(), theirs);
        assert_eq!(fold(base, current, theirs, false).unwrap(), current);
        assert_eq!(fold(base, "[", theirs, true), None);
    }
}
