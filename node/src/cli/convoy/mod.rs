//! `townmesh convoy …`: beads that were slung together.

mod ls;
mod show;

use super::connect::Cx;
use super::output::number;
use crate::{CliError, Exit};
use clap::Subcommand;
use serde_json::Value;

/// `townmesh convoy`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh sling app-x1 app-x2 server --convoy \"the release\"\n  townmesh convoy ls"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with convoys.
#[derive(Debug, Subcommand)]
enum Action {
    /// List convoys that are under way
    Ls(ls::Args),
    /// Show one convoy with its beads
    Show(show::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Ls(args) => ls::run(cx, &args),
        Action::Show(args) => show::run(cx, args),
    }
}

/// How far a convoy is, in words.
fn state(convoy: &Value) -> String {
    let (done, over, of) = (number(convoy, "done"), number(convoy, "over"), number(convoy, "of"));
    let landed = if convoy["landed"] == true { "landed, " } else { "" };
    format!("{landed}{done} of {of} done, {} not, {} under way", over.saturating_sub(done), of.saturating_sub(over))
}
