//! What `/proc` says about processes.

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// A process that cannot be mistaken for another: numbers are used again, and begin anew with the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alive {
    /// Its number, and the number of the group that it leads.
    pub(crate) pid: i32,
    /// When it started, in ticks since the machine did: field 22 of `/proc/<pid>/stat`.
    pub(crate) start: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
}

impl Alive {
    /// The process of this number, as long as it is there.
    pub(crate) fn of(pid: Pid) -> Option<Alive> {
        let pid = pid.as_raw_pid();
        Some(Alive { pid, start: Stat::of(pid)?.start, boot: boot_id() })
    }

    /// Whether it runs still; one that only waits to be reaped does not.
    pub(crate) fn runs(&self) -> bool {
        self.stat().is_some_and(|stat| !stat.dead)
    }

    /// Whether its number is still its own.
    pub(crate) fn is_known(&self) -> bool {
        self.stat().is_some()
    }

    fn stat(&self) -> Option<Stat> {
        Stat::of(self.pid).filter(|stat| stat.start == self.start && boot_id() == self.boot)
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

/// Some of the fields of `/proc/<pid>/stat`.
pub(crate) struct Stat {
    pub(crate) pid: i32,
    dead: bool,
    parent: i32,
    pub(crate) group: i32,
    start: u64,
}

impl Stat {
    pub(crate) fn of(pid: i32) -> Option<Stat> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The second field is a name in brackets, and a name may contain anything, brackets too.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Stat {
            pid,
            dead: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Every process that can be seen.
    pub(crate) fn all() -> Vec<Stat> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Stat::of(entry.file_name().to_str()?.parse().ok()?)).collect()
    }
}

/// The processes that this one started and has not reaped.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_pid();
    Stat::all().iter().filter(|stat| stat.parent == parent).filter_map(|stat| Pid::from_raw(stat.pid)).collect()
}

/// Whether anybody in a group runs still.
pub(crate) fn group_runs(group: Pid) -> bool {
    let group = group.as_raw_pid();
    Stat::all().iter().any(|stat| stat.group == group && !stat.dead)
}

/// Whether a process was started with this in its environment.
pub(crate) fn has_variable(pid: i32, name: &str, value: &OsStr) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
    environment.split(|&b| b == 0).any(|variable| variable == wanted)
}
