//! `townmesh work …`: beads that were slung, here and elsewhere.

mod begin;
mod cancel;
mod judge;
mod log;
mod ls;
mod report;
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
    /// Work on a bead here while nobody can grant it
    Begin(begin::Args),
    /// Take a result that waits for a person
    Accept(judge::AcceptArgs),
    /// Turn a result down that waits for a person
    Dismiss(judge::DismissArgs),
    /// Say what is being done for a bead on this machine
    Note(report::NoteArgs),
    /// Say what was used for a bead on this machine
    Usage(report::UsageArgs),
    /// Say that your own work on a bead is done, or failed
    Result(result::Args),
    /// Say that your own work on a bead failed
    Fail(result::FailArgs),
    /// Take a slung bead back
    Cancel(cancel::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Ls(args) => ls::run(cx, &args),
        Action::Show(args) => show::run(cx, args),
        Action::Log(args) => log::run(cx, args),
        Action::Review(args) => review::run(cx, &args),
        Action::Begin(args) => begin::run(cx, args),
        Action::Accept(args) => judge::accept(cx, args),
        Action::Dismiss(args) => judge::dismiss(cx, args),
        Action::Note(args) => report::note(cx, args),
        Action::Usage(args) => report::usage(cx, args),
        Action::Fail(args) => result::fail(cx, args),
        Action::Result(args) => result::run(cx, args),
        Action::Cancel(args) => cancel::run(cx, args),
    }
}
