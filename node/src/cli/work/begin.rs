//! `townmesh work begin`: work on a bead although the coordinator cannot be reached.

use crate::cli::connect::Cx;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `work begin`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work begin app-x1 --runner max\n\n\
    On the road, say. The result waits on this machine; when the coordinator can be reached it grants the bead to this machine, and\n\
    the result is handed in under that grant. If the bead was closed or given to somebody else meanwhile, it closes nothing.")]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Which of this machine's runners
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,
    /// The commit to begin at, a whole id
    #[arg(long, value_name = "COMMIT")]
    base: Option<String>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let Args { id, runner, base } = args;
    let result = cx.call(&Command::WorkBegin { at: cx.at(), id, runner, base })?;
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}
