//! `townmesh beads conflicts`.

use crate::cli::connect::Cx;
use crate::cli::output::list;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads conflicts`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads conflicts\n  townmesh beads conflicts app-x1 --json\n  \
    townmesh beads conflicts --baseline      where imported copies differ")]
pub struct Args {
    /// Only this bead
    id: Option<String>,
    /// Only where imported copies differ
    #[arg(long, conflicts_with = "edits")]
    baseline: bool,
    /// Only where edits differ
    #[arg(long)]
    edits: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let baseline = match (args.baseline, args.edits) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let result = cx.call(&Command::Conflicts { at: cx.at(), baseline, id: args.id })?;
    let all = list(&result, "conflicts");
    cx.output.note(&format!("{} conflicts", all.len()));
    cx.output.data(&result, |out| all.iter().try_for_each(|conflict| super::conflict(conflict, out)))
}
