//! What git knows of a beads file: which versions it had, and which values are older than others.

use crate::CliError;
use beads::{Parsed, canonical_hash, parse_line};
use bridge::git::HistoryLimits;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Hashes of earlier values, per bead and unit.
pub type Ancestors = BTreeMap<String, BTreeMap<String, Vec<u64>>>;

/// Hashes that are kept in all: what one call of the local API carries easily.
const HASHES_MAX: usize = 1_000_000;

/// What git knows of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Blob ids (hex) of the whole file.
    pub generations: Vec<String>,
    /// Earlier values of the beads that the file has now.
    pub ancestors: Ancestors,
}

/// The past of a directory's beads file; nothing when there is no file or no git.
///
/// # Errors
/// `bad_input` when the directory cannot be used.
pub fn of_workspace(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Past, CliError> {
    let file = locate(dir)?;
    if file.is_file() { of_file(&file, progress) } else { Ok(Past::default()) }
}

/// A directory's beads file, as the bridge finds it.
fn locate(dir: &Path) -> Result<PathBuf, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| CliError::new("internal", format!("starting threads: {err}")))?;
    runtime.block_on(async {
        let (workspace, _events) = bridge::Workspace::open(dir, bridge::Options::default())
            .map_err(|err| CliError::new("bad_input", err.to_string()))?;
        Ok(workspace.path().to_owned())
    })
}

/// The past of a beads file; nothing when git does not know it. A git that fails costs history, never the import.
///
/// # Errors
/// `bad_input` when the path is none.
pub fn of_file(file: &Path, progress: &mut dyn FnMut(u64)) -> Result<Past, CliError> {
    let bad = |err: std::io::Error| CliError::new("bad_input", format!("{}: {err}", file.display()));
    let file = file.canonicalize().map_err(bad)?;
    let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else { return Ok(Past::default()) };
    let name = PathBuf::from(name);
    let now = current(&file)?;
    let limits = HistoryLimits::default();
    let generations = bridge::git::blob_ids_of_file(dir, &name, &limits).unwrap_or_default();
    if generations.is_empty() {
        return Ok(Past::default());
    }
    let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<u64>>> = BTreeMap::new();
    let mut hashes = 0usize;
    let take = |line: &str| {
        let Ok(Parsed::Issue(old)) = parse_line(line) else { return };
        let Some(units_now) = now.get(old.id.as_str()) else { return };
        for (unit, value) in old.units() {
            let hash = canonical_hash(&unit, Some(&value));
            let unit = unit.to_string();
            // A value that the file has now is nobody's ancestor in this file.
            if units_now.get(&unit) == Some(&hash) || hashes >= HASHES_MAX {
                continue;
            }
            let known = found.entry(old.id.to_string()).or_default().entry(unit).or_default();
            if known.len() < beads::ANCESTORS_MAX && known.insert(hash) {
                hashes += 1;
            }
        }
    };
    // What was found before a limit or a failure is true all the same.
    let _partial = bridge::git::ancestors(dir, &name, &limits, take, progress);
    let flat = |units: BTreeMap<String, BTreeSet<u64>>| {
        units.into_iter().map(|(unit, hashes)| (unit, hashes.into_iter().collect())).collect()
    };
    Ok(Past {
        generations: generations.iter().map(hex::encode).collect(),
        ancestors: found.into_iter().map(|(id, units)| (id, flat(units))).collect(),
    })
}

/// The hashes of what the file says now.
fn current(file: &Path) -> Result<BTreeMap<String, BTreeMap<String, u64>>, CliError> {
    use std::io::BufRead as _;
    let bad = |err: std::io::Error| CliError::new("bad_input", format!("{}: {err}", file.display()));
    let open = std::fs::File::open(file).map_err(bad)?;
    if open.metadata().map_err(bad)?.len() > proto::limits::FILE_BYTES_MAX as u64 {
        return Err(CliError::new("file_too_large", format!("{} is too large", file.display())));
    }
    let mut all = BTreeMap::new();
    for line in std::io::BufReader::new(open).split(b'\n') {
        let line = line.map_err(bad)?;
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let Ok(Parsed::Issue(bead)) = parse_line(text) else { continue };
        let units = bead.units().into_iter();
        let units = units.map(|(unit, value)| (unit.to_string(), canonical_hash(&unit, Some(&value)))).collect();
        all.insert(bead.id.to_string(), units);
    }
    Ok(all)
}
