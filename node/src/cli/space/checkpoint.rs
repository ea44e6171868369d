//! `townmesh space checkpoint`: the state as it is now, for newcomers to begin with.

use crate::cli::connect::Cx;
use crate::cli::output::number;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `space checkpoint`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  townmesh space checkpoint --space app\n\nThe space's coordinator makes one by itself \
    every 10,000 ops."
)]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let made = cx.call(&Command::SpaceCheckpoint { at: cx.at() })?;
    let (beads, ops, bytes) = (number(&made, "beads"), number(&made, "ops"), number(&made, "bytes"));
    cx.output.step(&format!("checkpoint of {beads} beads after {ops} ops, {} KiB", bytes.div_ceil(1024)));
    cx.output.data(&made, |_| Ok(()))
}
