//! Splitting a file into lines and telling what is new. Lines that were seen before cost a hash and no parsing.

use super::event::{BrokenLine, ChangedLine, RepeatedLine, Snapshot};
use super::generation::Generation;
use super::line::{self, AsItIs, Kind, LineHash};
use super::read::ReadError;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::sync::Arc;

/// The most lines of a file.
pub const LINES_MAX: usize = 1_000_000;

/// The most broken and the most repeated lines that one snapshot names.
pub const REPORT_MAX: usize = 10_000;

/// What is known of a file: 16 bytes per line and its id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Readable lines, whose id need not be parsed again; `None` for lines that are no bead.
    lines: HashMap<LineHash, Option<Arc<str>>, BuildHasherDefault<AsItIs>>,
    /// The line that counts for an id, and its number.
    ids: HashMap<Arc<str>, (LineHash, u32)>,
}

impl Known {
    /// Forgets what was seen, but not how to read it: the next scan reports everything.
    pub(crate) fn forget(&mut self) {
        self.ids.clear();
    }

    /// Goes on knowing the ids that `old` had and that are gone: their absence is not believed yet.
    pub(crate) fn keep_missing(&mut self, old: &Known) {
        for (id, hash) in &old.ids {
            self.ids.entry(id.clone()).or_insert(*hash);
        }
    }

    /// The hash of the line that counts for an id.
    #[cfg(test)]
    pub(crate) fn get(&self, id: &str) -> Option<LineHash> {
        self.ids.get(id).map(|known| known.0)
    }
}

/// One line of the scanned bytes.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Without the end of line.
    pub(crate) text: Range<usize>,
    /// With the end of line.
    pub(crate) whole: Range<usize>,
    /// The bead, unless the line is something else.
    pub(crate) id: Option<Arc<str>>,
    /// Whether an earlier line has the same id.
    pub(crate) repeated: bool,
}

/// A file, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) known: Known,
    pub(crate) spans: Vec<Span>,
    /// Everything but generation, `from_git_history` and `first`.
    pub(crate) snapshot: Snapshot,
}

impl Scan {
    /// Whether the file looks whole: it ends with a newline and every line can be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.snapshot.ends_cleanly && self.snapshot.broken_total == 0
    }

    /// The range of the line that counts for each bead.
    pub(crate) fn beads(&self) -> HashMap<Arc<str>, Range<usize>> {
        let firsts = self.spans.iter().filter(|span| !span.repeated);
        firsts.filter_map(|span| Some((span.id.clone()?, span.text.clone()))).collect()
    }
}

/// Takes `content` apart; the snapshot is the difference to `old`.
pub(crate) fn scan(content: &[u8], generation: Generation, old: &Known) -> Result<Scan, ReadError> {
    let mut out = Scan::default();
    out.known.lines.reserve(old.lines.len());
    out.known.ids.reserve(old.ids.len());
    out.spans.reserve(old.lines.len());
    out.snapshot.generation = generation;
    out.snapshot.ends_cleanly = content.last().is_none_or(|&b| b == b'\n');
    let mut start = 0;
    while start < content.len() {
        if out.spans.len() == LINES_MAX {
            return Err(ReadError::TooManyLines);
        }
        let end = memchr::memchr(b'\n', &content[start..]).map_or(content.len(), |at| start + at + 1);
        let text = start..trim_end_of_line(content, start, end);
        out.take(content, text, start..end, old);
        start = end;
    }
    out.snapshot.missing =
        old.ids.keys().filter(|id| !out.known.ids.contains_key(*id)).map(|id| id.to_string()).collect();
    out.snapshot.missing.sort_unstable();
    out.snapshot.beads_total = count(out.known.ids.len());
    Ok(out)
}

impl Scan {
    fn take(&mut self, content: &[u8], text: Range<usize>, whole: Range<usize>, old: &Known) {
        let line = &content[text.clone()];
        self.snapshot.lines_total += 1;
        let line_no = self.snapshot.lines_total;
        let hash = line::hash(line);
        let id = match self.identify(line, &hash, line_no, old) {
            Some(Some(id)) => id,
            Some(None) => {
                self.snapshot.others_total += 1;
                self.spans.push(Span { text, whole, id: None, repeated: false });
                return;
            }
            None => {
                self.spans.push(Span { text, whole, id: None, repeated: false });
                return;
            }
        };
        let repeated = match self.known.ids.entry(id.clone()) {
            Entry::Occupied(first) => {
                if self.snapshot.repeated.len() < REPORT_MAX {
                    let (first_line, id) = (first.get().1, id.to_string());
                    self.snapshot.repeated.push(RepeatedLine { line_no, first_line, id, text: to_text(line) });
                }
                true
            }
            Entry::Vacant(place) => {
                place.insert((hash, line_no));
                if old.ids.get(&id).is_none_or(|known| known.0 != hash) {
                    let text = to_text(line);
                    self.snapshot.changed.push(ChangedLine { line_no, id: id.to_string(), text });
                }
                false
            }
        };
        self.spans.push(Span { text, whole, id: Some(id), repeated });
    }

