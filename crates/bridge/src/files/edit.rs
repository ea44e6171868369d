//! New bytes from old bytes and new lines; everything that is not about the given ids stays as it is.

use super::line::{self, Kind, LineError};
use super::scan::Span;
use std::collections::BTreeMap;

/// Why a new line is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It could not be read back.
    #[error(transparent)]
    Unreadable(#[from] LineError),
    /// It holds an end of line.
    #[error("more than one line")]
    SeveralLines,
    /// It is about another bead, or about none.
    #[error("not a line of this bead")]
    OtherBead,
    /// The id is given twice.
    #[error("given twice")]
    Repeated,
}

/// Checks new lines and sorts them by id.
pub(crate) fn check(lines: &[(String, Option<String>)]) -> Result<BTreeMap<&str, Option<&str>>, (String, EditError)> {
    let mut edits = BTreeMap::new();
    for (id, text) in lines {
        check_one(id, text.as_deref()).map_err(|error| (id.clone(), error))?;
        if edits.insert(id.as_str(), text.as_deref()).is_some() {
            return Err((id.clone(), EditError::Repeated));
        }
    }
    Ok(edits)
}

fn check_one(id: &str, text: Option<&str>) -> Result<(), EditError> {
    line::check_id(id)?;
    let Some(text) = text else { return Ok(()) };
    if text.contains(['\n', '\r']) {
        return Err(EditError::SeveralLines);
    }
    match line::classify(text.as_bytes())? {
        Kind::Bead(of) if of == id => Ok(()),
        _ => Err(EditError::OtherBead),
    }
}

/// The content with `edits` carried out: a line is replaced where it stands (of repeated lines, the one that counts),
/// removed (all of its repetitions too), or inserted: where its id sorts if the beads are sorted by id, else at the end.
pub(crate) fn edit(content: &[u8], spans: &[Span], edits: BTreeMap<&str, Option<&str>>) -> Vec<u8> {
    let added: usize = edits.values().flatten().map(|text| text.len() + 2).sum();
    let mut out = Vec::with_capacity(content.len() + added + 2);
    let end_of_line: &[u8] = if uses_crlf(content, spans) { b"\r\n" } else { b"\n" };
    let mut inserts = take_inserts(spans, &edits);
    let sorted = is_sorted(spans);
    for span in spans {
        let Some(id) = span.id.as_deref() else {
            out.extend_from_slice(&content[span.whole.clone()]);
            continue;
        };
        if sorted {
            while let Some(entry) = inserts.first_entry().filter(|entry| *entry.key() < id) {
                out.extend_from_slice(entry.remove().as_bytes());
                out.extend_from_slice(end_of_line);
            }
        }
        match edits.get(id) {
            Some(Some(text)) if !span.repeated => {
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(&content[span.text.end..span.whole.end]);
            }
            Some(None) => {}
            _ => out.extend_from_slice(&content[span.whole.clone()]),
        }
    }
    for text in inserts.values() {
        if out.last().is_some_and(|&byte| byte != b'\n') {
            out.extend_from_slice(end_of_line);
        }
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(end_of_line);
    }
    out
}

/// The new lines whose id the file does not have yet.
fn take_inserts<'a>(spans: &[Span], edits: &BTreeMap<&'a str, Option<&'a str>>) -> BTreeMap<&'a str, &'a str> {
    let mut inserts: BTreeMap<&str, &str> = edits.iter().filter_map(|(id, text)| Some((*id, (*text)?))).collect();
    for id in spans.iter().filter_map(|span| span.id.as_deref()) {
        inserts.remove(id);
    }
    inserts
}

fn uses_crlf(content: &[u8], spans: &[Span]) -> bool {
    spans.first().is_some_and(|span| content[span.text.end..span.whole.end] == *b"\r\n")
}

