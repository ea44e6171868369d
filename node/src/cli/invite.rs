//! `townmesh invite`: a ticket, and nothing else on stdout.

use super::connect::Cx;
use super::output::text;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `invite`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh invite\n  ssh server townmesh join $(townmesh invite)\n  \
    townmesh invite --role reader --ttl 600")]
pub struct Args {
    /// What the new machine may do: maintainer, writer or reader
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Seconds until the ticket expires (default: an hour)
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Invite { at: cx.at(), role: args.role, ttl_s: args.ttl })?;
    if text(&result, "ticket").is_empty() {
        return Err(CliError::shape("a ticket"));
    }
    cx.output.data(&result, |out| writeln!(out, "{}", text(&result, "ticket")))
}