    /// `None` for a broken line, `Some(None)` for one that is no bead.
    fn identify(&mut self, line: &[u8], hash: &LineHash, line_no: u32, old: &Known) -> Option<Option<Arc<str>>> {
        let id = match old.lines.get(hash) {
            Some(id) => id.clone(),
            None => match line::classify(line) {
                Ok(Kind::Bead(id)) => Some(Arc::from(id.as_ref())),
                Ok(Kind::Other | Kind::Blank) => None,
                Err(error) => {
                    self.snapshot.broken_total += 1;
                    if self.snapshot.broken.len() < REPORT_MAX {
                        self.snapshot.broken.push(BrokenLine { line_no, error });
                    }
                    return None;
                }
            },
        };
        self.known.lines.insert(*hash, id.clone());
        Some(id)
    }
}

/// Where a line's text ends: before `\n` and one `\r`.
fn trim_end_of_line(content: &[u8], start: usize, end: usize) -> usize {
    let line = &content[start..end];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    start + line.strip_suffix(b"\r").unwrap_or(line).len()
}

/// Readable lines are UTF-8, so nothing is replaced here.
fn to_text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::generation::blob_id;
    use super::*;

    fn look(content: &str, old: &Known) -> Scan {
        scan(content.as_bytes(), blob_id(content.as_bytes()), old).unwrap()
    }

    fn ids(scan: &Scan) -> Vec<&str> {
        scan.snapshot.changed.iter().map(|c| c.id.as_str()).collect()
    }

    #[test]
    fn reports_only_differences() {
        let one = look("{\"id\":\"a\"}\n{\"id\":\"b\"}\n\n{\"_type\":\"memory\",\"key\":\"k\"}\n", &Known::default());
        assert_eq!(ids(&one), ["a", "b"]);
        assert_eq!((one.snapshot.lines_total, one.snapshot.beads_total, one.snapshot.others_total), (4, 2, 2));
        let two = look("{\"id\":\"b\"}\r\n{\"id\":\"a\",\"x\":1}\r\n{\"id\":\"c\"}", &one.known);
        assert_eq!(ids(&two), ["a", "c"], "order and line ends are no change");
        assert!(two.snapshot.missing.is_empty() && !two.snapshot.ends_cleanly && !two.is_whole());
        let three = look("{\"id\":\"c\"}\n", &two.known);
        assert!(three.snapshot.changed.is_empty() && three.is_whole());
        assert_eq!(three.snapshot.missing, ["a", "b"]);
    }

    #[test]
    fn first_of_repeated_lines_counts() {
        let one = look("{\"id\":\"a\"}\n{\"id\":\"a\",\"x\":1}\n", &Known::default());
        assert_eq!(ids(&one), ["a"]);
        let again = &one.snapshot.repeated[0];
        assert_eq!((again.line_no, again.first_line, again.text.as_str()), (2, 1, "{\"id\":\"a\",\"x\":1}"));
        let swapped = look("{\"id\":\"a\",\"x\":1}\n{\"id\":\"a\"}\n", &one.known);
        assert_eq!(ids(&swapped), ["a"], "the other one counts now");
        assert_eq!(swapped.known.get("a"), Some(line::hash(b"{\"id\":\"a\",\"x\":1}")));
    }

    #[test]
    fn broken_lines_are_named_every_time() {
        let text = "{\"id\":\"a\"}\n<<<<<<< HEAD\n{\"id\":\"b\"}\n=======\n>>>>>>> x\n";
        let one = look(text, &Known::default());
        let two = look(text, &one.known);
        assert_eq!(two.snapshot.broken, one.snapshot.broken);
        assert_eq!(one.snapshot.broken.iter().map(|b| b.line_no).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(!two.is_whole() && two.snapshot.changed.is_empty());
    }

    #[test]
    fn hostile_sizes_are_bounded() {
        let garbage = "x\n".repeat(REPORT_MAX + 5);
        let one = look(&garbage, &Known::default());
        assert_eq!((one.snapshot.broken.len(), one.snapshot.broken_total as usize), (REPORT_MAX, REPORT_MAX + 5));
        let many = "\n".repeat(LINES_MAX + 1);
        assert!(matches!(scan(many.as_bytes(), [1; 20], &Known::default()), Err(ReadError::TooManyLines)));
        let mut long = vec![b'a'; 100 * 1024 * 1024];
        long.extend_from_slice(b"\n{\"id\":\"a\"}\n");
        let scan = scan(&long, [1; 20], &Known::default()).unwrap();
        assert_eq!((ids(&scan), scan.snapshot.broken_total), (vec!["a"], 1));
    }
}
