//! JSON as strangers write it: checked for depth and repeated keys before it is read, and a canonical form for
//! comparing by value.

use serde_json::Value;
use std::borrow::Cow;

/// How deeply arrays and objects may be nested in a line or a value.
pub const JSON_DEPTH_MAX: usize = 32;

/// Why a text is refused as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// Nested more than [`JSON_DEPTH_MAX`] deep.
    #[error("nested more than {JSON_DEPTH_MAX} deep")]
    Depth,
    /// An object names a key twice: which value is meant is anybody's guess.
    #[error("key \"{0}\" twice in one object")]
    RepeatedKey(String),
    /// A key that the JSON library uses for itself; it would be read as something else than it says.
    #[error("reserved key \"{0}\"")]
    ReservedKey(String),
}

/// Keys with this beginning are how `serde_json` passes numbers and raw texts through serde.
const RESERVED: &str = "$serde_json::private::";

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Reads a JSON value, refusing repeated keys and deep nesting.
///
/// # Errors
/// [`JsonError`].
pub fn parse_json(text: &str) -> Result<Value, JsonError> {
    scan(text)?;
    serde_json::from_str(text).map_err(|e| JsonError::Syntax(e.to_string()))
}

/// The end (exclusive) of the string that begins with the quote at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    Err(JsonError::Syntax("a string does not end".into()))
}

/// One array or object that is open: the keys so far, and whether a string that comes now is a key.
struct Open<'a> {
    object: bool,
    key_next: bool,
    keys: Vec<Cow<'a, str>>,
}

fn close(open: Option<Open<'_>>) -> Result<(), JsonError> {
    let Some(mut open) = open else { return Err(JsonError::Syntax("a bracket closes nothing".into())) };
    open.keys.sort_unstable();
    match open.keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(JsonError::RepeatedKey(short(&pair[0]))),
        None => Ok(()),
    }
}

