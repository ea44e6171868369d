//! What bd has: its export, taken apart, and the beads file that it amounts to.

use super::fields::{DERIVED, GROWING, Line, key};
use super::held::{Held, carry};
use super::tool::BdError;
use serde_json::Value;
use std::collections::BTreeMap;

/// Issues by id.
pub(crate) type Issues = BTreeMap<String, Line>;

/// Reads what `bd export --all` said. Memories and issues that bd keeps to itself (wisps: `ephemeral`, `no_history`)
/// are left out, as are the members that bd derives.
pub(crate) fn parse(bytes: &[u8]) -> Result<Issues, BdError> {
    let garbage = |line_no: usize, reason: &str| BdError::Garbage {
        command: "export".into(),
        reason: format!("line {line_no}: {reason}"),
    };
    let mut issues = Issues::new();
    if !bytes.is_empty() && bytes.last() != Some(&b'\n') {
        return Err(garbage(0, "cut off"));
    }
    for (index, text) in bytes.split(|&b| b == b'\n').enumerate().filter(|(_, text)| !text.is_empty()) {
        let line_no = index + 1;
        let mut line: Line = serde_json::from_slice(text).map_err(|e| garbage(line_no, &e.to_string()))?;
        if line.get("_type").and_then(Value::as_str).is_some_and(|kind| kind != "issue") || line.contains_key("_schema")
        {
            continue;
        }
        let id = line.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| garbage(line_no, "no id"))?.to_owned();
        if is_local(&line) {
            continue;
        }
        DERIVED.iter().for_each(|name| drop(line.shift_remove(*name)));
        // bd promises no order of edges, and another order is no change.
        for field in GROWING {
            if let Some(Value::Array(items)) = line.get_mut(field) {
                items.sort_by_cached_key(|item| key(field, item));
            }
        }
        if issues.insert(id, line).is_some() {
            return Err(garbage(line_no, "an id for the second time"));
        }
    }
    Ok(issues)
}

/// Whether an issue is one of those that bd itself never shares.
pub(crate) fn is_local(line: &Line) -> bool {
    ["ephemeral", "no_history", "wisp"].iter().any(|name| line.get(*name) == Some(&Value::Bool(true)))
}

/// The lines as they are meant: what bd shows, with what it cannot hold.
pub(crate) fn view(issues: &Issues, held: &BTreeMap<String, Held>) -> Issues {
    let mut view = issues.clone();
    for (id, held) in held {
        match (issues.get(id), &held.shown) {
            (Some(now), shown) => {
                let line = carry(&held.full, shown.as_ref().unwrap_or(&Line::new()), now);
                view.insert(id.clone(), line);
            }
            (None, None) => drop(view.insert(id.clone(), held.full.clone())),
            (None, Some(_)) => {}
        }
    }
    view
}

/// A beads file with these lines. `nonce` makes every version another: a label that was added and removed again must
/// not look like an old copy of the file.
pub(crate) fn document(view: &Issues, nonce: u128) -> Vec<u8> {
    let mut out = header(nonce).into_bytes();
    for line in view.values() {
        // SAFETY: a map of JSON values with text keys can always be written.
        out.extend_from_slice(serde_json::to_string(line).unwrap_or_default().as_bytes());
        out.push(b'\n');
    }
    out
}

/// The document under another nonce.
pub(crate) fn renew(document: &[u8], nonce: u128) -> Vec<u8> {
    let body = memchr::memchr(b'\n', document).map_or(0, |at| at + 1);
    [header(nonce).as_bytes(), &document[body..]].concat()
}

fn header(nonce: u128) -> String {
    format!("{{\"_schema\":\"townmesh-bd/1\",\"nonce\":\"{nonce}\"}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Known, blob_id, scan};
    use serde_json::json;

    #[test]
    fn takes_issues_and_leaves_what_is_local() {
        let text = concat!(
            "{\"_type\":\"issue\",\"id\":\"b\",\"title\":\"t\",\"dependency_count\":1,\"parent\":\"a\"}\n",
            "{\"_type\":\"issue\",\"id\":\"w\",\"title\":\"t\",\"ephemeral\":true}\n",
            "{\"_type\":\"memory\",\"key\":\"k\",\"value\":\"v\"}\n\n",
        );
        let issues = parse(text.as_bytes()).unwrap();
        assert_eq!(issues.len(), 1);
        assert_eq!(Value::Object(issues["b"].clone()), json!({"id": "b", "title": "t"}));
    }

    #[test]
    fn garbage_is_no_empty_database() {
        for text in [
            "{\"id\":\"a\"}",
            "panic: x\n",
            "[]\n",
            "{\"title\":1}\n",
            "{\"id\":3}\n",
            "{\"id\":\"a\"}\n{\"id\":\"a\"}\n",
        ] {
            assert!(matches!(parse(text.as_bytes()), Err(BdError::Garbage { .. })), "{text:?}");
        }
        assert!(parse(b"").unwrap().is_empty(), "a database without issues");
        let deep = format!("{{\"id\":\"a\",\"metadata\":{}1{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(parse(deep.as_bytes()), Err(BdError::Garbage { .. })));
    }

    #[test]
    fn versions_differ_even_when_their_lines_are_equal() {
        let issues = parse(b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n").unwrap();
        let one = document(&issues, 1);
        let two = renew(&one, 2);
        assert_eq!(two, document(&issues, 2));
        let scanned = scan(&two, blob_id(&two), &scan(&one, blob_id(&one), &Known::default()).unwrap().known).unwrap();
        assert!(blob_id(&one) != blob_id(&two) && scanned.snapshot.changed.is_empty() && scanned.is_whole());
    }
}
