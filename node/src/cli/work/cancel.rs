//! `townmesh work cancel`.

use crate::cli::connect::Cx;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `work cancel`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work cancel app-x1 --reason \"not needed any more\"\n\n\
    Whoever works on it is told to stop; what was made so far is kept on that machine.")]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::WorkCancel { at: cx.at(), id: args.id, reason: args.reason })?;
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}
