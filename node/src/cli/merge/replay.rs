//! `townmesh merge --replay`: what happened to a repository's beads, merge by merge.

use super::file::Version;
use super::merge_versions;
use crate::cli::Output;
use crate::{CliError, Exit};
use beads::{Bead, BeadId, Unit, canonical_hash};
use bridge::git;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a bead's units say, as hashes.
type Units = BTreeMap<Unit, u64>;

/// What one merge was like.
#[derive(Default, Clone, Copy)]
struct Counts {
    ours_edits: u64,
    theirs_edits: u64,
    git_conflicts: u64,
    lost: u64,
    kept_conflicts: u64,
    lost_by_this: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.ours_edits += other.ours_edits;
        self.theirs_edits += other.theirs_edits;
        self.git_conflicts += other.git_conflicts;
        self.lost += other.lost;
        self.kept_conflicts += other.kept_conflicts;
        self.lost_by_this += other.lost_by_this;
    }

    fn to_json(self) -> Value {
        json!({"edits_ours": self.ours_edits, "edits_theirs": self.theirs_edits,
            "git_line_merge_conflicts": self.git_conflicts, "lost_by_the_committed_merge": self.lost,
            "conflicts_kept": self.kept_conflicts, "lost_by_this_merge": self.lost_by_this})
    }
}

pub(super) fn run(output: &Output, repo: &Path, file: &str, limit: usize) -> Result<Exit, CliError> {
    let git_error = |err: git::GitError| {
        CliError::new("bad_input", format!("{}: {err}", repo.display()))
            .hint("name a git repository, and with --file its beads file")
    };
    let mut merges = git::merge_commits(repo, file).map_err(git_error)?;
    if limit > 0 {
        // Oldest first: the newest are at the end.
        merges.drain(..merges.len().saturating_sub(limit));
    }
    let mut objects = git::Objects::open(repo).map_err(git_error)?;
    let mut progress = output.progress();
    let mut rows = Vec::new();
    let mut total = Counts::default();
    let mut git_clean = 0;
    let mut skipped = 0;
    for (done, merge) in merges.iter().enumerate() {
        progress.show(&format!("merge {} of {}", done + 1, merges.len()));
        let mut get = |commit: &str| objects.show(commit, file).map(Option::unwrap_or_default).map_err(git_error);
        let bytes = [get(&merge.base)?, get(&merge.ours)?, get(&merge.theirs)?, get(&merge.commit)?];
        let versions: Vec<Version> = bytes.iter().map(|b| Version::parse("", b)).collect();
        if versions[..3].iter().any(|v| !v.bad.is_empty()) {
            skipped += 1;
            rows.push(json!({"merge": merge.commit, "skipped": "a version has lines that cannot be read"}));
            continue;
        }
        let line_merge = git::line_merge(&bytes[0], &bytes[1], &bytes[2]).map_err(git_error)?;
        let counts = compare(&versions, line_merge.conflicts as u64)?;
        git_clean += u64::from(counts.git_conflicts == 0);
        total.add(&counts);
        let mut row = counts.to_json();
        row["merge"] = json!(merge.commit);
        rows.push(row);
    }
    let mut totals = total.to_json();
    totals["merges"] = json!(merges.len());
    totals["skipped"] = json!(skipped);
    totals["merges_that_git_merges_without_conflict"] = json!(git_clean);
    output.data(&json!({"merges": rows, "totals": totals}), |out| {
        writeln!(
            out,
            "merge         edits ours/theirs   git conflicts   lost as committed   conflicts kept   lost here"
        )?;
        for row in &rows {
            let commit: String = row["merge"].as_str().unwrap_or_default().chars().take(12).collect();
            match row.get("skipped").and_then(Value::as_str) {
                Some(why) => writeln!(out, "{commit:<12}  {why}")?,
                None => writeln!(out, "{commit:<12}  {}", columns(row))?,
            }
        }
        writeln!(out, "{:<12}  {}", format!("{} merges", merges.len()), columns(&totals))
    })
}

fn columns(row: &Value) -> String {
    let edits = format!("{}/{}", row["edits_ours"], row["edits_theirs"]);
    format!(
        "{edits:>17}   {:>13}   {:>17}   {:>14}   {:>9}",
        row["git_line_merge_conflicts"].to_string(),
        row["lost_by_the_committed_merge"].to_string(),
        row["conflicts_kept"].to_string(),
        row["lost_by_this_merge"].to_string()
    )
}

fn compare(versions: &[Version], git_conflicts: u64) -> Result<Counts, CliError> {
    let [base, ours, theirs, committed] = versions else { return Ok(Counts::default()) };
    let outcome = merge_versions(base, ours, theirs)?;
    let index = |beads: Vec<Bead>| -> BTreeMap<BeadId, Units> {
        beads.into_iter().map(|bead| (bead.id.clone(), units(&bead))).collect()
    };
    let (base, ours, theirs) = (index(base.beads()), index(ours.beads()), index(theirs.beads()));
    let (committed, here) = (index(committed.beads()), index(outcome.merged.beads));
    let mut counts = Counts {
        git_conflicts,
        kept_conflicts: outcome.merged.conflicts.len() as u64,
        ours_edits: edits(&base, &ours).count() as u64,
        theirs_edits: edits(&base, &theirs).count() as u64,
        ..Counts::default()
    };
    for (side, other) in [(&ours, &theirs), (&theirs, &ours)] {
        for (id, unit, value) in edits(&base, side) {
            let at = |version: &BTreeMap<BeadId, Units>| version.get(id).and_then(|u| u.get(unit)).copied();
            // Only what the other side left alone: of two edits of one unit one has to be chosen.
            if at(other) != at(&base) || !other.contains_key(id) && base.contains_key(id) {
                continue;
            }
            counts.lost += u64::from(at(&committed) != value);
            counts.lost_by_this += u64::from(at(&here) != value);
        }
    }
    Ok(counts)
}

/// The units of a side that are not what the base says: `None` where it took the value away. A bead that is gone is
/// no edit of its units.
fn edits<'a>(
    base: &'a BTreeMap<BeadId, Units>,
    side: &'a BTreeMap<BeadId, Units>,
) -> impl Iterator<Item = (&'a BeadId, &'a Unit, Option<u64>)> {
    side.iter().flat_map(move |(id, units)| {
        let before = base.get(id);
        let changed = units
            .iter()
            .filter(move |(unit, hash)| before.and_then(|b| b.get(unit)) != Some(hash))
            .map(|(unit, hash)| (unit, Some(*hash)));
        let gone = before.into_iter().flatten().map(|(unit, _)| unit).filter(|unit| !units.contains_key(unit));
        changed.chain(gone.map(|unit| (unit, None))).map(move |(unit, value)| (id, unit, value))
    })
}

/// What a bead says, without the times that every change moves and without comments, which are never taken away.
fn units(bead: &Bead) -> Units {
    let all = bead.units().into_iter();
    let own = all.filter(|(unit, _)| !matches!(unit, Unit::UpdatedAt | Unit::CreatedAt | Unit::Comment(_)));
    own.map(|(unit, value)| (canonical_hash(&unit, Some(&value)), unit)).map(|(hash, unit)| (unit, hash)).collect()
}
