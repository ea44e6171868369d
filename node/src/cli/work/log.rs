//! `townmesh work log`: what a program on this machine printed while it worked on a bead.

use crate::cli::connect::Cx;
use crate::cli::output::{number, text};
use crate::cli::sling::log_part;
use crate::{CliError, Exit};
use engine::Command;
use serde_json::json;
use std::io::{self, Write as _};
use std::time::Duration;

/// How often a log that grows is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Flags of `work log`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh work log app-x1\n  townmesh work log -f app-x1\n\nOnly of work on this machine."
)]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Go on until the program ends
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let mut node = cx.connect()?;
    let work = node.call(&Command::WorkShow { at: cx.at(), id: args.id.clone() })?;
    let Some(run) = work["run"].as_str().map(str::to_owned) else {
        return Err(CliError::new("no_log", format!("nothing worked on {} here", args.id)).hint("townmesh work ls"));
    };
    let (mut from, mut all) = (0, String::new());
    loop {
        let part = log_part(&mut node, &run, from)?;
        let next = number(&part, "next");
        if cx.output.json() {
            all.push_str(text(&part, "text"));
        } else {
            // A program's own colours are for whoever asked for its log.
            let mut out = io::stdout().lock();
            let written = out.write_all(text(&part, "text").as_bytes()).and_then(|()| out.flush());
            if written.is_err() {
                return Ok(Exit::Ok);
            }
        }
        let over = part["ended"] == true || !args.follow;
        if next == from && over {
            break;
        }
        if next == from {
            std::thread::sleep(LOOK);
        }
        from = next;
    }
    if cx.output.json() { cx.output.data(&json!({"bead": args.id, "log": all}), |_| Ok(())) } else { Ok(Exit::Ok) }
}
