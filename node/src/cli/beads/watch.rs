//! `townmesh beads watch`.

use crate::cli::connect::Cx;
use crate::cli::output::list;
use crate::{CliError, Exit};
use engine::Command;
use serde_json::{Value, json};
use std::io::{self, Write as _};

/// Flags of `beads watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh beads watch\n  townmesh beads watch --json\n\n\
    Prints an id per line, and `*` when so much changed that anything may have.\n\
    With --json each line is a document: {\"changed\": [ids], \"all\": false}.")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let command = Command::Watch { at: cx.at() };
    loop {
        match cx.connect()?.call_with(&command, &mut |change| print(cx.output.json(), change)) {
            // What was missed is not known: anything may have changed.
            Err(err) if err.code == "watch_behind" => print(cx.output.json(), &json!({"changed": [], "all": true})),
            Err(err) => return Err(err),
            Ok(_) => return Ok(Exit::Ok),
        }
    }
}

fn print(json: bool, change: &Value) {
    let all = change["all"] == true;
    let ids = list(change, "changed");
    let mut out = io::stdout().lock();
    let written = match (json, all) {
        // That nothing changed is only said to keep the connection known.
        _ if !all && ids.is_empty() => Ok(()),
        (true, _) => writeln!(out, "{change}"),
        (false, true) => writeln!(out, "*"),
        (false, false) => ids.iter().filter_map(Value::as_str).try_for_each(|id| writeln!(out, "{id}")),
    };
    if written.and_then(|()| out.flush()).is_err() {
        // The reader is gone, and nothing is left to be put right.
        std::process::exit(0);
    }
}