fn is_sorted(spans: &[Span]) -> bool {
    spans.iter().filter_map(|span| span.id.as_deref()).is_sorted()
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Known, Scan, scan};
    use super::*;
    use proptest::prelude::*;

    fn run(content: &str, lines: &[(&str, Option<&str>)]) -> String {
        let lines: Vec<_> = lines.iter().map(|(id, text)| (id.to_string(), text.map(String::from))).collect();
        let scan = scan(content.as_bytes(), [1; 20], &Known::default()).unwrap();
        String::from_utf8(edit(content.as_bytes(), &scan.spans, check(&lines).unwrap())).unwrap()
    }

    const A: &str = r#"{"id":"a"}"#;
    const B: &str = r#"{"id":"b"}"#;
    const B2: &str = r#"{"id":"b","x":1}"#;
    const C: &str = r#"{"id":"c"}"#;
    const MEMORY: &str = r#"{"_type":"memory","key":"k","value":1}"#;

    #[test]
    fn replaces_in_place_and_removes() {
        let file = format!("{C}\n\n{B}  \n{MEMORY}\n{A}\n");
        assert_eq!(run(&file, &[("b", Some(B2)), ("c", None)]), format!("\n{B2}\n{MEMORY}\n{A}\n"));
        assert_eq!(run(&file, &[("zzz", None)]), file);
    }

    #[test]
    fn inserts_where_it_sorts_or_at_the_end() {
        assert_eq!(run(&format!("{A}\n{C}\n"), &[("b", Some(B))]), format!("{A}\n{B}\n{C}\n"));
        assert_eq!(run(&format!("{C}\n{A}\n"), &[("b", Some(B))]), format!("{C}\n{A}\n{B}\n"));
        assert_eq!(run("", &[("b", Some(B)), ("a", Some(A))]), format!("{A}\n{B}\n"));
        assert_eq!(run(A, &[("b", Some(B))]), format!("{A}\n{B}\n"), "no trailing newline");
        assert_eq!(run(&format!("{A}\r\n{C}\r\n"), &[("b", Some(B))]), format!("{A}\r\n{B}\r\n{C}\r\n"));
    }

    #[test]
    fn keeps_repetitions_unless_removed() {
        let file = format!("{B}\n{A}\n{B}\n");
        assert_eq!(run(&file, &[("b", Some(B2))]), format!("{B2}\n{A}\n{B}\n"));
        assert_eq!(run(&file, &[("b", None)]), format!("{A}\n"));
    }

    #[test]
    fn refuses_unusable_lines() {
        let refuse = |id: &str, text: &str| check(&[(id.into(), Some(text.into()))]).unwrap_err().1;
        assert_eq!(refuse("a", "{\"id\":\"a\"}\n"), EditError::SeveralLines);
        assert_eq!(refuse("a", B), EditError::OtherBead);
        assert_eq!(refuse("a", MEMORY), EditError::OtherBead);
        assert_eq!(refuse("a", "{\"id\":\"a\0\"}"), EditError::Unreadable(LineError::Nul));
        let twice = [("a".to_string(), None), ("a".to_string(), Some(A.to_string()))];
        assert_eq!(check(&twice).unwrap_err().1, EditError::Repeated);
    }

    proptest! {
        /// Whatever stands in the file, lines of other ids and pass-through lines keep their bytes and their order,
        /// and the edited ids read as asked for.
        #[test]
        fn touches_nothing_else(
            file in proptest::collection::vec((0u8..12, 0u8..4, any::<bool>()), 0..30),
            edits in proptest::collection::btree_map(0u8..12, proptest::option::of(10u8..14), 0..8),
            last_newline in any::<bool>(),
        ) {
            let name = |n: u8| format!("id{n:02}");
            let text = |n: u8, v: u8| format!("{{\"id\":\"{}\",\"v\":{v}}}", name(n));
            let mut content = String::new();
            for (n, v, crlf) in &file {
                let line = if *n == 0 { MEMORY.to_string() } else { text(*n, *v) };
                content += &format!("{line}{}", if *crlf { "\r\n" } else { "\n" });
            }
            if !last_newline { content.truncate(content.trim_end().len()); }
            let edits: Vec<_> = edits.into_iter().filter(|(n, _)| *n > 0).collect();
            let lines: Vec<_> = edits.iter().map(|(n, v)| (name(*n), v.map(|v| text(*n, v)))).collect();
            let before = scan(content.as_bytes(), [1; 20], &Known::default()).unwrap();
            let out = edit(content.as_bytes(), &before.spans, check(&lines).unwrap());
            let after = scan(&out, [2; 20], &Known::default()).unwrap();
            prop_assert_eq!(after.snapshot.broken_total, 0);
            let edited: Vec<String> = edits.iter().map(|(n, _)| name(*n)).collect();
            let rest = |bytes: &[u8], scan: &Scan| -> Vec<Vec<u8>> {
                scan.spans.iter()
                    .filter(|s| !s.id.as_deref().is_some_and(|id| edited.iter().any(|e| e == id)))
                    .map(|s| bytes[s.text.clone()].to_vec()).collect()
            };
            prop_assert_eq!(rest(content.as_bytes(), &before), rest(&out, &after));
            for (id, line) in &lines {
                let got = after.snapshot.changed.iter().find(|c| &c.id == id).map(|c| c.text.clone());
                prop_assert_eq!(&got, line);
            }
        }
    }
}
