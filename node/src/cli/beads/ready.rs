//! `townmesh beads ready`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number, one_line, text};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads ready`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  townmesh beads ready --limit 5\n\nA dependency on external:PROJECT:WHAT is looked up in the \
    space of that name on this node."
)]
pub struct Args {
    /// At most this many; 0 = 100
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Ready { at: cx.at(), limit: args.limit })?;
    let beads = list(&result, "beads");
    let left = number(&result, "total").saturating_sub(beads.len() as u64);
    if left > 0 {
        cx.output.note(&format!("{left} more"));
    }
    for bead in beads {
        for target in list(bead, "unknown") {
            cx.output.note(&format!("{}: nothing is known here of {}", text(bead, "id"), one_line(target, 120)));
        }
    }
    cx.output.data(&result, |out| super::table(beads, out))
}
