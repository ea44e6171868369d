//! A version of a beads file, and a merged file made of the lines of two.

use crate::CliError;
use beads::{Bead, BeadId, Parsed, parse_line};
use proto::limits::{FILE_BYTES_MAX, LINE_BYTES_MAX};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// A line as it stands in the file.
enum Line {
    Bead(BeadId),
    /// Memories, headers, unknown kinds.
    Other,
}

/// One version of a file.
#[derive(Default)]
pub(super) struct Version {
    lines: Vec<(String, Line)>,
    beads: BTreeMap<BeadId, Bead>,
    /// `file:line: reason` of every line that cannot be read.
    pub(super) bad: Vec<String>,
}

impl Version {
    /// Reads a file; a file that is not there is an error, an empty one is a version without beads.
    pub(super) fn read(path: &Path) -> Result<Version, CliError> {
        let disk = |err: std::io::Error| CliError::new("bad_input", format!("{}: {err}", path.display()));
        let len = std::fs::metadata(path).map_err(disk)?.len();
        if len > FILE_BYTES_MAX as u64 {
            let text = format!("{}: {len} bytes where {FILE_BYTES_MAX} are allowed", path.display());
            return Err(CliError::new("file_too_large", text));
        }
        Ok(Version::parse(&path.display().to_string(), &std::fs::read(path).map_err(disk)?))
    }

    /// Reads a file's bytes; `name` is for error messages.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Version {
        let mut version = Version::default();
        let mut first: HashMap<BeadId, usize> = HashMap::new();
        for (at, raw) in bytes.split(|b| *b == b'\n').enumerate() {
            let number = at + 1;
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let mut bad = |why: String| version.bad.push(format!("{name}:{number}: {why}"));
            if raw.len() > LINE_BYTES_MAX {
                bad(format!("a line of {} bytes where {LINE_BYTES_MAX} are allowed", raw.len()));
                continue;
            }
            let Ok(text) = std::str::from_utf8(raw) else {
                bad("not UTF-8".to_owned());
                continue;
            };
            match parse_line(text) {
                Ok(Parsed::Blank) => {}
                Ok(Parsed::Issue(bead)) => match first.get(&bead.id) {
                    Some(line) if version.beads.get(&bead.id).is_none_or(|known| !known.same(&bead)) => {
                        bad(format!("{} is on line {line} already, with other values", bead.id));
                    }
                    Some(_) => {}
                    None => {
                        first.insert(bead.id.clone(), number);
                        version.lines.push((text.to_owned(), Line::Bead(bead.id.clone())));
                        version.beads.insert(bead.id.clone(), bead);
                    }
                },
                Ok(_) => version.lines.push((text.to_owned(), Line::Other)),
                Err(err) => bad(err.to_string()),
            }
        }
        version
    }

    pub(super) fn beads(&self) -> Vec<Bead> {
        self.beads.values().cloned().collect()
    }

    /// A bead's line, if it says just this.
    fn raw(&self, bead: &Bead) -> Option<&str> {
        if !self.beads.get(&bead.id)?.same(bead) {
            return None;
        }
        let line = self.lines.iter().find(|(_, line)| matches!(line, Line::Bead(id) if *id == bead.id));
        line.map(|(text, _)| text.as_str())
    }

    fn others(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|(_, line)| matches!(line, Line::Other)).map(|(text, _)| text.as_str())
    }

    fn sorted(&self) -> bool {
        let ids = self.lines.iter().filter_map(|(_, line)| match line {
            Line::Bead(id) => Some(id),
            Line::Other => None,
        });
        ids.is_sorted()
    }
}

/// The merged file: our order of lines, unchanged lines byte for byte, new beads where they sort (or at the end), and
/// of the other lines those that no side took away.
pub(super) fn compose(base: &Version, ours: &Version, theirs: &Version, merged: &[Bead]) -> Vec<u8> {
    let by_id: BTreeMap<&BeadId, &Bead> = merged.iter().map(|bead| (&bead.id, bead)).collect();
    let our_raw: HashMap<&BeadId, &str> = raws(ours);
    let text = |bead: &Bead| -> String {
        let own = our_raw.get(&bead.id).filter(|_| ours.beads.get(&bead.id).is_some_and(|b| b.same(bead)));
        own.map(|t| (*t).to_owned()).or_else(|| theirs.raw(bead).map(str::to_owned)).unwrap_or_else(|| bead.to_line())
    };
    let (base_others, our_others): (HashSet<&str>, HashSet<&str>) = (base.others().collect(), ours.others().collect());
    let their_others: HashSet<&str> = theirs.others().collect();
    let mut new = merged.iter().filter(|bead| !ours.beads.contains_key(&bead.id)).peekable();
    let sorted = ours.sorted();
    let mut out = Vec::new();
    let mut push = |line: &str| {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    };
    for (raw, line) in &ours.lines {
        match line {
            Line::Other if base_others.contains(raw.as_str()) && !their_others.contains(raw.as_str()) => {}
            Line::Other => push(raw),
            Line::Bead(id) => {
                while let Some(bead) = new.next_if(|bead| sorted && bead.id < *id) {
                    push(&text(bead));
                }
                if let Some(bead) = by_id.get(id) {
                    push(&text(bead));
                }
            }
        }
    }
    for bead in new {
        push(&text(bead));
    }
    for other in theirs.others().filter(|o| !our_others.contains(o) && !base_others.contains(o)) {
        push(other);
    }
    out
}

fn raws(version: &Version) -> HashMap<&BeadId, &str> {
    let beads = version.lines.iter().filter_map(|(text, line)| match line {
        Line::Bead(id) => Some((id, text.as_str())),
        Line::Other => None,
    });
    beads.collect()
}
