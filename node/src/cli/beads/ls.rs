//! `townmesh beads ls`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads ls\n  townmesh beads ls --status open --limit 20\n  \
    townmesh beads ls --all --json")]
pub struct Args {
    /// Only this status; may be given several times
    #[arg(long)]
    status: Vec<String>,
    /// Closed beads and tombstones too
    #[arg(long, conflicts_with = "status")]
    all: bool,
    /// At most this many; 0 = all
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let command = Command::Ls { at: cx.at(), status: args.status, all: args.all, limit: args.limit };
    let result = cx.call(&command)?;
    let beads = list(&result, "beads");
    let left = number(&result, "total").saturating_sub(beads.len() as u64);
    if left > 0 {
        cx.output.note(&format!("{left} more"));
    }
    cx.output.data(&result, |out| super::table(beads, out))
}
