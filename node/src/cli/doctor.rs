//! `townmesh doctor`: what is missing or wrong, and the command that mends it.

use super::connect::{Cx, Node};
use super::output::{list, number, one_line, text};
use crate::config::Config;
use crate::{CliError, Exit, keys};
use engine::{Command, SpaceRef};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh doctor\n  townmesh doctor --json | jq '.checks[] | select(.state != \"ok\")'\n\n\
    Exit code 1 when something is wrong; warnings alone end with 0."
)]
pub struct Args {}

/// Less free disk than this, in bytes, is told.
const DISK_FREE_MIN: u64 = 1 << 30;

/// A peer's clock may be off by so much, in milliseconds: measured over the network, it is never exact.
const CLOCK_WARN_MS: i64 = 2_000;

/// Ops from farther ahead than this wait until this machine's clock gets there, in milliseconds.
const CLOCK_BAD_MS: i64 = types::MAX_AHEAD_MS as i64;

/// How long `bd version` may take.
const BD_WAIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    Warn,
    Bad,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Check {
    about: &'static str,
    state: State,
    what: String,
    /// Commands, or words, that mend it.
    fix: Vec<String>,
}

#[derive(Debug, Default)]
struct Report(Vec<Check>);

impl Report {
    fn put(&mut self, about: &'static str, state: State, what: impl Into<String>, fix: &[&str]) {
        let fix = fix.iter().map(|fix| (*fix).to_owned()).collect();
        self.0.push(Check { about, state, what: what.into(), fix });
    }

    fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.put(about, State::Ok, what, &[]);
    }

    fn error(&mut self, about: &'static str, err: CliError) {
        self.0.push(Check { about, state: State::Bad, what: err.message, fix: err.hints });
    }

    fn worst(&self) -> State {
        self.0.iter().map(|check| check.state).max().unwrap_or(State::Ok)
    }

    fn json(&self) -> Value {
        let checks =
            self.0.iter().map(|c| json!({"about": c.about, "state": c.state.word(), "what": c.what, "fix": c.fix}));
        json!({"state": self.worst().word(), "checks": checks.collect::<Vec<_>>()})
    }

    fn human(&self, out: &mut dyn Write) -> io::Result<()> {
        for check in &self.0 {
            writeln!(
                out,
                "{:<5} {:<11} {}",
                check.state.word(),
                check.about,
                one_line(&check.what.as_str().into(), 300)
            )?;
            for fix in &check.fix {
                writeln!(out, "{:<17} → {}", "", one_line(&fix.as_str().into(), 300))?;
            }
        }
        Ok(())
    }
}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let mut report = Report::default();
    home(cx, &mut report);
    disk(cx.home.dir(), &mut report);
    if let Some(mut node) = daemon(cx, &mut report) {
        let status = node.call(&Command::Status {})?;
        store(&status, &mut report);
        network(&status, &mut report);
        for space in list(&status, "spaces") {
            let at = SpaceRef { space: Some(text(space, "id").to_owned()), cwd: None };
            let shown = node.call(&Command::SpaceShow { at })?;
            members(&shown, &mut report);
            workspaces(&shown, &mut report);
        }
    }
    cx.output.data(&report.json(), |out| report.human(out))?;
    Ok(if report.worst() == State::Bad { Exit::No } else { Exit::Ok })
}

/// Keys and settings.
fn home(cx: &Cx<'_>, report: &mut Report) {
    match keys::host(&cx.home) {
        Ok(key) => report.ok("keys", format!("this host is {}", key.npub().npub())),
        Err(err) => report.error("keys", err),
    }
    match keys::owner(&cx.home) {
        Ok(Some(_)) => report.ok("keys", "the owner's key is here: keep a copy of it offline"),
        Ok(None) => {}
        Err(err) => report.error("keys", err),
    }
    match Config::load(&cx.home) {
        Ok(config) => report.ok("settings", format!("this machine is called {}", config.name)),
        Err(err) => report.error("settings", err),
    }
}

