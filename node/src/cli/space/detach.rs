//! `townmesh space detach`.

use crate::cli::connect::{Cx, utf8};
use crate::{CliError, Exit};
use engine::Command;
use std::path::PathBuf;

/// Flags of `space detach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh space detach ~/app")]
pub struct Args {
    /// The directory
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    // A directory that is gone can be detached too.
    let dir = args.dir.canonicalize().or_else(|_| std::path::absolute(&args.dir));
    let dir = dir.map_err(|err| CliError::new("bad_input", format!("{}: {err}", args.dir.display())))?;
    let result = cx.call(&Command::SpaceDetach { dir: utf8(&dir)? })?;
    cx.output.step(&format!("{} is on its own", dir.display()));
    cx.output.data(&result, |_| Ok(()))
}
