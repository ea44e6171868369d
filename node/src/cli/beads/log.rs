//! `townmesh beads log`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number, one_line, text};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `beads log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads log app-x1\n  townmesh beads log --limit 20")]
pub struct Args {
    /// Only this bead
    id: Option<String>,
    /// At most this many; 0 = 100
    #[arg(long, default_value_t = 0)]
    limit: usize,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Log { at: cx.at(), id: args.id, limit: args.limit })?;
    cx.output.data(&result, |out| {
        for op in list(&result, "ops") {
            let host: String = text(op, "host").chars().take(12).collect();
            writeln!(
                out,
                "{}  {host}… #{}  {}",
                when(number(op, "at_ms")),
                number(op, "seq"),
                one_line(&op["actor"], 40)
            )?;
            for write in list(op, "writes").iter().take(50) {
                let kind = if write["baseline"] == true { " (imported)" } else { "" };
                let (id, unit) = (one_line(&write["id"], 40), one_line(&write["unit"], 60));
                writeln!(out, "    {id} {unit} = {}{kind}", one_line(&write["value"], 80))?;
            }
        }
        Ok(())
    })
}

/// A point in time for people, in UTC.
fn when(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| at_ms.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
