//! `townmesh beads close`.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads close`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh beads close app-x1 app-x2 --reason \"fixed in 1.4\"")]
pub struct Args {
    /// The beads
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let ids = args.ids.join(", ");
    let result = cx.call(&Command::Close { at: cx.at(), ids: args.ids, reason: args.reason })?;
    cx.output.step(&format!("{ids} closed"));
    cx.output.data(&result, |_| Ok(()))
}
