//! `townmesh beads add`.

use super::change::ChangeArgs;
use crate::cli::connect::Cx;
use crate::cli::output::text;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads add \"Fix flaky login\" priority=1 --label ci\n  \
    townmesh beads add \"Write it down\" --id app-x9")]
pub struct Args {
    /// Its title, 1 to 500 bytes
    title: String,
    /// Its id; otherwise one is made
    #[arg(long)]
    id: Option<String>,
    /// What a made id begins with (default: as the space's other beads)
    #[arg(long, conflicts_with = "id")]
    prefix: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let change = args.change.into_change()?;
    let command = Command::Add { at: cx.at(), title: args.title, id: args.id, prefix: args.prefix, change };
    let result = cx.call(&command)?;
    cx.output.data(&result, |out| writeln!(out, "{}", text(&result, "id")))
}
