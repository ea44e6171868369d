//! What a node costs: memory, descriptors, disk, log, processor time.

use crate::bench::{cpu_time, rss_bytes, total};
use crate::node::Node;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::Path;

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
        Ok(Cost {
            rss: rss_bytes(pid)?,
            descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            disk: total(home, &|meta| meta.len()),
            log: std::fs::metadata(log).map(|meta| meta.len()).unwrap_or_default(),
            cpu_s: cpu_time(pid)?.as_secs_f64(),
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
