//! `townmesh runner add`.

use super::presets::Preset;
use crate::cli::connect::{Cx, directory, utf8};
use crate::cli::sling::milliseconds;
use crate::{CliError, Exit};
use engine::Command;
use engine::records::work::RunnerRecord;
use std::path::PathBuf;

/// Flags of `runner add`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["argv", "manual", "preset"]),
    after_help = "Examples:\n  townmesh runner add max --rig app --repo ~/app --slots 2 -- ./agent.sh\n  \
    townmesh runner add claude --preset claude --repo ~/app\n  townmesh runner add me --manual\n\n\
    The program runs in a fresh git worktree, without a shell. It gets the bead as JSON on stdin and TOWNMESH_BEAD,\n\
    TOWNMESH_ATTEMPT, TOWNMESH_BASE in its environment. Exit code 0: done, what it changed is committed; 75: later; anything\n\
    else: failed. A line {\"note\":\"...\"} on descriptor 3 is a note. Another owner's work runs in a sandbox (bubblewrap) only.")]
pub struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The rig that it works for; any by default
    #[arg(long, value_name = "RIG", default_value = "")]
    rig: String,
    /// How many beads it takes at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: u32,
    /// The git repository; by default the one that you are in
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// No repository: it works in an empty directory
    #[arg(long, conflicts_with = "repo")]
    no_repo: bool,
    /// A remote, path or URL that result branches are pushed to
    #[arg(long, value_name = "REMOTE")]
    push: Option<String>,
    /// How long one attempt may take
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = milliseconds)]
    time: u64,
    /// Always in a sandbox, even for your own work
    #[arg(long)]
    sandbox: bool,
    /// In a sandbox it has the network
    #[arg(long)]
    network: bool,
    /// A person works, and says when it is done: townmesh work result
    #[arg(long)]
    manual: bool,
    /// An agent that is known by name: townmesh runner presets
    #[arg(long, value_enum, value_name = "NAME")]
    preset: Option<Preset>,
    /// The program and its arguments
    #[arg(last = true, value_name = "ARGV")]
    argv: Vec<String>,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let repo = match args.repo {
        Some(dir) => Some(utf8(&directory(&dir)?)?),
        None if args.no_repo || args.manual => None,
        None => Some(here()?),
    };
    let runner = RunnerRecord {
        rig: args.rig,
        slots: args.slots,
        argv: args.preset.map_or(args.argv, Preset::argv),
        repo,
        push: args.push,
        time_ms: args.time,
        sandbox: args.sandbox,
        network: args.network,
    };
    let result = cx.call(&Command::RunnerAdd { name: args.name.clone(), runner })?;
    cx.output.step(&format!("{} takes up to {} at once", args.name, args.slots));
    cx.output.data(&result, |_| Ok(()))
}

/// The repository that the caller is in.
fn here() -> Result<String, CliError> {
    let cwd = directory(std::path::Path::new("."))?;
    let found = cwd.ancestors().find(|dir| dir.join(".git").exists());
    let missing = || {
        CliError::new("no_repository", "this is no git repository")
            .hint("say where it is: --repo DIR")
            .hint("or that the program needs none: --no-repo")
    };
    utf8(found.ok_or_else(missing)?)
}
