//! What a process uses, as the system counts it.

use anyhow::{Context as _, Result};
use std::fs::Metadata;
use std::path::Path;
use std::time::Duration;

/// Clock ticks per second in `/proc`: `USER_HZ`, 100 on every Linux architecture.
const TICKS: u64 = 100;

/// Resident memory of a process in bytes.
///
/// # Errors
/// When there is no such process.
pub fn rss_bytes(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the node has ended")?;
    let rss = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = rss.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib * 1024)
}

/// [`rss_bytes`] in MiB.
///
/// # Errors
/// When there is no such process.
pub fn rss_mib(pid: u32) -> Result<f64> {
    Ok(mib(rss_bytes(pid)? as f64))
}

fn mib(bytes: f64) -> f64 {
    (bytes / f64::from(1 << 20) * 10.0).round() / 10.0
}

/// Time that a process has spent on CPUs so far, user and system.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let (_, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).context("no number");
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS))
}

/// The sum of what `of` says of every file below a directory; what vanishes meanwhile does not count.
pub fn total(dir: &Path, of: &dyn Fn(&Metadata) -> u64) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += total(&entry.path(), of),
            Ok(meta) => sum += of(&meta),
            Err(_) => {}
        }
    }
    sum
}

/// What a directory's files take on disk in MiB.
///
/// # Errors
/// When it cannot be read.
pub fn disk_mib(dir: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::read_dir(dir)?;
    Ok(mib(total(dir, &|meta| meta.blocks()) as f64 * 512.0))
}
