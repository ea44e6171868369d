//! `townmesh work log`: what a program printed while it worked on a bead, here or on another machine.

use crate::cli::connect::{Cx, Node};
use crate::cli::output::{list, number, text};
use crate::{CliError, Exit};
use engine::Command;
use serde_json::json;
use std::io::{self, Write as _};
use std::time::Duration;
use types::EventId;

/// How often a log that grows is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Flags of `work log`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh work log app-x1\n  townmesh work log -f app-x1\n  townmesh work log app-x1 --attempt 1\n\n\
    The log stays on the machine where the program ran: it has to be connected."
)]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Of which attempt; the newest by default
    #[arg(long, value_name = "N")]
    attempt: Option<u64>,
    /// Go on until the program ends
    #[arg(short, long)]
    follow: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let mut node = cx.connect()?;
    let mut run = match args.attempt {
        Some(attempt) => Some(grant(&mut node, cx, &args.id, attempt)?),
        None => None,
    };
    let (mut from, mut all) = (0, String::new());
    loop {
        let part = node.call(&Command::WorkLog { at: cx.at(), id: args.id.clone(), run, from })?;
        run = text(&part, "run").parse().ok().or(run);
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

/// The grant of an attempt.
fn grant(node: &mut Node, cx: &Cx<'_>, id: &str, attempt: u64) -> Result<EventId, CliError> {
    let work = node.call(&Command::WorkShow { at: cx.at(), id: id.to_owned() })?;
    let grant = list(&work, "grants").iter().find(|grant| number(grant, "attempt") == attempt);
    let missing = || {
        CliError::new("no_attempt", format!("there is no attempt {attempt} at {id}"))
            .hint(format!("townmesh work show {id}"))
    };
    grant.and_then(|grant| text(grant, "id").parse().ok()).ok_or_else(missing)
}
