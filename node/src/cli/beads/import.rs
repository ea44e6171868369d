//! `townmesh beads import`.

use crate::cli::connect::{Cx, Node};
use crate::cli::output::{list, number, one_line};
use crate::{CliError, Exit, history};
use beads::{Parsed, parse_line};
use engine::{Command, SpaceRef};
use proto::limits::{FILE_BYTES_MAX, LINE_BYTES_MAX};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Lines per call: far below the size limit of a call, and often enough to show progress.
const CHUNK_LINES: usize = 1_000;

/// Bytes of lines per call.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Lines that are listed for people; `--json` has all of them.
const LISTED: usize = 20;

/// Flags of `beads import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads import .beads/issues.jsonl\n  \
    bd export | townmesh beads import - --space app")]
pub struct Args {
    /// The file; `-` reads stdin
    file: PathBuf,
    /// Do not ask git which values of the file are older than others
    #[arg(long)]
    no_history: bool,
}

#[derive(Default)]
struct Totals {
    counts: [u64; 6],
    rejected: Vec<Value>,
    repeated: Vec<Value>,
}

/// The numbers that calls report and that add up.
const COUNTS: [&str; 6] = ["read", "created", "updated", "unchanged", "conflicts", "other_lines"];

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let mut progress = cx.output.progress();
    let mut past = BTreeMap::new();
    let reader = reader(&args.file)?;
    if !args.no_history && args.file != Path::new("-") {
        past = history::of_file(&args.file, &mut |commits| progress.show(&format!("history: {commits} commits")))?
            .ancestors;
    }
    let mut node = cx.connect()?;
    let mut import = Import { node: &mut node, at: cx.at(), past, totals: Totals::default(), first_of: HashMap::new() };
    import.all(reader, &mut |lines| progress.show(&format!("{lines} lines")))?;
    drop(progress);
    let totals = import.totals;
    let mut result: serde_json::Map<String, Value> =
        COUNTS.iter().zip(totals.counts).map(|(name, count)| ((*name).to_owned(), count.into())).collect();
    result.insert("rejected".to_owned(), totals.rejected.into());
    result.insert("repeated".to_owned(), totals.repeated.into());
    let result = Value::Object(result);
    cx.output.data(&result, |out| human(&result, out))
}

/// A file of lines, or stdin for `-`; no more is read than a file may have.
pub(super) fn reader(path: &Path) -> Result<Box<dyn BufRead>, CliError> {
    let most = FILE_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin().lock().take(most))));
    }
    Ok(Box::new(BufReader::new(open(path)?.take(most))))
}

fn open(path: &Path) -> Result<std::fs::File, CliError> {
    let bad = |err: std::io::Error| CliError::new("bad_input", format!("{}: {err}", path.display()));
    let file = std::fs::File::open(path).map_err(bad)?;
    let meta = file.metadata().map_err(bad)?;
    if meta.is_dir() {
        return Err(CliError::new("bad_input", format!("{} is a directory", path.display())));
    }
    if meta.len() > FILE_BYTES_MAX as u64 {
        return Err(too_large());
    }
    Ok(file)
}

fn too_large() -> CliError {
    CliError::new("file_too_large", format!("more than {FILE_BYTES_MAX} bytes")).hint("split the file")
}

struct Import<'a> {
    node: &'a mut Node,
    at: SpaceRef,
    past: history::Ancestors,
    totals: Totals,
    /// Where an id stood first. Calls see one part of the file only.
    first_of: HashMap<String, u64>,
}

impl Import<'_> {
    fn all(&mut self, mut reader: Box<dyn BufRead>, progress: &mut dyn FnMut(u64)) -> Result<(), CliError> {
        let mut first_line = 1u64;
        let mut lines = Vec::new();
        let mut bytes = 0;
        let mut total = 0usize;
        while let Some(line) = read_line(&mut reader, &mut total)? {
            bytes += line.len();
            lines.push(line);
            if lines.len() >= CHUNK_LINES || bytes >= CHUNK_BYTES {
                let count = lines.len() as u64;
                self.chunk(first_line, std::mem::take(&mut lines))?;
                first_line += count;
                bytes = 0;
                progress(first_line - 1);
            }
        }
        if lines.is_empty() && first_line > 1 { Ok(()) } else { self.chunk(first_line, lines) }
    }

    fn chunk(&mut self, first_line: u64, lines: Vec<String>) -> Result<(), CliError> {
        let mut ancestors = BTreeMap::new();
        for (line_no, line) in (first_line..).zip(&lines) {
            let Ok(Parsed::Issue(bead)) = parse_line(line) else { continue };
            let id = bead.id.to_string();
            if let Some(hashes) = self.past.get(&id) {
                ancestors.insert(id.clone(), hashes.clone());
            }
            match self.first_of.get(&id) {
                // The node says so itself about ids that it sees twice in one call.
                Some(first) if *first < first_line => {
                    self.totals.repeated.push(json!({"line": line_no, "first_line": first, "id": id}));
                }
                Some(_) => {}
                None => {
                    self.first_of.insert(id, line_no);
                }
            }
        }
        let done = first_line.saturating_sub(1);
        let command = Command::Import { at: self.at.clone(), first_line, lines, ancestors };
        let mut result = self.node.call(&command).map_err(|err| match done {
            0 => err,
            _ => err.hint(format!("the first {done} lines were taken in; importing the file again is safe")),
        })?;
        for (total, name) in self.totals.counts.iter_mut().zip(COUNTS) {
            *total += number(&result, name);
        }
        let mut take = |name: &str| match result.get_mut(name).map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        self.totals.rejected.extend(take("rejected"));
        for repeated in take("repeated") {
            // The first line that the node names may itself repeat one of an earlier call.
            let line = repeated.get("line").and_then(Value::as_u64);
            if !self.totals.repeated.iter().any(|known| known.get("line").and_then(Value::as_u64) == line) {
                self.totals.repeated.push(repeated);
            }
        }
        Ok(())
    }
}

