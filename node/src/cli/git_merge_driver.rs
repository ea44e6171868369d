//! `townmesh git-merge-driver`: lets `git merge` merge beads files by meaning.

use super::Output;
use super::merge::{keep_conflicts, merge_files, tell, write_whole};
use crate::{CliError, Exit};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// Flags of `git-merge-driver`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh git-merge-driver base.jsonl ours.jsonl theirs.jsonl .beads/issues.jsonl\n\n\
    For git to use it:\n  git config merge.beads.driver \"townmesh git-merge-driver %O %A %B %P\"\n  \
    echo '.beads/issues.jsonl merge=beads' >> .gitattributes\n\n\
    Exit codes: 0 clean, 1 merged with conflicts kept and listed (review, then git add), 2 bad input, file untouched"
)]
pub struct Args {
    /// The ancestor's version (%O)
    ancestor: PathBuf,
    /// Our version (%A); the result is written here
    ours: PathBuf,
    /// The other version (%B)
    theirs: PathBuf,
    /// The file's path in the repository (%P): all values of conflicts are kept beside it
    path: Option<PathBuf>,
}

pub(super) fn run(output: &Output, args: &Args) -> Result<Exit, CliError> {
    let outcome = merge_files(&args.ancestor, &args.ours, &args.theirs)?;
    let sidecar = keep_conflicts(&outcome.merged, &sidecar(args, &outcome.text))?;
    write_whole(&args.ours, &outcome.text)?;
    tell(output, &outcome.merged, sidecar.as_deref());
    let conflicts = outcome.merged.conflicts.len();
    let shown = args.path.as_deref().unwrap_or(&args.ours);
    if conflicts > 0 {
        output.note(&format!("{0} is merged; look at the conflicts, then: git add {0}", shown.display()));
    }
    output
        .data(&json!({"merged": outcome.merged.beads.len(), "conflicts": conflicts, "sidecar": sidecar}), |_| Ok(()))?;
    Ok(if conflicts == 0 { Exit::Ok } else { Exit::No })
}

/// Where the values of conflicts are kept: named by the result's content, so that no merge overwrites another's.
fn sidecar(args: &Args, text: &[u8]) -> PathBuf {
    let hash = Sha256::digest(text);
    let name = format!("{}.json", hex::encode(&hash[..8]));
    let beside = args.path.as_deref().unwrap_or(&args.ours).parent().unwrap_or(Path::new(""));
    beside.join("conflicts").join(name)
}
