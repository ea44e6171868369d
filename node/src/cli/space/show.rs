//! `townmesh space show`.

use crate::cli::connect::Cx;
use crate::cli::output::{list, number, one_line, text};
use crate::{CliError, Exit};
use engine::Command;
use serde_json::Value;
use std::io::{self, Write};

/// Flags of `space show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh space show --space app")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let space = cx.call(&Command::SpaceShow { at: cx.at() })?;
    cx.output.data(&space, |out| human(&space, out))
}

fn human(space: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}  {}", one_line(&space["name"], 64), text(space, "id"))?;
    let (beads, ops, conflicts) = (number(space, "beads"), number(space, "ops"), number(space, "conflicts"));
    writeln!(out, "  {beads} beads, {ops} ops, {conflicts} conflicts, {} ops waiting", number(space, "waiting"))?;
    for member in list(space, "members") {
        let roles = list(member, "roles").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        writeln!(out, "  member     {:<20} {roles:<24} {}", one_line(&member["name"], 20), text(member, "npub"))?;
    }
    for workspace in list(space, "workspaces") {
        let state = match (workspace.get("failed").and_then(Value::as_str), list(workspace, "broken_lines").len()) {
            (Some(reason), _) => format!("FAILED: {reason}"),
            (None, 0) => "ok".to_owned(),
            (None, broken) => format!("{broken} lines cannot be read"),
        };
        writeln!(out, "  directory  {}  {state}", one_line(&workspace["dir"], 120))?;
        let question = list(workspace, "vanished_lines").len();
        if question > 0 {
            writeln!(out, "    {question} lines vanished at once: townmesh space deletes --accept | --restore")?;
        }
    }
    let checkpoint = &space["checkpoint"];
    if let Some(ops) = checkpoint["newest"]["ops"].as_u64() {
        writeln!(out, "  checkpoint after {ops} ops, {} older ops not here", number(checkpoint, "history_missing"))?;
    }
    if let Some(days) = checkpoint["history_days"].as_u64() {
        writeln!(out, "  history    of {days} days")?;
    }
    Ok(())
}
