//! `townmesh merge`: three versions of a beads file become one, without a mesh.

mod file;
mod replay;

use super::Output;
use crate::{CliError, Exit};
use beads::{Bead, Merged, Unit, merge3};
use file::Version;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Flags of `merge`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh merge base.jsonl ours.jsonl theirs.jsonl --out merged.jsonl\n  \
        townmesh merge base.jsonl ours.jsonl theirs.jsonl --json\n  \
        townmesh merge --replay ~/src/app          what git's line merge did to a repository's beads\n\n\
        Exit codes: 0 clean, 1 merged with conflicts kept and listed, 2 bad input and nothing written"
)]
pub struct Args {
    /// The common ancestor
    #[arg(required_unless_present = "replay", requires_all = ["ours", "theirs"])]
    base: Option<PathBuf>,
    /// Our version: its order of lines is kept
    ours: Option<PathBuf>,
    /// The other version
    theirs: Option<PathBuf>,
    /// Write the merged file here; without it, it goes to stdout (but not with --json)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Merge a git repository's history again, merge by merge, and report
    #[arg(long, value_name = "REPO", conflicts_with_all = ["base", "out"])]
    replay: Option<PathBuf>,
    /// With --replay: the beads file inside the repository
    #[arg(long, value_name = "PATH", default_value = ".beads/issues.jsonl", requires = "replay")]
    file: String,
    /// With --replay: only the newest N merges; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0, requires = "replay")]
    limit: usize,
}

/// A merged file and what there is to say about it.
pub(super) struct Outcome {
    pub(super) text: Vec<u8>,
    pub(super) merged: Merged,
    deleted: usize,
}

pub(super) fn run(output: &Output, args: Args) -> Result<Exit, CliError> {
    if let Some(repo) = &args.replay {
        return replay::run(output, repo, &args.file, args.limit);
    }
    let (Some(base), Some(ours), Some(theirs)) = (&args.base, &args.ours, &args.theirs) else {
        return Err(CliError::new("usage", "three files are needed: BASE OURS THEIRS").hint("townmesh merge --help"));
    };
    let outcome = merge_files(base, ours, theirs)?;
    let sidecar = match &args.out {
        Some(out) => {
            let mut name = out.clone().into_os_string();
            name.push(".conflicts.json");
            let sidecar = keep_conflicts(&outcome.merged, Path::new(&name))?;
            write_whole(out, &outcome.text)?;
            sidecar
        }
        None => None,
    };
    tell(output, &outcome.merged, sidecar.as_deref());
    output.data(&report(&outcome, args.out.as_deref(), sidecar.as_deref()), |out| match &args.out {
        Some(_) => Ok(()),
        None => out.write_all(&outcome.text),
    })?;
    Ok(if outcome.merged.conflicts.is_empty() { Exit::Ok } else { Exit::No })
}

/// Merges three files; nothing is written.
///
/// # Errors
/// `bad_input` when a line of any of them cannot be read, with all such lines.
pub(super) fn merge_files(base: &Path, ours: &Path, theirs: &Path) -> Result<Outcome, CliError> {
    let versions = [Version::read(base)?, Version::read(ours)?, Version::read(theirs)?];
    let bad: Vec<String> = versions.iter().flat_map(|v| v.bad.iter().cloned()).collect();
    if !bad.is_empty() {
        let mut err = CliError::new("bad_input", format!("{} lines cannot be read; nothing was written", bad.len()));
        err.hints = bad.into_iter().take(20).collect();
        return Err(err);
    }
    let [base, ours, theirs] = &versions;
    merge_versions(base, ours, theirs)
}

fn merge_versions(base: &Version, ours: &Version, theirs: &Version) -> Result<Outcome, CliError> {
    let (base_beads, our_beads, their_beads): (Vec<Bead>, Vec<Bead>, Vec<Bead>) =
        (base.beads(), ours.beads(), theirs.beads());
    let merged = merge3(&base_beads, &our_beads, &their_beads)
        .map_err(|err| CliError::new("bad_input", format!("{err}; nothing was written")))?;
    let text = file::compose(base, ours, theirs, &merged.beads);
    let kept: std::collections::BTreeSet<_> = merged.beads.iter().map(|b| &b.id).collect();
    let deleted = base_beads.iter().filter(|b| !kept.contains(&b.id)).count();
    Ok(Outcome { text, merged, deleted })
}

/// The values of a conflict, the shown one first; `null` is absent.
fn conflicts(merged: &Merged) -> Vec<Value> {
    let line = |c: &beads::MergeConflict| {
        let values: Vec<Value> = c.values.iter().map(|v| v.clone().unwrap_or(Value::Null)).collect();
        json!({"id": c.id.as_str(), "unit": c.unit.to_string(), "values": values})
    };
    merged.conflicts.iter().map(line).collect()
}

fn report(outcome: &Outcome, out: Option<&Path>, sidecar: Option<&Path>) -> Value {
    let settled = outcome.merged.settled.iter();
    let settled: Vec<Value> =
        settled.map(|s| json!({"id": s.id.as_str(), "unit": s.unit.to_string(), "rule": s.rule.name()})).collect();
    json!({
        "merged": outcome.merged.beads.len(),
        "deleted": outcome.deleted,
        "conflicts": conflicts(&outcome.merged),
        "settled_by_rule": outcome.merged.settled_by_rule(),
        "settled": settled,
        "out": out,
        "sidecar": sidecar,
    })
}

/// Lists conflicts for people.
pub(super) fn tell(output: &Output, merged: &Merged, sidecar: Option<&Path>) {
    for conflict in &merged.conflicts {
        let values = conflict.values.iter().map(|v| v.as_ref().map_or("(absent)".to_owned(), short));
        let values: Vec<String> = values.collect();
        let kept = if conflict.unit == Unit::Delete { "kept although one side deleted it" } else { "shown first" };
        output.note(&format!("conflict: {} {}: {} ({kept})", conflict.id, conflict.unit, values.join(" | ")));
    }
    if let Some(path) = sidecar {
        output.note(&format!("{} conflicts, all values in {}", merged.conflicts.len(), path.display()));
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(59).chain(['…']).collect() }
}

/// Writes every value of every conflict beside the result, before the result is visible. `None` without conflicts.
pub(super) fn keep_conflicts(merged: &Merged, path: &Path) -> Result<Option<PathBuf>, CliError> {
    if merged.conflicts.is_empty() {
        return Ok(None);
    }
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(|err| CliError::disk(dir.display(), &err))?;
    }
    let mut text = json!({ "conflicts": conflicts(merged) }).to_string();
    text.push('\n');
    write_whole(path, text.as_bytes())?;
    Ok(Some(path.to_owned()))
}

/// Replaces a file whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let disk = |err: std::io::Error| CliError::disk(path.display(), &err);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = std::fs::File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Ok(old) = std::fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&new, path)).map_err(|err| {
        let _gone = std::fs::remove_file(&new);
        disk(err)
    })
}

#[cfg(test)]
mod tests;
