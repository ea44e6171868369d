//! `townmesh beads export`.

use crate::cli::connect::Cx;
use crate::cli::output::list;
use crate::{CliError, Exit};
use engine::Command;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Flags of `beads export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads export > issues.jsonl\n  \
    townmesh beads export --out issues.jsonl\n  townmesh beads export --json | jq 'length'")]
pub struct Args {
    /// Write to a file, whole or not at all; otherwise to stdout. With --json, stdout gets one array
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Export { at: cx.at() })?;
    let lines: Vec<&str> = list(&result, "lines").iter().filter_map(Value::as_str).collect();
    if let Some(path) = &args.out {
        write(path, &lines)?;
        cx.output.note(&format!("{} beads written to {}", lines.len(), path.display()));
        return cx.output.data(&json!({"beads": lines.len(), "out": path}), |_| Ok(()));
    }
    let beads = if cx.output.json() {
        let bead = |line: &&str| serde_json::from_str(line).map_err(|_| CliError::shape("readable beads"));
        lines.iter().map(bead).collect::<Result<Vec<Value>, _>>()?
    } else {
        Vec::new()
    };
    cx.output.data(&Value::Array(beads), |out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn write(path: &Path, lines: &[&str]) -> Result<(), CliError> {
    let bad = |err: std::io::Error| CliError::disk(path.display(), &err);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    let name = name.ok_or_else(|| CliError::new("bad_input", format!("{} is no file name", path.display())))?;
    let temp = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut out = std::io::BufWriter::new(std::fs::File::create(&temp)?);
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.into_inner()?.sync_all()?;
        std::fs::rename(&temp, path)
    })();
    if written.is_err() {
        // Best effort: the error that is reported is the one that matters.
        let _left = std::fs::remove_file(&temp);
    }
    written.map_err(bad)
}
