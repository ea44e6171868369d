//! `townmesh budget …`: how much work may use.

mod ls;
mod rm;
mod set;

use super::connect::Cx;
use crate::{CliError, Exit};
use clap::Subcommand;

/// `townmesh budget`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh budget set day --money 20\n  townmesh budget ls"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with budgets.
#[derive(Debug, Subcommand)]
enum Action {
    /// Limit what may be used
    Set(set::Args),
    /// List the budgets, and how much of each is used
    Ls(ls::Args),
    /// Take a budget away
    Rm(rm::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Set(args) => set::run(cx, args),
        Action::Ls(args) => ls::run(cx, &args),
        Action::Rm(args) => rm::run(cx, args),
    }
}
