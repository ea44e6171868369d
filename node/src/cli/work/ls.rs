//! `townmesh work ls`.

use crate::cli::connect::Cx;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `work ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh work ls\n  townmesh work ls --all --json")]
pub struct Args {
    /// Those that are over, too
    #[arg(long)]
    all: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::WorkLs { at: cx.at(), all: args.all })?;
    cx.output.data(&result, |out| {
        result.as_array().into_iter().flatten().try_for_each(|work| writeln!(out, "{}", describe(work)))
    })
}
