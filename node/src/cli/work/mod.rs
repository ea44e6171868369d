//! `townmesh work …`: beads that were slung, here and elsewhere.

mod cancel;
mod log;
mod ls;
mod result;
mod review;
mod show;

use super::connect::Cx;
use crate::{CliError, Exit};
use clap::Subcommand;

/// `townmesh work`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = "Examples:\n  townmesh work ls\n  townmesh work show app-x1")]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with slung work.
#[derive(Debug, Subcommand)]
enum Action {
    /// List slung beads
    Ls(ls::Args),
    /// Show everything that was said about the work on a bead
    Show(show::Args),
    /// Print what a program on this machine printed
    Log(log::Args),
    /// List results that wait for a person
    Review(review::Args),
    /// Say that your own work on a bead is done, or failed
    Result(result::Args),
    /// Take a slung bead back
    Cancel(cancel::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Ls(args) => ls::run(cx, &args),
        Action::Show(args) => show::run(cx, args),
        Action::Log(args) => log::run(cx, args),
        Action::Review(args) => review::run(cx, &args),
        Action::Result(args) => result::run(cx, args),
        Action::Cancel(args) => cancel::run(cx, args),
    }
}