/// The next line without its end. A line that is too long or not UTF-8 comes as a text that is rejected under its
/// number: cut behind the limit, or with the broken bytes replaced by a control character.
pub(super) fn read_line(reader: &mut dyn BufRead, total: &mut usize) -> Result<Option<String>, CliError> {
    let mut line = Vec::new();
    let mut skipped = 0usize;
    loop {
        let part = reader.fill_buf().map_err(|err| CliError::new("bad_input", format!("reading the file: {err}")))?;
        if part.is_empty() {
            if line.is_empty() && skipped == 0 {
                return Ok(None);
            }
            break;
        }
        let end = part.iter().position(|b| *b == b'\n');
        let used = end.map_or(part.len(), |at| at + 1);
        let text = &part[..end.unwrap_or(part.len())];
        let room = (LINE_BYTES_MAX + 1).saturating_sub(line.len()).min(text.len());
        line.extend_from_slice(&text[..room]);
        skipped += used - room;
        reader.consume(used);
        *total += used;
        if *total > FILE_BYTES_MAX {
            return Err(too_large());
        }
        if end.is_some() {
            break;
        }
    }
    let text = match String::from_utf8(line) {
        Ok(text) => text,
        // U+0000 can stand nowhere in JSON, so such a line is never taken for a good one.
        Err(err) => String::from_utf8_lossy(err.as_bytes()).replace('\u{fffd}', "\0"),
    };
    Ok(Some(text))
}

fn human(result: &Value, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let count = |name: &str| number(result, name);
    writeln!(
        out,
        "{} read: {} created, {} updated, {} unchanged; {} conflicts",
        count("read"),
        count("created"),
        count("updated"),
        count("unchanged"),
        count("conflicts")
    )?;
    let rejected = list(result, "rejected");
    if !rejected.is_empty() {
        writeln!(out, "{} lines rejected:", rejected.len())?;
    }
    for line in rejected.iter().take(LISTED) {
        writeln!(out, "  line {}: {}", number(line, "line"), one_line(&line["error"], 120))?;
    }
    let repeated = list(result, "repeated");
    if !repeated.is_empty() {
        writeln!(out, "{} lines repeat an id of an earlier line:", repeated.len())?;
    }
    for line in repeated.iter().take(LISTED) {
        writeln!(out, "  line {} repeats line {}", number(line, "line"), number(line, "first_line"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut reader = BufReader::with_capacity(7, bytes);
        let mut total = 0;
        std::iter::from_fn(|| read_line(&mut reader, &mut total).unwrap()).collect()
    }

    #[test]
    fn lines_come_whole_whatever_the_buffer() {
        assert_eq!(lines(b"a\n\nlonger than the buffer\nlast"), ["a", "", "longer than the buffer", "last"]);
        assert_eq!(lines(b""), Vec::<String>::new());
        assert_eq!(lines(b"\n"), [""]);
    }

    #[test]
    fn hostile_lines_stay_lines_and_are_rejected() {
        let long = [&b"{\"id\":\"a\"}"[..], &vec![b' '; LINE_BYTES_MAX * 2], b"\nnext"].concat();
        let found = lines(&long);
        assert_eq!((found.len(), found[0].len(), found[1].as_str()), (2, LINE_BYTES_MAX + 1, "next"));
        assert!(parse_line(&found[0]).is_err());
        let broken = lines(b"{\"id\":\"a\",\"title\":\"\xff\xfe\"}\n");
        assert!(parse_line(&broken[0]).is_err(), "{broken:?}");
    }
}
