//! `townmesh work show`.

use crate::cli::connect::Cx;
use crate::cli::money::used;
use crate::cli::output::{list, number, one_line, text};
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::Command;
use serde_json::Value;

/// Flags of `work show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work show app-x1 --json")]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::WorkShow { at: cx.at(), id: args.id })?;
    cx.output.data(&result, |out| {
        writeln!(out, "{}", describe(&result))?;
        for offer in list(&result, "offers") {
            let (at, by) = (time(offer, "at"), one_line(&offer["by"], 40));
            writeln!(out, "  {at}  {by} offers it to {}", one_line(&offer["target"], 60))?;
        }
        for grant in list(&result, "grants") {
            let (worker, fence) = (one_line(&grant["worker"], 40), text(grant, "fence"));
            writeln!(
                out,
                "  {}  granted to {worker}, attempt {} (fence {fence})",
                time(grant, "granted_at"),
                number(grant, "attempt")
            )?;
            if grant["accepted_at"].is_number() {
                writeln!(out, "  {}  taken by {worker}", time(grant, "accepted_at"))?;
            }
            let spent = used(&grant["used"]);
            if !spent.is_nothing() {
                writeln!(out, "                        used {spent}")?;
            }
            if grant["result_at"].is_number() {
                let commit = grant["commit"].as_str().map(|commit| format!(", commit {commit}")).unwrap_or_default();
                writeln!(out, "  {}  {worker}: {}{commit}", time(grant, "result_at"), text(grant, "result"))?;
            }
            let why = grant["why"].as_str().map(|_| format!(": {}", one_line(&grant["why"], 200))).unwrap_or_default();
            writeln!(out, "                        {}{why}", text(grant, "state"))?;
        }
        Ok(())
    })
}

/// A moment, in UTC.
fn time(value: &Value, field: &str) -> String {
    let at = i64::try_from(number(value, field)).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(|| "-".repeat(20), |at| at.to_string())
}
