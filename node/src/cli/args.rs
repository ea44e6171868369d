//! The commands and the flags that all of them take.

use super::{
    Output, agents, beads, budget, convoy, costs, doctor, down, evidence, git_merge_driver, init, invite, join, merge,
    runner, sling, space, status, up, work,
};
use crate::{CliError, Exit};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Turn your machines into one mesh that shares beads.
#[derive(Debug, Parser)]
#[command(
    name = "townmesh",
    version,
    about,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  townmesh init ~/app          share this directory's beads, print a ticket\n  \
        townmesh join tmesh1q…       on another machine\n  townmesh status\n\n\
        Exit codes: townmesh exit-codes"
)]
pub struct Cli {
    /// Print one JSON document on stdout; errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// The node's home directory (default: TOWNMESH_HOME, else the XDG data directory)
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// A space's name or id (default: the current directory's, then the only one)
    #[arg(long, global = true, value_name = "SPACE")]
    pub space: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make this machine a node and share a directory's beads
    Init(init::Args),
    /// Start the node
    Up(up::Args),
    /// Stop the node
    Down(down::Args),
    /// Join a space with a ticket from another machine
    Join(join::Args),
    /// Print a ticket for one more machine
    Invite(invite::Args),
    /// Show the node, its peers and its spaces
    Status(status::Args),
    /// Find out what is missing or wrong, and what mends it
    Doctor(doctor::Args),
    /// Manage spaces and the directories coupled with them
    Space(space::Args),
    /// Read and change beads
    Beads(beads::Args),
    /// Give a bead to a worker, on this machine or another
    Sling(sling::Args),
    /// Look at slung beads and what became of them
    Work(work::Args),
    /// Look at beads that were slung together
    Convoy(convoy::Args),
    /// Show who used how much for what
    Costs(costs::Args),
    /// Limit what work may use
    Budget(budget::Args),
    /// Show who is where, doing what
    Agents(agents::Args),
    /// List proofs of misbehaviour that this machine keeps
    Evidence(evidence::Args),
    /// Manage who works on beads on this machine
    Runner(runner::Args),
    /// Merge three versions of a beads file
    Merge(merge::Args),
    /// Merge beads files for git
    GitMergeDriver(git_merge_driver::Args),
    /// List the exit codes
    #[command(after_help = "Example:\n  townmesh exit-codes --json")]
    ExitCodes,
}

pub(super) fn exit_codes(output: &Output) -> Result<Exit, CliError> {
    let rows: Vec<_> =
        Exit::ALL.iter().map(|(e, meaning)| serde_json::json!({"exit": *e as u8, "meaning": meaning})).collect();
    output.data(&serde_json::Value::Array(rows), |out| {
        for (exit, meaning) in Exit::ALL {
            writeln!(out, "{:>3}  {meaning}", exit as u8)?;
        }
        Ok(())
    })
}
