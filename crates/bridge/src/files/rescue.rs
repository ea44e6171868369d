//! What somebody wrote into a displaced file is carried over, line by line, to the file that took its place, as if
//! they had written it there. The next look finds it like any other edit.

use super::event::ApplyError;
use super::fold::fold;
use super::generation::blob_id;
use super::prepare::prepare;
use super::read;
use super::scan::{Known, scan};
use super::swap::{self, Aside};
use std::path::Path;

/// A race can be lost often, but not for ever.
const TRIES_MAX: usize = 20;

/// The lines by which a displaced version differs from what its writer started from.
pub(crate) struct Edits(Vec<Edit>);

struct Edit {
    id: String,
    was: Option<String>,
    wanted: Option<String>,
}

impl Edits {
    /// Whether the writer changed nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Compares; `None` while the version is not whole (somebody is still writing it) or cannot be read at all.
pub(crate) fn edits(base: &[u8], theirs: &[u8]) -> Option<Edits> {
    let base_scan = scan(base, blob_id(base), &Known::default()).ok()?;
    let scan = scan(theirs, blob_id(theirs), &base_scan.known).ok()?;
    if !scan.is_whole() {
        return None;
    }
    let was = base_scan.beads();
    let was = |id: &str| was.get(id).map(|range| String::from_utf8_lossy(&base[range.clone()]).into_owned());
    let changed = scan.snapshot.changed.into_iter();
    let mut edits: Vec<Edit> =
        changed.map(|line| Edit { was: was(&line.id), id: line.id, wanted: Some(line.text) }).collect();
    let missing = scan.snapshot.missing.into_iter();
    edits.extend(missing.map(|id| Edit { was: was(&id), id, wanted: None }));
    Some(Edits(edits))
}

/// Carries edits over to the file at `path`. What is displaced by doing so is put `aside`.
pub(crate) fn replay(path: &Path, edits: &Edits, theirs_wins: bool, aside: &mut Aside) -> Result<(), ApplyError> {
    for _ in 0..TRIES_MAX {
        let Some(found) = read::read(path)? else { return Err(ApplyError::Changed) };
        let generation = blob_id(&found.bytes);
        let current = scan(&found.bytes, generation, &Known::default())?;
        let texts = current.beads();
        let text = |id: &str| texts.get(id).map(|range| String::from_utf8_lossy(&found.bytes[range.clone()]));
        let lines: Vec<_> = edits
            .0
            .iter()
            .filter_map(|edit| Some((edit.id.clone(), target_line(edit, text(&edit.id).as_deref(), theirs_wins)?)))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut prepared = match prepare(path, generation, &current.known, None, &lines) {
            Err(ApplyError::Changed) => continue,
            other => other?,
        };
        let content = prepared.content.clone();
        match swap::swap(&mut prepared, |_| {}, aside) {
            Err(ApplyError::Changed) => {}
            Ok(()) => {
                aside.passing.push(content);
                return Ok(());
            }
            other => return other,
        }
    }
    Err(ApplyError::Changed)
}

/// What the line should become; `None` to leave it.
fn target_line(edit: &Edit, is: Option<&str>, theirs_wins: bool) -> Option<Option<String>> {
    if is == edit.wanted.as_deref() {
        return None;
    }
    if is == edit.was.as_deref() {
        return Some(edit.wanted.clone());
    }
    match (&edit.was, is, &edit.wanted) {
        (Some(was), Some(is), Some(wanted)) => fold(was, is, wanted, theirs_wins).map(Some),
        (None, Some(is), Some(wanted)) => fold("{}", is, wanted, theirs_wins).map(Some),
        // An edit beats a delete, whoever made it.
        (_, None, Some(wanted)) => Some(Some(wanted.clone())),
        (_, _, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "{\"id\":\"a\",\"x\":1,\"y\":1}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n";

    fn run(current: &str, theirs: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.jsonl");
        std::fs::write(&path, current).unwrap();
        let edits = edits(BASE.as_bytes(), theirs.as_bytes()).unwrap();
        replay(&path, &edits, true, &mut Aside::default()).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn replays_edits_inserts_and_deletes() {
        let current = "{\"id\":\"a\",\"x\":2,\"y\":1}\n{\"id\":\"b\"}\n{\"id\":\"c\",\"z\":1}\n";
        let theirs = "{\"id\":\"a\",\"x\":1,\"y\":5}\n{\"id\":\"d\"}\n";
        assert_eq!(
            run(current, theirs),
            "{\"id\":\"a\",\"x\":2,\"y\":5}\n{\"id\":\"c\",\"z\":1}\n{\"id\":\"d\"}\n",
            "both fields of a, b deleted, c kept because it was edited, d added"
        );
        assert_eq!(run(BASE, BASE), BASE);
    }

    #[test]
    fn an_unfinished_version_is_not_replayed() {
        assert!(edits(BASE.as_bytes(), b"{\"id\":\"a\"}\n{\"id\":").is_none());
        assert!(edits(BASE.as_bytes(), b"{\"id\":\"a\"}").is_none());
    }
}
