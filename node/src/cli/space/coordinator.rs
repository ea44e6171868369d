//! `townmesh space coordinator`: who grants slung work.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `space coordinator`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh space coordinator server\n  townmesh space coordinator server --force\n\n\
    Best the machine that is always on. The new one waits until it has everything that the old one granted. --force is for an\n\
    old one that does not come back: should it still run, cut off from you, it grants on, and a bead may run twice."
)]
pub struct Args {
    /// The host's name
    #[arg(value_name = "HOST")]
    host: String,
    /// Do not wait for the present one
    #[arg(long)]
    force: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let command = Command::SpaceCoordinator { at: cx.at(), host: args.host.clone(), force: args.force };
    let result = cx.call(&command)?;
    cx.output.step(&format!("{} grants work now", args.host));
    if args.force {
        cx.output.note("  while the old coordinator is cut off it does not know of this: a bead may run twice");
    }
    cx.output.data(&result, |_| Ok(()))
}
