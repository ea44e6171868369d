//! `townmesh beads show`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, one_line, text};
use crate::{CliError, Exit};
use engine::Command;
use serde_json::Value;
use std::io::{self, Write};

/// Flags of `beads show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh beads show app-x1")]
pub struct Args {
    /// The bead
    id: String,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Show { at: cx.at(), id: args.id })?;
    cx.output.data(&result, |out| human(&result, out))
}

fn human(result: &Value, out: &mut dyn Write) -> io::Result<()> {
    let bead = &result["bead"];
    writeln!(out, "{}  {}", one_line(&bead["id"], 80), one_line(&bead["title"], 500))?;
    let fields = bead.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !matches!(name.as_str(), "id" | "title" | "comments")) {
        match value {
            Value::String(long) if long.contains('\n') => {
                writeln!(out, "  {name}:")?;
                long.lines().try_for_each(|line| writeln!(out, "    {}", one_line(&line.into(), 2_000)))?;
            }
            _ => writeln!(out, "  {name}: {}", one_line(value, 2_000))?,
        }
    }
    for comment in list(bead, "comments") {
        let (at, by) = (text(comment, "created_at"), one_line(&comment["author"], 60));
        writeln!(out, "  {at} {by}: {}", one_line(&comment["text"], 2_000))?;
    }
    let conflicts = list(result, "conflicts");
    if !conflicts.is_empty() {
        writeln!(out, "\nseveral values:")?;
    }
    conflicts.iter().try_for_each(|conflict| super::conflict(conflict, out))
}
