//! `townmesh space new`.

use crate::cli::connect::Cx;
use crate::cli::output::text;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `space new`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh space new app\n  townmesh space new docs --public")]
pub struct Args {
    /// Its name: letters, digits, '.', '_' and '-'
    name: String,
    /// Readable by anybody who gets its events; otherwise sealed
    #[arg(long)]
    public: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::SpaceNew { name: args.name, public: args.public })?;
    cx.output.data(&result, |out| writeln!(out, "{}", text(&result, "id")))
}
