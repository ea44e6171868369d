//! `townmesh runner ls`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number, one_line};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `runner ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh runner ls --json")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::RunnerLs {})?;
    cx.output.data(&result, |out| {
        result.as_array().into_iter().flatten().try_for_each(|runner| {
            let busy = list(runner, "working_on");
            let command = list(runner, "command");
            let what = if command.is_empty() { "a person".to_owned() } else { one_line(&command[0], 60) };
            writeln!(
                out,
                "{:<20} {} of {} busy  {what}",
                one_line(&runner["name"], 20),
                busy.len(),
                number(runner, "slots")
            )
        })
    })
}
