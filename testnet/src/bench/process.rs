//! What a process uses, as the system counts it.

use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::Duration;

/// Clock ticks per second in `/proc`: `USER_HZ`, 100 on every Linux architecture.
const TICKS: u64 = 100;

/// Resident memory of a process in MiB.
///
/// # Errors
/// When there is no such process.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok((kib / 1024.0 * 10.0).round() / 10.0)
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

/// Size of a directory's files on disk in MiB.
///
/// # Errors
/// When it cannot be read.
pub fn disk_mib(dir: &Path) -> Result<f64> {
    fn blocks(dir: &Path) -> Result<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let mut sum = 0;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            // What a running node removes meanwhile does not count.
            let Ok(meta) = entry.metadata() else { continue };
            sum += if meta.is_dir() { blocks(&entry.path()).unwrap_or(0) } else { meta.blocks() };
        }
        Ok(sum)
    }
    Ok((blocks(dir)? as f64 * 512.0 / f64::from(1 << 20) * 10.0).round() / 10.0)
}
