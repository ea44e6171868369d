//! What a person does with the real bd.

mod storm;
mod towns;

pub use storm::{Storm, storm};
pub use towns::{Mode, Towns, alike, all, at, create_at, modes, real, still, towns};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// How often a person tries a command that lost a race in a Dolt server.
const TRIES_MAX: usize = 5;

/// Runs a bd command in a directory, as `actor`; what it says. With a Dolt server bd tells people to try again when
/// another command, the coupling's for one, touched the same rows.
///
/// # Errors
/// When bd cannot be run or ends with an error.
pub fn bd(program: &Path, dir: &Path, actor: &str, args: &[&str]) -> Result<String> {
    for last in (1..=TRIES_MAX).map(|attempt| attempt == TRIES_MAX) {
        let mut command = Command::new(program);
        command.args(["--actor", actor]).args(args).current_dir(dir).env("BD_NO_HOOKS", "1");
        let out = command.output().with_context(|| program.display().to_string())?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&out.stderr).into_owned();
        if last || !complaint.contains("try restarting transaction") {
            ensure!(out.status.success(), "bd {args:?}: {said}{complaint}");
            return Ok(said);
        }
    }
    bail!("bd {args:?} was not tried")
}

/// Makes an issue; its id.
///
/// # Errors
/// As [`bd`], and when it does not say the id.
pub fn create(program: &Path, dir: &Path, actor: &str, title: &str) -> Result<String> {
    let made: Value = serde_json::from_str(&bd(program, dir, actor, &["create", title, "--json"])?)?;
    made["id"].as_str().map(str::to_owned).context("no id")
}

/// A database with the prefix `app` in a directory, which becomes a git repository. `more`: further flags of `bd init`.
///
/// # Errors
/// As [`bd`], and when git fails.
pub fn new_database(program: &Path, dir: &Path, actor: &str, more: &[&str]) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let git = Command::new("git").args(["init", "-q"]).current_dir(dir).status()?;
    ensure!(git.success(), "git init");
    let plain = ["init", "--prefix", "app", "--non-interactive", "--skip-hooks", "--skip-agents", "--quiet"];
    bd(program, dir, actor, &[&plain[..], more].concat()).map(drop)
}
