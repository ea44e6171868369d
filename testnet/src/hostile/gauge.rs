//! What a node costs: memory, descriptors, disk, log, processor time.

use crate::node::Node;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::Path;

/// Clock ticks a second in `/proc`, on every Linux that is in use.
const TICKS: f64 = 100.0;

/// One look at a node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Physical memory in bytes.
    pub rss: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Size of its home in bytes.
    pub disk: u64,
    /// Size of its log in bytes.
    pub log: u64,
    /// Processor time so far in seconds.
    pub cpu_s: f64,
}

impl Cost {
    /// Looks at a running node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn of(node: &Node) -> Result<Cost> {
        let pid = node.child.as_ref().context("the node does not run")?.id();
        Cost::at(pid, &node.home, &node.log_path())
    }

    /// Looks at a process with this home and this log.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn at(pid: u32, home: &Path, log: &Path) -> Result<Cost> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the node has ended")?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss: u64 = rss.and_then(|text| text.split_whitespace().next()).context("VmRSS")?.parse()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The command's name may hold anything; behind it the fields are numbers, user and system time the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        Ok(Cost {
            rss: rss * 1024,
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            disk: size(home),
            log: std::fs::metadata(log).map(|meta| meta.len()).unwrap_or_default(),
            cpu_s: (ticks(11) + ticks(12)) / TICKS,
        })
    }

    /// The larger of each number.
    #[must_use]
    pub fn max(self, other: Cost) -> Cost {
        Cost {
            rss: self.rss.max(other.rss),
            descriptors: self.descriptors.max(other.descriptors),
            disk: self.disk.max(other.disk),
            log: self.log.max(other.log),
            cpu_s: self.cpu_s.max(other.cpu_s),
        }
    }

    /// As JSON, in bytes and seconds.
    pub fn json(self) -> Value {
        json!({"rss": self.rss, "descriptors": self.descriptors, "disk": self.disk, "log": self.log, "cpu_s": self.cpu_s})
    }
}

/// Bytes of all files below a directory; files that vanish meanwhile do not count.
fn size(dir: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += size(&entry.path()),
            Ok(meta) => sum += meta.len(),
            Err(_) => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_costs() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/file"), vec![0; 5000]).unwrap();
        let cost = Cost::at(std::process::id(), dir.path(), &dir.path().join("sub/file")).unwrap();
        assert!(cost.rss > 100_000 && cost.descriptors >= 3, "{cost:?}");
        assert_eq!((cost.disk, cost.log), (5000, 5000));
        assert!(Cost::at(u32::MAX, dir.path(), dir.path()).is_err());
    }
}
