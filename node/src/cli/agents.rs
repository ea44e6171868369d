//! `townmesh agents`: who is where, doing what.

use super::connect::Cx;
use super::output::{list, number, one_line};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `agents`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh agents --json")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Agents { at: cx.at() })?;
    cx.output.data(&result, |out| {
        for host in result.as_array().into_iter().flatten() {
            let there = if host["online"] == true { "online" } else { "away" };
            let grants = if host["coordinator"] == true { ", grants work" } else { "" };
            writeln!(out, "{:<24} {there}{grants}", one_line(&host["host"], 24))?;
            for work in list(host, "working_on") {
                let (bead, title) = (one_line(&work["bead"], 40), one_line(&work["title"], 60));
                writeln!(
                    out,
                    "  {bead}  {}, attempt {}  {title}",
                    one_line(&work["state"], 12),
                    number(work, "attempt")
                )?;
            }
        }
        Ok(())
    })
}
