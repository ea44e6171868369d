//! `townmesh beads set`.

use super::change::ChangeArgs;
use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads set app-x1 status=in_progress assignee=max\n  \
    townmesh beads set app-x1 --label urgent --comment \"seen on two machines\"\n  \
    townmesh beads set app-x1 notes= --dep app-y2=related")]
pub struct Args {
    /// The bead
    id: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    if args.change.is_empty() {
        return Err(CliError::new("usage", "nothing to change").hint("townmesh beads set --help"));
    }
    let id = args.id.clone();
    let result = cx.call(&Command::Set { at: cx.at(), id: args.id, change: args.change.into_change()? })?;
    cx.output.step(&format!("{id} changed"));
    cx.output.data(&result, |_| Ok(()))
}
