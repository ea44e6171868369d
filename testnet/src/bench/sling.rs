//! Slung work: from the order to the worker's acceptance, and to the first thing that its program does.

use crate::control::Control;
use crate::latency::{Times, git};
use crate::net::Net;
use crate::node::{Node, PATIENCE};
use crate::sling::{runner_with, script};
use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Slings that are made first and not measured: connections, caches and the allocator are warm afterwards.
pub const WARM_UP: usize = 20;

/// Time between two measurements, of slings and of what is measured beside them: both nodes write their beads files after a
/// sling, and one now and then is what is measured. It makes the load; nothing is waited for.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// Starts that may wait to be read.
const STARTS_MAX: usize = 64;

/// What was measured, a time per sling each, from the moment the order is written into the control connection.
pub struct SlingTimes {
    /// Until the coordinator's node says `granted`: offer and grant are signed and synced there.
    pub granted: Times,
    /// Until the coordinator's node says `working`: it has the worker's signed acceptance, and both have synced theirs.
    pub accepted: Times,
    /// Until the program has done its first thing.
    pub started: Times,
    /// Until the coordinator's node says that it accepted the result.
    pub done: Times,
}

/// Where programs say that they began, and the reader's word about it.
pub struct Starts {
    pipe: PathBuf,
    heard: Receiver<(String, Instant)>,
}

impl Starts {
    /// A named pipe below a directory, with a thread that reads it.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(dir: &Path) -> Result<Starts> {
        let pipe = dir.join("starts");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        // Open for both, so that it is never at its end and nobody waits for the other side.
        let reader = BufReader::new(File::options().read(true).write(true).open(&pipe)?);
        let (tell, heard) = sync_channel(STARTS_MAX);
        std::thread::spawn(move || {
            for line in reader.lines() {
                let now = Instant::now();
                let Ok(line) = line else { return };
                if tell.send((line, now)).is_err() {
                    return;
                }
            }
        });
        Ok(Starts { pipe, heard })
    }

    /// A program that says so, first of all, and is done.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn program(&self, dir: &Path) -> Result<PathBuf> {
        // The shell's own `echo`: no other program is started for it.
        let text = format!("#!/bin/sh\necho \"$TOWNMESH_BEAD\" >'{}'\n", self.pipe.display());
        script(dir, "started.sh", &text)
    }

    /// When the program of this bead began.
    fn of(&self, bead: &str) -> Result<Instant> {
        let (said, when) = self.heard.recv_timeout(PATIENCE).context("the program did not begin")?;
        ensure!(said == bead, "the program of {said} began, where {bead} was slung");
        Ok(when)
    }
}

/// The runners of the worker: in an empty directory, and in a worktree of a repository with one commit.
pub const RIGS: [&str; 2] = ["empty", "tree"];

/// Lets a node work for both rigs.
///
/// # Errors
/// When git or the node fails.
pub fn add_runners(worker: &Node, dir: &Path, program: &Path) -> Result<()> {
    let repo = dir.join("repo");
    if !repo.exists() {
        std::fs::create_dir_all(&repo)?;
        git(&repo, &["init", "-q", "-b", "main"])?;
        std::fs::write(repo.join("a"), "1\n")?;
        git(&repo, &["add", "."])?;
        git(&repo, &["commit", "-q", "-m", "one file"])?;
    }
    let repo = repo.to_str().context("path")?;
    let slots = ["--slots", "16"];
    let [empty, tree] = RIGS;
    runner_with(worker, empty, &[&["--rig", empty, "--no-repo"][..], &slots].concat(), program)?;
    runner_with(worker, tree, &[&["--rig", tree, "--repo", repo][..], &slots].concat(), program)
}

/// Slings beads from the first node of a net to the second, one after the other; the first [`WARM_UP`] are not measured.
///
/// # Errors
/// When a sling does not end well.
pub fn sling_times(net: &Net, starts: &Starts, rig: &str, ids: &[String]) -> Result<SlingTimes> {
    let target = format!("{}:{rig}", net[1].name);
    let mut control = Control::connect(&net[0].home)?;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for (at, id) in ids.iter().enumerate() {
        std::thread::sleep(PACE);
        let order = json!({"id": id, "target": target, "wait": true});
        let begun = Instant::now();
        let (mut granted, mut accepted) = (None, None);
        let result = control.call_with("sling", &order, |told| match told["state"].as_str() {
            Some("granted") => drop(granted.get_or_insert(begun.elapsed())),
            Some("working") => drop(accepted.get_or_insert(begun.elapsed())),
            _ => {}
        })?;
        let done = begun.elapsed();
        ensure!(result["state"] == "accepted" && result["attempt"] == 1, "not done at once: {result}");
        let started = starts.of(id)?.saturating_duration_since(begun);
        let told = granted.zip(accepted).with_context(|| format!("{id} was never shown as worked on"))?;
        if at >= WARM_UP {
            times.iter_mut().zip([told.0, told.1, started, done]).for_each(|(all, time)| all.push(time));
        }
    }
    let [granted, accepted, started, done] = times.map(Times::new);
    Ok(SlingTimes { granted, accepted, started, done })
}

/// Lines of beads that can be slung.
pub fn open_beads(prefix: &str, count: usize) -> (Vec<String>, Vec<String>) {
    let id = |at: usize| format!("{prefix}-{at:04}");
    let line = |at: usize| {
        json!({"id": id(at), "title": format!("bead {at} to be slung"), "status": "open", "priority": 2,
            "issue_type": "task", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
        .to_string()
    };
    ((0..count).map(id).collect(), (0..count).map(line).collect())
}
