//! `townmesh runner …`: programs and people that work on beads on this machine.

mod add;
mod ls;
mod presets;
mod rm;

pub(super) use presets::offer;

use super::connect::Cx;
use crate::{CliError, Exit};
use clap::Subcommand;

/// `townmesh runner`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh runner ls\n  townmesh runner add max --slots 2 --preset claude"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with runners.
#[derive(Debug, Subcommand)]
enum Action {
    /// Let a program on this machine work on slung beads
    Add(add::Args),
    /// List this machine's runners
    Ls(ls::Args),
    /// List agents that are known by name
    Presets(presets::Args),
    /// Take a runner away
    Rm(rm::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Add(args) => add::run(cx, args),
        Action::Ls(args) => ls::run(cx, &args),
        Action::Presets(args) => presets::run(cx, &args),
        Action::Rm(args) => rm::run(cx, &args),
    }
}
