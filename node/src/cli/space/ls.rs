//! `townmesh space ls`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number, one_line, text};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `space ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh space ls --json")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::SpaceLs {})?;
    let spaces = list(&result, "spaces");
    cx.output.data(&result, |out| {
        for space in spaces {
            let id: String = text(space, "id").chars().take(8).collect();
            writeln!(out, "{id}  {:<24} {} beads", one_line(&space["name"], 24), number(space, "beads"))?;
        }
        Ok(())
    })
}
