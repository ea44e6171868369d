//! `townmesh space attach`: a directory's beads file and a space become one.

use crate::cli::Output;
use crate::cli::connect::{Cx, Node, directory, utf8};
use crate::cli::output::{list, number, text};
use crate::{CliError, Exit, history};
use engine::{Command, SpaceRef, WorkspaceKind};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Flags of `space attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh space attach        this directory, with the only space\n  \
    townmesh space attach ~/app --space app\n  townmesh space attach --workspace file")]
pub struct Args {
    /// The directory
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// What keeps its beads (default: bd where there is a bd database and the program bd, else the file)
    #[arg(long, value_name = "KIND")]
    workspace: Option<Kind>,
}

/// `--workspace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The file `.beads/issues.jsonl`
    File,
    /// A database of the program `bd`
    Bd,
}

/// How long `bd version` may take.
const BD_WAIT: Duration = Duration::from_secs(20);

/// What keeps a directory's beads, as asked for or as found.
///
/// # Errors
/// `bd_unusable` when bd was asked for and is not there, too old or does not answer.
fn choose(output: &Output, dir: &Path, asked: Option<Kind>) -> Result<WorkspaceKind, CliError> {
    if asked == Some(Kind::File) || (asked.is_none() && !bridge::bd::has_database(dir)) {
        return Ok(WorkspaceKind::File);
    }
    match bridge::bd::detect(&bridge::bd::program(), BD_WAIT) {
        Ok(_) => Ok(WorkspaceKind::Bd),
        Err(err) if asked.is_none() => {
            output.note(&format!("there is a bd database here, but {err}: coupling .beads/issues.jsonl instead"));
            Ok(WorkspaceKind::File)
        }
        Err(err) => Err(CliError::new("bd_unusable", err.to_string())
            .hint("install bd, or set TOWNMESH_BD to it, also for the node")
            .hint("townmesh space attach --workspace file")),
    }
}

/// How long the first look at a file may take.
const FIRST_LOOK: Duration = Duration::from_secs(120);

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let dir = directory(&args.dir)?;
    let mut node = cx.connect()?;
    // The directory's own coupling is what is about to change: only `--space` and the only space count here.
    let at = SpaceRef { space: cx.space.clone(), cwd: None };
    let result = couple(cx.output, &mut node, &at, &dir, args.workspace)?;
    cx.output.step(&format!("{} is coupled", dir.display()));
    cx.output.data(&result, |_| Ok(()))
}

/// Couples a directory and waits until its file was taken in.
///
/// # Errors
/// What the node says; `workspace` when the file cannot be used.
pub fn couple(
    output: &Output,
    node: &mut Node,
    at: &SpaceRef,
    dir: &Path,
    asked: Option<Kind>,
) -> Result<Value, CliError> {
    let kind = choose(output, dir, asked)?;
    let mut progress = output.progress();
    let past = match kind {
        WorkspaceKind::File => {
            history::of_workspace(dir, &mut |commits| progress.show(&format!("history: {commits} commits")))?
        }
        // A database has no versions that somebody could check out in its place.
        WorkspaceKind::Bd => history::Past::default(),
    };
    let text = utf8(dir)?;
    let command = Command::SpaceAttach {
        at: at.clone(),
        dir: text.clone(),
        kind,
        generations: past.generations,
        ancestors: past.ancestors,
    };
    let result = node.call_with(&command, &mut |value| progress.show(&super::super::connect::describe(value)))?;
    let deadline = Instant::now() + FIRST_LOOK;
    loop {
        let Some(workspace) = find(node, dir)? else { return Err(CliError::shape("the directory")) };
        if let Some(reason) = problem(&workspace) {
            return Err(CliError::new("workspace", format!("{text}: {reason}")).hint("townmesh space show"));
        }
        if workspace.get("in_step").and_then(Value::as_bool) == Some(true) {
            return Ok(result);
        }
        if Instant::now() > deadline {
            return Err(CliError::new("timeout", format!("{text} was not taken in within two minutes"))
                .hint("townmesh space show"));
        }
        progress.show("taking in the file …");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The space that a directory is coupled with.
///
/// # Errors
/// What the node says.
pub fn attached_to(node: &mut Node, dir: &Path) -> Result<Option<String>, CliError> {
    let wanted = utf8(dir)?;
    let spaces = spaces(node)?;
    for id in spaces {
        let shown = show(node, &id)?;
        if list(&shown, "workspaces").iter().any(|w| text(w, "dir") == wanted) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn spaces(node: &mut Node) -> Result<Vec<String>, CliError> {
    let status = node.call(&Command::Status {})?;
    Ok(list(&status, "spaces").iter().map(|s| text(s, "id").to_owned()).collect())
}

fn show(node: &mut Node, space: &str) -> Result<Value, CliError> {
    node.call(&Command::SpaceShow { at: SpaceRef { space: Some(space.to_owned()), cwd: None } })
}

fn find(node: &mut Node, dir: &Path) -> Result<Option<Value>, CliError> {
    let wanted = utf8(dir)?;
    for id in spaces(node)? {
        let shown = show(node, &id)?;
        if let Some(found) = list(&shown, "workspaces").iter().find(|w| text(w, "dir") == wanted) {
            return Ok(Some(found.clone()));
        }
    }
    Ok(None)
}

fn problem(workspace: &Value) -> Option<String> {
    let failed = workspace.get("failed").and_then(Value::as_str).map(str::to_owned);
    failed.or_else(|| {
        let broken = list(workspace, "broken_lines");
        let first = broken.first()?;
        let (line, error) = (number(first, "line"), text(first, "error"));
        Some(format!("{} lines cannot be read, the first is line {line}: {error}", broken.len()))
    })
}
