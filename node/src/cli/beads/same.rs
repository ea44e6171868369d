//! `townmesh beads same`.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads same`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh beads same app-x1 app-x1~3fa2")]
pub struct Args {
    /// One bead
    a: String,
    /// The other one
    b: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Same { at: cx.at(), a: args.a, b: args.b })?;
    cx.output.step("one bead");
    cx.output.data(&result, |_| Ok(()))
}
