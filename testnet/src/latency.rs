//! How long an edit takes from one machine's file into another's: over the mesh, and over git.

use crate::node::{Node, PATIENCE};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time between two edits that go into a file: a node takes a rest after it has written a large one, and one edit now and
/// then is what is measured. It makes the load; nothing is waited for.
pub(crate) const PACE: Duration = Duration::from_millis(250);

/// Sorted times of many edits.
#[derive(Debug, Clone)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Of these measurements.
    pub fn new(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    /// The time within which `share` (0 to 1) of the edits arrived (nearest rank).
    pub fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1).min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// Every measurement in milliseconds, the smallest first.
    pub fn raw_ms(&self) -> Vec<f64> {
        self.0.iter().map(|time| crate::bench::ms(*time)).collect()
    }

    /// How many edits were measured.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Edits in one node's file until they stand in another node's file. `ids`: the beads to edit, in turn.
///
/// # Errors
/// When an edit does not arrive in time.
pub fn over_mesh(from: &Node, to: &Node, ids: &[String], edits: usize) -> Result<Times> {
    let mut times = Vec::with_capacity(edits);
    for (at, id) in ids.iter().cycle().take(edits).enumerate() {
        std::thread::sleep(PACE);
        times.push(edit_until_seen(from, to, id, &format!("latency mark {at} of {}", from.name))?);
    }
    Ok(Times::new(times))
}

/// One edit in one node's file until it stands in another node's file. `marker`: a text that stands in neither.
///
/// # Errors
/// When it does not arrive in time.
pub fn edit_until_seen(from: &Node, to: &Node, id: &str, marker: &str) -> Result<Duration> {
    let started = Instant::now();
    from.edit_line(id, |bead| mark(bead, marker))?;
    until_contains(&to.file(), marker, started)?;
    Ok(started.elapsed())
}

fn mark(bead: &mut Value, marker: &str) {
    bead["notes"] = marker.into();
    bead["updated_at"] = jiff::Timestamp::now().to_string().into();
}

pub(crate) fn until_contains(file: &Path, marker: &str, started: Instant) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mut seen = None;
    loop {
        // The file is replaced by rename: only a new one has to be read.
        let version =
            std::fs::metadata(file).map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())).ok();
        if version != seen {
            seen = version;
            let text = std::fs::read(file).unwrap_or_default();
            if memmem(&text, marker.as_bytes()) {
                return Ok(());
            }
        }
        ensure!(started.elapsed() < PATIENCE, "{marker:?} did not reach {}", file.display());
        std::thread::sleep(Duration::from_micros(300));
    }
}

fn memmem(text: &[u8], what: &[u8]) -> bool {
    // Bounded by the file's size; the marker's first byte is rare enough to skip by.
    let Some(first) = what.first() else { return true };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| b == first) {
        if rest[at..].starts_with(what) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The same edits of the same file through git: commit, push, fetch, merge (fast-forward), between two clones of a bare
/// repository on this disk.
///
/// # Errors
/// When git fails.
pub fn over_git(dir: &Path, content: &str, ids: &[String], edits: usize) -> Result<Times> {
    let (bare, from, to) = (dir.join("bare"), dir.join("from"), dir.join("to"));
    std::fs::create_dir_all(dir)?;
    git(dir, &["init", "-q", "--bare", "-b", "main", "bare"])?;
    let bare = bare.to_str().context("path")?;
    git(dir, &["clone", "-q", bare, "from"])?;
    std::fs::write(from.join("issues.jsonl"), content)?;
    git(&from, &["checkout", "-q", "-B", "main"])?;
    git(&from, &["add", "."])?;
    git(&from, &["commit", "-q", "-m", "beads"])?;
    git(&from, &["push", "-q", "origin", "main"])?;
    git(dir, &["clone", "-q", bare, "to"])?;
    let mut lines: Vec<String> = content.lines().map(str::to_owned).collect();
    let mut times = Vec::with_capacity(edits);
    for (at, id) in ids.iter().cycle().take(edits).enumerate() {
        let marker = format!("latency mark {at}");
        let line = lines.iter_mut().find(|line| line.contains(id.as_str())).context("no such line")?;
        let mut bead: Value = serde_json::from_str(line)?;
        let started = Instant::now();
        mark(&mut bead, &marker);
        *line = bead.to_string();
        std::fs::write(from.join("issues.jsonl"), crate::fixture::file(&lines))?;
        git(&from, &["commit", "-q", "-am", &marker])?;
        git(&from, &["push", "-q", "origin", "main"])?;
        git(&to, &["fetch", "-q", "origin"])?;
        git(&to, &["merge", "-q", "origin/main"])?;
        times.push(started.elapsed());
        ensure!(memmem(&std::fs::read(to.join("issues.jsonl"))?, marker.as_bytes()), "git lost {marker:?}");
    }
    Ok(Times::new(times))
}

/// Runs git in a directory, without the user's settings.
///
/// # Errors
/// When it fails.
pub fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.current_dir(dir).args(["-c", "user.name=demo", "-c", "user.email=demo@example.org"]);
    command.args(["-c", "core.fsmonitor=false", "-c", "gc.auto=0"]).args(args);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.output().context("running git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {said}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A duration for people.
pub fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 10.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.1} ms", s * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times = Times::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(times.percentile(0.5), Duration::from_millis(50));
        assert_eq!(times.percentile(0.99), Duration::from_millis(99));
        assert_eq!(Times::new(vec![]).percentile(0.5), Duration::ZERO);
    }

    #[test]
    fn a_text_is_found_or_not() {
        assert!(memmem(b"aab", b"ab") && memmem(b"x", b"") && !memmem(b"aa", b"ab"));
    }
}
