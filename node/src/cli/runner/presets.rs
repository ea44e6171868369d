//! Agents that are known by name: how each is started on a bead without a person beside it.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;
use engine::records::work::RunnerRecord;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What an agent is told; the bead comes on standard input.
const PROMPT: &str = "The JSON on standard input is an issue of this repository. Do what it asks for, run the tests, and commit \
    nothing that does not pass them. Exit with an error if you cannot do it.";

/// How long one attempt may take, in milliseconds.
pub(super) const TIME_MS: u64 = 4 * 3600 * 1000;

/// A program that works on beads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Claude Code: claude -p
    Claude,
    /// Codex: codex exec
    Codex,
    /// The repository's own script: sh .townmesh/work.sh
    Shell,
}

impl Preset {
    /// What is looked for on `PATH` when a machine joins.
    const AGENTS: [Preset; 2] = [Preset::Claude, Preset::Codex];

    /// Its name, as `--preset` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Claude => "claude",
            Preset::Codex => "codex",
            Preset::Shell => "shell",
        }
    }

    /// The program and its arguments.
    pub fn argv(self) -> Vec<String> {
        let argv: &[&str] = match self {
            Preset::Claude => &["claude", "-p", PROMPT, "--permission-mode", "acceptEdits"],
            Preset::Codex => &["codex", "exec", "--full-auto", PROMPT],
            Preset::Shell => &["sh", ".townmesh/work.sh"],
        };
        argv.iter().map(|arg| (*arg).to_owned()).collect()
    }
}

/// The agents that are on a `PATH`.
fn found(path: &OsStr) -> Vec<Preset> {
    let runs = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let is_there =
        |preset: &Preset| std::env::split_paths(path).any(|dir| dir.is_absolute() && runs(&dir.join(preset.name())));
    Preset::AGENTS.into_iter().filter(is_there).collect()
}

/// After a machine joined: agents that are here may work in this repository. A person is asked; without one they are told
/// how.
pub fn offer(cx: &Cx<'_>, repo: &Path, ask: bool) -> Result<(), CliError> {
    if !repo.join(".git").exists() {
        return Ok(());
    }
    let here = found(&std::env::var_os("PATH").unwrap_or_default());
    let known = cx.call(&Command::RunnerLs {})?;
    let has = |preset: &Preset| known.as_array().into_iter().flatten().any(|runner| runner["name"] == preset.name());
    for preset in here.into_iter().filter(|preset| !has(preset)) {
        let name = preset.name();
        let asks = ask && !cx.output.json() && io::stdin().is_terminal() && io::stderr().is_terminal();
        if asks && yes(&format!("{name} is on this machine. May it work on beads that are slung here, one at a time?"))?
        {
            add(cx, preset, repo)?;
            cx.output.step(&format!("{name} works here; townmesh runner rm {name} ends that"));
        } else if !asks {
            cx.output.note(&format!(
                "{name} is on this machine: townmesh runner add {name} --preset {name} lets it work on beads"
            ));
        }
    }
    Ok(())
}

fn add(cx: &Cx<'_>, preset: Preset, repo: &Path) -> Result<Value, CliError> {
    let repo = Some(crate::cli::connect::utf8(repo)?);
    let runner = RunnerRecord { slots: 1, argv: preset.argv(), repo, time_ms: TIME_MS, ..RunnerRecord::default() };
    cx.call(&Command::RunnerAdd { name: preset.name().to_owned(), runner })
}

fn yes(question: &str) -> Result<bool, CliError> {
    let failed = |err: io::Error| CliError::new("no_terminal", format!("nobody answers: {err}"));
    write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stderr().flush()).map_err(failed)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Flags of `runner presets`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh runner presets --json")]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let here = found(&std::env::var_os("PATH").unwrap_or_default());
    let all = [Preset::Claude, Preset::Codex, Preset::Shell];
    let line = |preset: &Preset| {
        let is_here = *preset == Preset::Shell || here.contains(preset);
        json!({"preset": preset.name(), "here": is_here, "command": preset.argv()})
    };
    let lines: Vec<Value> = all.iter().map(line).collect();
    cx.output.data(&Value::Array(lines), |out| {
        all.iter().try_for_each(|preset| {
            let is_here = *preset == Preset::Shell || here.contains(preset);
            let there = if is_here { "here" } else { "not on PATH" };
            writeln!(out, "{:<8} {there:<12} {}", preset.name(), preset.argv().join(" "))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_found_by_their_names_where_they_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            std::fs::write(dir.path().join(name), "").unwrap();
            std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        file("claude", 0o755);
        file("codex", 0o644);
        assert_eq!(found(dir.path().as_os_str()), [Preset::Claude]);
        assert_eq!(found(OsStr::new("")), []);
        assert_eq!(Preset::Claude.argv()[0], Preset::Claude.name());
    }
}
