//! `townmesh convoy show`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, one_line};
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `convoy show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh convoy show app-c1 --json")]
pub struct Args {
    /// The convoy
    #[arg(value_name = "CONVOY")]
    id: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::ConvoyShow { at: cx.at(), id: args.id })?;
    cx.output.data(&result, |out| {
        let (id, title) = (one_line(&result["convoy"], 40), one_line(&result["title"], 60));
        writeln!(out, "{id}  {}  {title}", super::state(&result))?;
        list(&result, "beads").iter().try_for_each(|bead| writeln!(out, "  {}", describe(bead)))
    })
}
