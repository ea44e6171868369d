//! `townmesh convoy ls`.

use crate::cli::connect::Cx;
use crate::cli::output::one_line;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `convoy ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh convoy ls --all")]
pub struct Args {
    /// Those that have landed, too
    #[arg(long)]
    all: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::ConvoyLs { at: cx.at(), all: args.all })?;
    cx.output.data(&result, |out| {
        result.as_array().into_iter().flatten().try_for_each(|convoy| {
            let (id, title) = (one_line(&convoy["convoy"], 40), one_line(&convoy["title"], 60));
            writeln!(out, "{id}  {}  {title}", super::state(convoy))
        })
    })
}
