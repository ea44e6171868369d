//! `townmesh beads …`: reading and changing beads.

mod add;
mod batch;
mod change;
mod close;
mod conflicts;
mod delete;
mod export;
mod import;
mod log;
mod ls;
mod ready;
mod resolve;
mod same;
mod set;
mod show;
mod split;
mod watch;

use super::connect::Cx;
use super::output::{number, one_line, text};
use crate::{CliError, Exit};
use clap::Subcommand;
use serde_json::Value;
use std::io::{self, Write};

/// `townmesh beads`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  townmesh beads ready\n  townmesh beads set app-x1 status=in_progress\n  \
    townmesh beads conflicts"
)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Action,
}

/// What can be done with beads.
#[derive(Debug, Subcommand)]
enum Action {
    /// Take in a beads file whose history is unknown
    Import(import::Args),
    /// Write all beads as JSONL, sorted by id
    Export(export::Args),
    /// List beads
    Ls(ls::Args),
    /// Show one bead with everything that is known of it
    Show(show::Args),
    /// List beads that can be worked on now
    Ready(ready::Args),
    /// Change a bead
    Set(set::Args),
    /// Change many beads in few steps
    Batch(batch::Args),
    /// Make a bead
    Add(add::Args),
    /// Close beads
    Close(close::Args),
    /// Delete beads
    Delete(delete::Args),
    /// List what has several values
    Conflicts(conflicts::Args),
    /// End conflicts
    Resolve(resolve::Args),
    /// Say that two beads under one id are one
    Same(same::Args),
    /// Say that what is shown as one bead are two
    Split(split::Args),
    /// List the ops that changed a bead, newest first
    Log(log::Args),
    /// Print the ids of beads as they change, until interrupted
    Watch(watch::Args),
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    match args.command {
        Action::Import(args) => import::run(cx, &args),
        Action::Export(args) => export::run(cx, &args),
        Action::Ls(args) => ls::run(cx, args),
        Action::Show(args) => show::run(cx, args),
        Action::Ready(args) => ready::run(cx, &args),
        Action::Set(args) => set::run(cx, args),
        Action::Batch(args) => batch::run(cx, &args),
        Action::Add(args) => add::run(cx, args),
        Action::Close(args) => close::run(cx, args),
        Action::Delete(args) => delete::run(cx, args),
        Action::Conflicts(args) => conflicts::run(cx, args),
        Action::Resolve(args) => resolve::run(cx, args),
        Action::Same(args) => same::run(cx, args),
        Action::Split(args) => split::run(cx, args),
        Action::Log(args) => log::run(cx, args),
        Action::Watch(args) => watch::run(cx, &args),
    }
}

/// A list of beads for people.
fn table(beads: &[Value], out: &mut dyn Write) -> io::Result<()> {
    let width = beads.iter().map(|b| text(b, "id").chars().count()).max().unwrap_or_default().min(40);
    for bead in beads {
        let status = one_line(&bead["status"], 12);
        let mark = if number(bead, "conflicts") > 0 { " [conflicts]" } else { "" };
        let id = one_line(&bead["id"], 40);
        writeln!(
            out,
            "{id:<width$}  P{} {status:<12} {}{mark}",
            number(bead, "priority"),
            one_line(&bead["title"], 90)
        )?;
    }
    Ok(())
}

/// A conflict for people.
fn conflict(conflict: &Value, out: &mut dyn Write) -> io::Result<()> {
    let kind = if conflict["baseline"] == true { "  (imported copies differ)" } else { "" };
    writeln!(out, "{}  {}{kind}", one_line(&conflict["id"], 40), one_line(&conflict["unit"], 60))?;
    for value in super::output::list(conflict, "values") {
        let shown = if value["shown"] == true { "*" } else { " " };
        let said = if value["absent"] == true { "(none)".to_owned() } else { one_line(&value["value"], 100) };
        writeln!(out, "  {shown}{:>2}. {said}", number(value, "n"))?;
    }
    Ok(())
}
