//! A machine whose lid is closed: its processes are there, do nothing, and do not know it afterwards.

use crate::node::{Node, PATIENCE};
use crate::wait::wait_until;
use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Stopped processes (SIGSTOP). They go on when this is woken, or dropped: a failed test leaves nobody asleep.
#[derive(Debug)]
pub struct Asleep {
    node: Pid,
    groups: Vec<Pid>,
}

impl Asleep {
    /// Stops a node, and the groups of the programs that it runs; returns when nothing of the node runs any more.
    ///
    /// # Errors
    /// When it does not run.
    pub fn new(node: &Node, groups: &[Pid]) -> Result<Asleep> {
        let asleep = Asleep { node: node.pid()?, groups: groups.to_vec() };
        kill_process(asleep.node, Signal::STOP)?;
        for group in groups {
            kill_process_group(*group, Signal::STOP)?;
        }
        let pid = asleep.node.as_raw_nonzero();
        wait_until(&format!("{} is asleep", node.name), PATIENCE, || {
            let mut awake = Vec::new();
            for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
                let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
                // The name in parentheses may hold anything; the state comes after it.
                let (_, rest) = stat.rsplit_once(") ").context("no name")?;
                if !rest.starts_with('T') {
                    awake.push(stat);
                }
            }
            Ok(if awake.is_empty() { Ok(()) } else { Err(awake.concat()) })
        })?;
        Ok(asleep)
    }

    /// Lets everything go on.
    pub fn wake(self) {}
}

impl Drop for Asleep {
    fn drop(&mut self) {
        // Whoever has ended meanwhile needs no waking.
        for group in &self.groups {
            let _ = kill_process_group(*group, Signal::CONT);
        }
        let _ = kill_process(self.node, Signal::CONT);
    }
}
