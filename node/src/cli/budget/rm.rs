//! `townmesh budget rm`.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `budget rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh budget rm host:laptop")]
pub struct Args {
    /// What it is for
    #[arg(value_name = "SCOPE")]
    scope: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::BudgetSet { at: cx.at(), scope: args.scope, limit: None })?;
    cx.output.data(&result, |out| super::ls::table(&result, out))
}
