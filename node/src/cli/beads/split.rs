//! `townmesh beads split`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, one_line};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh beads split app-x1")]
pub struct Args {
    /// The bead
    id: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Split { at: cx.at(), id: args.id })?;
    cx.output.data(&result, |out| list(&result, "ids").iter().try_for_each(|id| writeln!(out, "{}", one_line(id, 80))))
}