fn disk(dir: &Path, report: &mut Report) {
    let Ok(stat) = rustix::fs::statvfs(dir) else { return };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let what = format!("{} MiB are free at {}", free >> 20, dir.display());
    match free {
        0..DISK_FREE_MIN => {
            report.put("disk", State::Warn, what, &["free some space: a node that cannot write only reads"])
        }
        _ => report.ok("disk", what),
    }
}

fn daemon(cx: &Cx<'_>, report: &mut Report) -> Option<Node> {
    match cx.connect() {
        Ok(node) => {
            report.ok("node", "it runs and answers");
            Some(node)
        }
        Err(err) => {
            report.error("node", err);
            None
        }
    }
}

fn store(status: &Value, report: &mut Report) {
    match status["read_only"].as_str() {
        None => report.ok("store", "it takes writes"),
        Some(reason) => report.put(
            "store",
            State::Bad,
            format!("it refuses writes: {reason}"),
            &["free disk space or mend the disk, then: townmesh down; townmesh up --background"],
        ),
    }
    if let Some(what) = status["records_lost"].as_str() {
        let what = format!("it lost records that had been synced: {what}");
        report.put("store", State::Warn, what, &["check the disk; make again what had reached nobody"]);
    }
    if number(&status["counters"], "false_checkpoint") > 0 {
        let what = "a checkpoint says something else than the same ops do here";
        report.put(
            "store",
            State::Warn,
            what,
            &["compare with others: townmesh space show", "look at the coordinator's machine"],
        );
    }
}

fn network(status: &Value, report: &mut Report) {
    let addrs: Vec<&str> = list(status, "listen").iter().filter_map(Value::as_str).collect();
    if addrs.is_empty() {
        let fix = ["townmesh up --background (without --offline)", "look at `listen` in config.toml: is a port taken?"];
        report.put("network", State::Bad, "the node listens nowhere: nobody can reach it", &fix);
    } else if addrs.iter().all(|addr| addr.contains("/127.") || addr.contains("/::1/")) {
        report.put("network", State::Warn, "the node listens on this machine only", &["set `listen` in config.toml"]);
    } else {
        report.ok("network", format!("listening at {} addresses", addrs.len()));
    }
    for peer in list(status, "peers") {
        let Some(ahead) = peer["clock_ahead_ms"].as_i64() else { continue };
        let name = one_line(&peer["name"], 40);
        let seconds = ahead as f64 / 1000.0;
        let what =
            format!("the clock of {name} is {:.1} s {}", seconds.abs(), if ahead > 0 { "ahead" } else { "behind" });
        let fix = ["on the machine whose clock is wrong: sudo timedatectl set-ntp true"];
        match ahead.abs() {
            0..=CLOCK_WARN_MS => report.ok("clock", what),
            ahead if ahead < CLOCK_BAD_MS => report.put("clock", State::Warn, what, &fix),
            _ => report.put("clock", State::Bad, what + ": its edits wait", &fix),
        }
    }
}

fn members(space: &Value, report: &mut Report) {
    let name = one_line(&space["name"], 40);
    let all = list(space, "members");
    let away: Vec<String> = all.iter().filter(|m| m["connected"] != true).map(|m| one_line(&m["name"], 40)).collect();
    if away.is_empty() {
        report.ok("members", format!("{name}: all {} are here", all.len()));
    } else {
        let what = format!("{name}: {} of {} are not connected: {}", away.len(), all.len(), away.join(", "));
        report.put("members", State::Warn, what, &["there: townmesh status; townmesh up --background"]);
    }
    let heads = number(&space["charter"], "concurrent");
    if heads > 1 {
        let what = format!("{name}: {heads} versions of the charter stand beside each other; the least rights count");
        report.put(
            "charter",
            State::Warn,
            what,
            &["on the owner's machine, invite the next member: that makes one of them"],
        );
    }
    let (missing, waiting) = (number(space, "missing"), number(space, "waiting"));
    if waiting > 0 {
        let what = format!("{name}: {waiting} ops come from the future and wait");
        report.put("ops", State::Warn, what, &["set the clocks: sudo timedatectl set-ntp true"]);
    } else if missing > 0 {
        report.ok("ops", format!("{name}: {missing} ops are being fetched"));
    }
}

