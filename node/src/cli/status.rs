//! `townmesh status`.

use super::connect::Cx;
use super::output::{list, number, one_line, text};
use crate::{CliError, Exit};
use engine::Command;
use serde_json::Value;
use std::io::{self, Write};

/// Flags of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh status\n  townmesh status --json | jq '.spaces[].digest'")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let status = cx.call(&Command::Status {})?;
    cx.output.data(&status, |out| human(&status, out))
}

fn human(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}  {}", text(status, "name"), text(status, "peer_id"))?;
    writeln!(out, "  {}", text(status, "npub"))?;
    if let Some(reason) = status.get("read_only").and_then(Value::as_str) {
        writeln!(out, "  READ ONLY: {reason}")?;
    }
    if let Some(what) = status.get("records_lost").and_then(Value::as_str) {
        writeln!(out, "  RECORDS LOST: {}", one_line(&what.into(), 200))?;
        writeln!(out, "    members give back what they hold; edits that had reached nobody are to be made again")?;
    }
    for addr in list(status, "listen") {
        writeln!(out, "  listens at {}", one_line(addr, 120))?;
    }
    let peers = list(status, "peers");
    writeln!(out, "peers: {}", peers.len())?;
    for peer in peers {
        let name = peer.get("name").filter(|n| n.as_str().is_some_and(|n| !n.is_empty()));
        let name = one_line(name.unwrap_or(&peer["peer_id"]), 24);
        let transport = text(peer, "transport");
        let rtt = match peer.get("rtt_ms").and_then(Value::as_f64) {
            Some(ms) => format!("{ms:.1} ms"),
            None => "–".to_owned(),
        };
        let transport = if transport.is_empty() { "not connected" } else { transport };
        writeln!(out, "  {name:<24} {transport:<14} {rtt:>9}  {}", one_line(&peer["address"], 80))?;
    }
    let spaces = list(status, "spaces");
    writeln!(out, "spaces: {}", spaces.len())?;
    for space in spaces {
        let name = one_line(&space["name"], 24);
        let (beads, ops, conflicts) = (number(space, "beads"), number(space, "ops"), number(space, "conflicts"));
        let digest: String = text(space, "digest").chars().take(8).collect();
        writeln!(out, "  {name:<24} {beads} beads  {ops} ops  {conflicts} conflicts  digest {digest}")?;
    }
    Ok(())
}
