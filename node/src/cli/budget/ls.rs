//! `townmesh budget ls`.

use crate::cli::connect::Cx;
use crate::cli::money::{limit, name, used};
use crate::{CliError, Exit};
use engine::Command;
use serde_json::Value;
use std::io::{self, Write};

/// Flags of `budget ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh budget ls --json")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::BudgetLs { at: cx.at() })?;
    cx.output.data(&result, |out| table(&result, out))
}

/// Of budgets for each bead or convoy, the one that used most is shown.
pub(super) fn table(budgets: &Value, out: &mut dyn Write) -> io::Result<()> {
    for budget in budgets.as_array().into_iter().flatten() {
        let of = budget["of"].as_str().map(|of| format!(" by {of}")).unwrap_or_default();
        let up = if budget["used_up"] == true { "  USED UP" } else { "" };
        let (limit, used) = (limit(&budget["limit"]), used(&budget["used"]));
        writeln!(out, "{:<24} {limit}; used{of}: {used}{up}", name(budget, "budget"))?;
    }
    Ok(())
}
