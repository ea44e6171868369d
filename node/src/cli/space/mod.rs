//! `townmesh space …`: spaces, and the directories coupled with them.

pub(super) mod attach;
mod checkpoint;
mod coordinator;
mod deletes;
mod detach;
mod history;
mod ls;
mod new;
mod show;

use super::connect::Cx;
use crate::{CliError, Exit};
use clap::Subcommand;

/// `townmesh space`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh space ls\n  townmesh space attach ~/app --space app"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with spaces.
#[derive(Debug, Subcommand)]
enum Action {
    /// List all spaces
    Ls(ls::Args),
    /// Make a space
    New(new::Args),
    /// Couple a directory's beads file with a space
    Attach(attach::Args),
    /// Show a space's members, directories and open questions
    Show(show::Args),
    /// Answer the question about many lines that vanished from a file
    Deletes(deletes::Args),
    /// Make a checkpoint now, from which newcomers begin
    Checkpoint(checkpoint::Args),
    /// Say for how many days every single change is kept
    History(history::Args),
    /// Say which host grants slung work
    Coordinator(coordinator::Args),
    /// End the coupling of a directory; its file stays as it is
    Detach(detach::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Ls(args) => ls::run(cx, &args),
        Action::New(args) => new::run(cx, args),
        Action::Attach(args) => attach::run(cx, &args),
        Action::Show(args) => show::run(cx, &args),
        Action::Deletes(args) => deletes::run(cx, &args),
        Action::Checkpoint(args) => checkpoint::run(cx, &args),
        Action::History(args) => history::run(cx, &args),
        Action::Coordinator(args) => coordinator::run(cx, &args),
        Action::Detach(args) => detach::run(cx, &args),
    }
}
