//! `townmesh runner rm`.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `runner rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh runner rm max\n\nWhat it works on now goes on.")]
pub struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::RunnerRm { name: args.name.clone() })?;
    cx.output.step(&format!("{} is gone", args.name));
    cx.output.data(&result, |_| Ok(()))
}
