//! `townmesh work result`: a person's own work is done, or failed.

use crate::cli::connect::Cx;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `work result`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh work result app-x1 --commit $(git rev-parse HEAD)\n  \
    townmesh work result app-x1 --failed --text \"cannot be reproduced\"\n\n\
    For beads that a runner without a program took: townmesh runner add me --manual")]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// It failed
    #[arg(long)]
    failed: bool,
    /// The commit with the result, a whole id
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

/// Flags of `work fail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work fail app-x1 --text \"cannot be reproduced\"")]
pub struct FailArgs {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

pub(super) fn fail(cx: &Cx<'_>, args: FailArgs) -> Result<Exit, CliError> {
    run(cx, Args { id: args.id, failed: true, commit: None, text: args.text })
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let Args { id, failed, commit, text } = args;
    let result = cx.call(&Command::WorkResult { at: cx.at(), id, failed, commit, text })?;
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}
