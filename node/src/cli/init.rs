//! `townmesh init`: from nothing to a shared space and a ticket.

use super::connect::{Cx, Node, directory};
use super::output::{number, text};
use super::setup::{self, Running};
use super::space::attach;
use crate::config::to_name;
use crate::{CliError, Exit};
use engine::{Command, SpaceRef};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Flags of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh init                share this directory's beads\n  \
    townmesh init ~/app --name desktop\n  townmesh init --yes --no-service --json")]
pub struct Args {
    /// The directory whose beads are shared
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// This machine's name in the mesh (default: its host name)
    #[arg(long)]
    name: Option<String>,
    /// The space's name (default: the directory's)
    #[arg(long, value_name = "NAME")]
    space_name: Option<String>,
    /// Make the space readable by anybody who gets its events
    #[arg(long)]
    public: bool,
    /// What keeps the directory's beads (default: bd where there is a bd database and the program bd, else the file)
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
    let dir = directory(&args.dir)?;
    let base = dir.file_name().and_then(|n| n.to_str()).unwrap_or("beads");
    let space_name = args.space_name.clone().unwrap_or_else(|| to_name(base));
    if setup::home(&cx.home, args.name.as_deref(), true)? {
        cx.output.step(&format!("key made (back it up: {})", cx.home.keys().display()));
    }
    // A node without a network makes no ticket that somebody could use before `up`, but keeps `init` to itself.
    let running = Running::start(&cx.home, args.no_service, true)?;
    let result = share(cx, &dir, &space_name, &args);
    let service = matches!(running, Running::Daemon);
    running.finish()?;
    let result = result?;
    if service {
        cx.output.step("node running");
    }
    let visible = if args.public { "public" } else { "private" };
    let (beads, name) = (number(&result, "beads"), text(&result["space"], "name"));
    cx.output.step(&format!("{beads} beads shared as \"{name}\", {visible}"));
    cx.output.data(&result, |out| {
        writeln!(out, "  On another machine:  townmesh join {}    (once, 1 h)", text(&result, "ticket"))?;
        if service { Ok(()) } else { writeln!(out, "  Start the node here:  townmesh up") }
    })
}

/// Makes the space, couples the directory, takes its beads in and writes a ticket.
fn share(cx: &Cx<'_>, dir: &Path, space_name: &str, args: &Args) -> Result<Value, CliError> {
    let mut node = Node::connect(&cx.home)?;
    let space = match attach::attached_to(&mut node, dir)? {
        Some(space) => space,
        None => {
            let made = node.call(&Command::SpaceNew { name: space_name.to_owned(), public: args.public })?;
            text(&made, "id").to_owned()
        }
    };
    if space.is_empty() {
        return Err(CliError::shape("the space's id"));
    }
    let at = SpaceRef { space: Some(space.clone()), cwd: None };
    attach::couple(cx.output, &mut node, &at, dir, args.workspace)?;
    let invite = node.call(&Command::Invite { at, role: None, ttl_s: None })?;
    let status = node.call(&Command::Status {})?;
    let spaces = status.get("spaces").and_then(Value::as_array).into_iter().flatten();
    let space = spaces.into_iter().find(|s| text(s, "id") == space).ok_or_else(|| CliError::shape("the new space"))?;
    Ok(json!({
        "peer_id": status["peer_id"],
        "npub": status["npub"],
        "name": status["name"],
        "space": {"name": space["name"], "id": space["id"]},
        "beads": space["beads"],
        "ticket": invite["ticket"],
    }))
}