fn workspaces(space: &Value, report: &mut Report) {
    for workspace in list(space, "workspaces") {
        let dir = one_line(&workspace["dir"], 200);
        if let Some(reason) = workspace["failed"].as_str() {
            report.put(
                "directory",
                State::Bad,
                format!("{dir}: {reason}"),
                &["mend that; the node tries again by itself"],
            );
        }
        for line in list(workspace, "broken_lines").iter().take(5) {
            let what =
                format!("{dir}: line {} cannot be read: {}", number(line, "line"), one_line(&line["error"], 120));
            report.put("directory", State::Bad, what, &["mend the line; until then the file is left alone"]);
        }
        let gone = list(workspace, "vanished_lines").len();
        if gone > 0 {
            let fix = ["townmesh space deletes --restore", "townmesh space deletes --accept"];
            report.put("directory", State::Warn, format!("{dir}: {gone} lines vanished at once"), &fix);
        }
        if workspace["kind"] == "bd" {
            match bridge::bd::detect(&bridge::bd::program(), BD_WAIT) {
                Ok(version) => report.ok("bd", format!("{dir}: bd {version}")),
                Err(err) => report.put(
                    "bd",
                    State::Bad,
                    format!("{dir}: {err}"),
                    &["install bd, or set TOWNMESH_BD to it, also for the node"],
                ),
            }
        } else {
            report.ok("directory", dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(fill: impl FnOnce(&mut Report)) -> Vec<(&'static str, State)> {
        let mut report = Report::default();
        fill(&mut report);
        assert!(report.0.iter().all(|c| (c.state == State::Ok) == c.fix.is_empty()), "{report:?}");
        report.0.iter().map(|c| (c.about, c.state)).collect()
    }

    #[test]
    fn what_is_wrong_comes_with_what_mends_it() {
        let peer = |ahead: i64| json!({"name": "b", "clock_ahead_ms": ahead});
        let status = json!({"listen": ["/ip4/192.0.2.1/tcp/1"], "peers": [peer(3), peer(-5_000), peer(700_000), {}]});
        use State::{Bad, Ok, Warn};
        let seen = states(|r| network(&status, r));
        assert_eq!(seen, [("network", Ok), ("clock", Ok), ("clock", Warn), ("clock", Bad)]);
        assert_eq!(states(|r| network(&json!({"listen": []}), r)), [("network", Bad)]);
        assert_eq!(states(|r| network(&json!({"listen": ["/ip4/127.0.0.1/tcp/1"]}), r)), [("network", Warn)]);
        let broken = json!({"read_only": "no space", "records_lost": "7", "counters": {"false_checkpoint": 1}});
        assert_eq!(states(|r| store(&broken, r)), [("store", Bad), ("store", Warn), ("store", Warn)]);
        let space = json!({"name": "app", "members": [{"name": "a", "connected": true}, {"name": "b"}],
            "charter": {"concurrent": 2}, "waiting": 3});
        assert_eq!(states(|r| members(&space, r)), [("members", Warn), ("charter", Warn), ("ops", Warn)]);
        let space = json!({"workspaces": [{"dir": "/w", "failed": "gone", "broken_lines": [{"line": 3, "error": "x"}],
            "vanished_lines": ["a-1"], "kind": "file"}]});
        let seen = states(|r| workspaces(&space, r));
        assert_eq!(seen, [("directory", Bad), ("directory", Bad), ("directory", Warn), ("directory", Ok)]);
    }
}
