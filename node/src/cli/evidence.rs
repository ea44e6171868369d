//! `townmesh evidence`: what is kept against members.

use super::connect::Cx;
use super::output::one_line;
use crate::{CliError, Exit};
use clap::Subcommand;
use engine::Command;

/// `townmesh evidence`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = "Example:\n  townmesh evidence ls")]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with evidence.
#[derive(Debug, Subcommand)]
enum Action {
    /// List what is kept: forks, contradicting grants, ops that no longer count
    #[command(
        after_help = "Example:\n  townmesh evidence ls --json      with the signed events: anybody can check them"
    )]
    Ls,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let Action::Ls = args.command;
    let result = cx.call(&Command::EvidenceLs { at: cx.at() })?;
    cx.output.data(&result, |out| {
        result.as_array().into_iter().flatten().try_for_each(|proof| {
            let what = if proof["bead"].is_string() { &proof["bead"] } else { &proof["host"] };
            writeln!(out, "{}  {}", one_line(&proof["kind"], 24), one_line(what, 64))
        })
    })
}
