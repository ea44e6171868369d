//! `townmesh beads batch`.

use super::import::{read_line, reader};
use crate::cli::connect::Cx;
use crate::cli::output::number;
use crate::{CliError, Exit};
use engine::{BeadEdit, Command};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Changes per call: one signature and one sync for all of them.
const CHUNK: usize = 64;

/// Flags of `beads batch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads batch edits.jsonl\n  \
    echo '{\"id\":\"app-x1\",\"fields\":{\"priority\":1},\"add_labels\":[\"ci\"]}' | townmesh beads batch -\n\n\
    A line is a change of one bead: id, fields, add_labels, remove_labels, add_deps ([target, type]), remove_deps,\n\
    comments. Changes are made in groups of 64: all of a group or nothing.")]
pub struct Args {
    /// Changes as JSON lines; `-` reads stdin
    file: PathBuf,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let mut reader = reader(&args.file)?;
    let mut node = cx.connect()?;
    let mut progress = cx.output.progress();
    let (mut line_no, mut bytes, mut beads, mut writes) = (0u64, 0usize, 0u64, 0u64);
    let mut edits: Vec<BeadEdit> = Vec::new();
    let mut ids = BTreeSet::new();
    let mut send = |edits: &mut Vec<BeadEdit>, up_to: u64| -> Result<(), CliError> {
        let edits = std::mem::take(edits);
        if edits.is_empty() {
            return Ok(());
        }
        let done = node.call(&Command::Batch { at: cx.at(), edits }).map_err(|mut err| {
            err.message =
                format!("{} (in the group that ends with line {up_to}; what came before is done)", err.message);
            err
        })?;
        beads += number(&done, "beads");
        writes += number(&done, "writes");
        progress.show(&format!("{beads} changes"));
        Ok(())
    };
    while let Some(line) = read_line(&mut reader, &mut bytes)? {
        line_no += 1;
        if line.trim().is_empty() {
            continue;
        }
        let edit: BeadEdit = serde_json::from_str(&line).map_err(|err| {
            CliError::new("bad_input", format!("line {line_no}: {err}")).hint("townmesh beads batch --help")
        })?;
        // A bead's second change builds on its first one.
        if edits.len() >= CHUNK || ids.contains(&edit.id) {
            send(&mut edits, line_no - 1)?;
            ids.clear();
        }
        ids.insert(edit.id.clone());
        edits.push(edit);
    }
    send(&mut edits, line_no)?;
    drop(progress);
    let result = json!({"beads": beads, "writes": writes});
    cx.output.step(&format!("{beads} changes"));
    cx.output.data(&result, |_| Ok(()))
}
