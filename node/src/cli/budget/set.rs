//! `townmesh budget set`.

use crate::cli::connect::Cx;
use crate::cli::money::LimitArgs;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `budget set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh budget set day --money 20 --tokens 5000000\n  \
    townmesh budget set host:laptop --money 5\n  townmesh budget set bead --tokens 200000\n\n\
    SCOPE is day, rig:RIG or host:HOST (each for one day, UTC), bead or convoy (each one, as long as it lives). Checked before\n\
    work is given away and at every report of a worker: work that has used a budget up is stopped, and waits until there is\n\
    more. On the owner's machine.")]
pub struct Args {
    /// What it is for
    #[arg(value_name = "SCOPE")]
    scope: String,
    #[command(flatten)]
    limit: LimitArgs,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let limit = Some(args.limit.limit());
    let result = cx.call(&Command::BudgetSet { at: cx.at(), scope: args.scope, limit })?;
    cx.output.data(&result, |out| super::ls::table(&result, out))
}
