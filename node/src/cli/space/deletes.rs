//! `townmesh space deletes`: were those lines meant to go?

use crate::cli::connect::{Cx, directory, utf8};
use crate::{CliError, Exit};
use engine::Command;
use std::path::PathBuf;

/// Flags of `space deletes`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("answer").required(true).args(["accept", "restore"]),
    after_help = "Examples:\n  townmesh space deletes --restore     write the lines again\n  \
    townmesh space deletes --accept      delete those beads everywhere")]
pub struct Args {
    /// The directory
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Delete the beads whose lines vanished
    #[arg(long)]
    accept: bool,
    /// Write the lines again
    #[arg(long)]
    restore: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let dir = directory(&args.dir)?;
    let result = cx.call(&Command::SpaceDeletes { dir: utf8(&dir)?, accept: args.accept })?;
    cx.output.step(if args.accept { "beads deleted" } else { "lines restored" });
    cx.output.data(&result, |_| Ok(()))
}
