//! `townmesh beads delete`.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads delete`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh beads delete app-x1\n\n\
    An edit elsewhere that did not know of this brings the bead back; `beads conflicts` then lists the delete.")]
pub struct Args {
    /// The beads
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let ids = args.ids.join(", ");
    let result = cx.call(&Command::Delete { at: cx.at(), ids: args.ids })?;
    cx.output.step(&format!("{ids} deleted"));
    cx.output.data(&result, |_| Ok(()))
}
