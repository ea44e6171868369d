//! `townmesh join`: one more machine.

use super::connect::{Cx, Node, describe};
use super::output::{list, number, one_line, text};
use super::runner;
use super::setup::{self, Running};
use super::space::attach;
use crate::{CliError, Exit};
use engine::{Command, SpaceRef};
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Longest ticket that is read, in bytes; what it may hold is checked by the node.
const TICKET_BYTES_MAX: u64 = 4 * 1024;

/// Flags of `join`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh join tmesh1q…\n  townmesh join tmesh1q… ~/app --name server\n  \
    townmesh join - < ticket    the ticket from stdin, out of the process list")]
pub struct Args {
    /// The line that `townmesh invite` printed; `-` reads it from stdin
    ticket: String,
    /// Also couple this directory's beads file with the space (the directory is made if need be)
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// This machine's name in the mesh (default: its host name)
    #[arg(long)]
    name: Option<String>,
    /// What keeps that directory's beads (default: bd where there is a bd database and the program bd, else the file)
    #[arg(long, value_name = "KIND")]
    workspace: Option<attach::Kind>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    /// Leave no node running
    #[arg(long)]
    no_service: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let ticket = ticket(args.ticket)?;
    // Told before anything is created on this machine.
    identity::Ticket::decode(&ticket).map_err(|err| {
        CliError::new("bad_ticket", format!("not a ticket: {err}")).hint("townmesh invite, on the other machine")
    })?;
    if setup::home(&cx.home, args.name.as_deref(), false)? {
        cx.output.step(&format!("key made (back it up: {})", cx.home.keys().display()));
    }
    let running = Running::start(&cx.home, args.no_service, false)?;
    let result = enter(cx, ticket, args.dir.as_deref(), args.workspace);
    if let (Ok(_), Some(dir)) = (&result, &args.dir) {
        runner::offer(cx, &super::connect::directory(dir)?, !args.yes)?;
    }
    running.finish()?;
    let result = result?;
    cx.output.data(&result, |out| match &args.dir {
        Some(dir) => writeln!(out, "{}", dir.display()),
        None => Ok(()),
    })
}

fn enter(cx: &Cx<'_>, ticket: String, dir: Option<&Path>, asked: Option<attach::Kind>) -> Result<Value, CliError> {
    let mut node = Node::connect(&cx.home)?;
    let started = Instant::now();
    let mut progress = cx.output.progress();
    let result = node.call_with(&Command::Join { ticket }, &mut |value| progress.show(&describe(value)))?;
    drop(progress);
    let (beads, seconds) = (number(&result, "beads"), started.elapsed().as_secs_f64());
    let (name, id) = (one_line(&result["space"]["name"], 64), text(&result["space"], "id"));
    if let Some(peer) = list(&node.call(&Command::Status {})?, "peers").first() {
        let rtt = peer.get("rtt_ms").and_then(Value::as_f64).map(|ms| format!(", {ms:.1} ms")).unwrap_or_default();
        cx.output.step(&format!("{}, {}{rtt}", one_line(&peer["name"], 64), text(peer, "transport")));
    }
    cx.output.step(&format!("joined \"{name}\": {beads} beads, {seconds:.1} s"));
    if let Some(dir) = dir {
        std::fs::create_dir_all(dir).map_err(|err| CliError::disk(dir.display(), &err))?;
        let dir = super::connect::directory(dir)?;
        let at = SpaceRef { space: Some(id.to_owned()), cwd: None };
        attach::couple(cx.output, &mut node, &at, &dir, asked)?;
        cx.output.step(&format!("beads → {}", dir.display()));
    }
    Ok(result)
}

fn ticket(argument: String) -> Result<String, CliError> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TICKET_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|err| CliError::new("bad_ticket", format!("stdin: {err}")))?;
    Ok(text.trim().to_owned())
}