/// Looks for repeated keys and nesting only; whether the rest is JSON is the parser's to say.
fn scan(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let mut stack: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at)?;
                if let Some(top) = stack.last_mut().filter(|top| top.key_next) {
                    top.keys.push(key(&text[at..end])?);
                    top.key_next = false;
                }
                at = end;
                continue;
            }
            b'{' | b'[' => {
                if stack.len() >= JSON_DEPTH_MAX {
                    return Err(JsonError::Depth);
                }
                let object = *byte == b'{';
                stack.push(Open { object, key_next: object, keys: Vec::new() });
            }
            b'}' | b']' => close(stack.pop())?,
            b',' => {
                if let Some(top) = stack.last_mut() {
                    top.key_next = top.object;
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn key(quoted: &str) -> Result<Cow<'_, str>, JsonError> {
    let key = if quoted.contains('\\') {
        Cow::Owned(serde_json::from_str::<String>(quoted).map_err(|e| JsonError::Syntax(e.to_string()))?)
    } else {
        Cow::Borrowed(&quoted[1..quoted.len() - 1])
    };
    if key.starts_with(RESERVED) { Err(JsonError::ReservedKey(short(&key))) } else { Ok(key) }
}

/// Whether a value that did not come through [`parse_json`] keeps its rules.
pub(crate) fn check_depth(value: &Value, left: usize) -> Result<(), JsonError> {
    match value {
        Value::Array(items) if left > 0 => items.iter().try_for_each(|v| check_depth(v, left - 1)),
        Value::Object(map) if left > 0 => map.iter().try_for_each(|(k, v)| {
            if k.starts_with(RESERVED) {
                return Err(JsonError::ReservedKey(short(k)));
            }
            check_depth(v, left - 1)
        }),
        Value::Array(_) | Value::Object(_) => Err(JsonError::Depth),
        _ => Ok(()),
    }
}

/// Appends the canonical form: keys sorted, numbers by value, no white space.
pub(crate) fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) => out.extend_from_slice(canonical_number(n.as_str()).as_bytes()),
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(k, _)| *k);
            out.push(b'{');
            for (i, (k, v)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(k, out);
                out.push(b':');
                write_canonical(v, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    // SAFETY: writing a string into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// A decimal number by value: `[-]digits[e exponent]` without leading or trailing zeros, so that `1`, `1.0` and
/// `10e-1` are one. A number whose exponent does not fit 64 bits stays as it is written.
pub(crate) fn canonical_number(text: &str) -> String {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let trimmed = digits.trim_start_matches('0');
    let kept = trimmed.trim_end_matches('0');
    if kept.is_empty() {
        return "0".into();
    }
    let Ok(exponent) = exponent.parse::<i64>() else { return text.to_owned() };
    let shift = (trimmed.len() - kept.len()) as i64 - fraction.len() as i64;
    let Some(exponent) = exponent.checked_add(shift) else { return text.to_owned() };
    let sign = if negative { "-" } else { "" };
    if exponent == 0 { format!("{sign}{kept}") } else { format!("{sign}{kept}e{exponent}") }
}

/// The whole number that a JSON number is by value (`2`, `2.0`, `20e-1`), if it fits.
pub(crate) fn integer(number: &str) -> Option<i64> {
    let canonical = canonical_number(number);
    let Some((digits, zeros)) = canonical.split_once('e') else { return canonical.parse().ok() };
    let zeros = zeros.parse::<usize>().ok().filter(|zeros| *zeros < 19)?;
    format!("{digits}{}", "0".repeat(zeros)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        let mut out = Vec::new();
        write_canonical(&parse_json(text).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_compare_by_value() {
        for (a, b) in [("1", "1.0"), ("10e-1", "1"), ("-0", "0"), ("1.50", "15e-1"), ("100", "1E2"), ("0.0e9", "0")] {
            assert_eq!(canonical_number(a), canonical_number(b), "{a} {b}");
        }
        for (a, b) in [("1", "-1"), ("1", "10"), ("0.1", "0.01"), ("12345678901234567890", "12345678901234567891")] {
            assert_ne!(canonical_number(a), canonical_number(b), "{a} {b}");
        }
        assert_eq!(canonical_number("1e99999999999999999999"), "1e99999999999999999999");
        assert_eq!(integer("-20e-1"), Some(-2));
        assert_eq!(integer("9223372036854775807"), Some(i64::MAX));
        for text in ["0.5", "1e19", "9223372036854775808", "1e999999999999999999999"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn keys_are_unordered_and_arrays_are_not() {
        assert_eq!(canonical(r#"{"b":1, "a":[1,2.0]}"#), canonical(r#"{"a":[1.0,2],"b":1e0}"#));
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
    }

    #[test]
    fn hostile_json_has_typed_answers() {
        assert_eq!(parse_json(r#"{"a":1,"b":{"c":1,"\u0063":2}}"#), Err(JsonError::RepeatedKey("c".into())));
        assert!(parse_json(r#"{"a":"a","b":"a","c":["a","a"],"d":{"a":1}}"#).is_ok());
        assert_eq!(parse_json(&"[".repeat(1 << 20)), Err(JsonError::Depth));
        let deep = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse_json(&deep(JSON_DEPTH_MAX)).is_ok());
        assert_eq!(parse_json(&deep(JSON_DEPTH_MAX + 1)), Err(JsonError::Depth));
        let key = r#"{"$serde_json::private::RawValue":"[[["}"#;
        assert!(matches!(parse_json(key), Err(JsonError::ReservedKey(_))));
        for text in ["", "{", "]", r#""a"#, r#"{"a\"#, "{\"a\":1}}", "nul"] {
            assert!(matches!(parse_json(text), Err(JsonError::Syntax(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = parse_json(&text);
        }

        #[test]
        fn any_brackets_are_answered(text in "[\\[\\]{},:\"\\\\a1]{0,60}") {
            prop_assert_eq!(parse_json(&text).is_ok(), parse_json(&text).is_ok());
            if parse_json(&text).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
        }
    }
}
