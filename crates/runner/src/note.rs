//! Notes about jobs that have not ended, for the node that comes after one that was killed.
//!
//! `jobs/<id>.json`, one JSON object: what has to be known to end the job without its [`crate::Job`], and which process
//! runs for it. It is written when the tree is made, again between the start of the process and the program's (`gate`),
//! and removed when the tree is. A tree without a note was not made whole and is made anew.

use crate::dirs::{self, Dirs, write_whole};
use crate::process::gone_blocking;
use crate::procfs::{Alive, Stat, has_variable};
use crate::sandbox::first_inside;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Of the notes that this program writes. Others are left alone.
const VERSION: u32 = 1;

/// Longest note that is read, in bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// What is known about a job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    version: u32,
    /// Of the bead, as they were given.
    pub(crate) bead: String,
    pub(crate) title: String,
    /// Epoch and number of the grant.
    pub(crate) fence: (u64, u64),
    pub(crate) tree: TreeNote,
    /// Who runs, if anybody was started.
    pub(crate) process: Option<Alive>,
}

/// What a tree is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TreeNote {
    /// An empty directory.
    #[serde(rename = "scratch")]
    Scratch,
    /// A worktree of the repository.
    #[serde(rename = "worktree")]
    Worktree {
        /// The repository.
        repo: PathBuf,
        /// The worktree's own part of it. Asked once, because what is in the tree is the program's to change.
        git_dir: PathBuf,
        /// The commit that it began at.
        base: String,
    },
    /// A repository of its own, seen from inside a sandbox.
    #[serde(rename = "clone")]
    Clone {
        /// The repository that it was made from.
        repo: PathBuf,
        /// The commit that it began at.
        base: String,
    },
}

impl TreeNote {
    /// The commit that it began at.
    pub(crate) fn base(&self) -> Option<&str> {
        match self {
            TreeNote::Scratch => None,
            TreeNote::Worktree { base, .. } | TreeNote::Clone { base, .. } => Some(base),
        }
    }
}

/// What there is under a job's id.
pub(crate) enum Found {
    Nothing,
    Note(Box<Note>),
    /// Something that this program did not write, or cannot read.
    Unknown,
}

impl Note {
    pub(crate) fn new(bead: &str, title: &str, fence: (u64, u64), tree: TreeNote) -> Note {
        Note { version: VERSION, bead: bead.into(), title: title.into(), fence, tree, process: None }
    }

    pub(crate) fn write(&self, dirs: &Dirs, id: &str) -> io::Result<()> {
        // A path that is not UTF-8 cannot be written.
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        write_whole(&dirs.note(id), &text)
    }

    pub(crate) fn find(dirs: &Dirs, id: &str) -> Found {
        let path = dirs.note(id);
        match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Ok(metadata) if metadata.is_file() && metadata.len() <= BYTES_MAX => {}
            _ => return Found::Unknown,
        }
        let note = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        note.filter(|note| note.version == VERSION).map_or(Found::Unknown, |note| Found::Note(Box::new(note)))
    }
}

/// The ids of all notes.
pub(crate) fn ids(dirs: &Dirs) -> Vec<String> {
    let names = dirs::names(&dirs.jobs());
    names
        .iter()
        .filter_map(|name| name.strip_suffix(".json"))
        .filter(|id| crate::job::is_id(id))
        .map(String::from)
        .collect()
}

/// Kills what a node that was killed left running.
pub(crate) fn kill_leftovers(dirs: &Dirs) {
    for id in ids(dirs) {
        match Note::find(dirs, &id) {
            Found::Note(mut note) => {
                if let Some(process) = note.process.take() {
                    kill(dirs, &id, &process);
                    kill_sandbox(dirs, &id);
                    if let Err(error) = note.write(dirs, &id) {
                        tracing::warn!(%id, %error, "cannot note that a leftover program was ended");
                    }
                }
            }
            Found::Unknown => tracing::warn!(%id, "cannot read the note about a job, and leaves it alone"),
            Found::Nothing => {}
        }
    }
}

fn kill(dirs: &Dirs, id: &str, process: &Alive) {
    let Some(group) = Pid::from_raw(process.pid).filter(|pid| pid.as_raw_pid() > 1) else { return };
    if process.is_known() {
        tracing::info!(%id, pid = process.pid, "ends a program that an earlier node left running");
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        gone_blocking(|| !crate::procfs::group_runs(group));
        return;
    }
    // The leader is gone. As long as somebody is in its group, the number is no other process's; but all may be gone,
    // the number used again, and that process gone in turn. So its members have to carry the job's own mark.
    let report = dirs.report(id);
    let members = || Stat::all().into_iter().filter(|stat| stat.group == process.pid);
    let ours: Vec<Pid> = members()
        .filter(|stat| has_variable(stat.pid, "TOWNMESH_REPORT", report.as_os_str()))
        .filter_map(|stat| Pid::from_raw(stat.pid))
        .collect();
    if ours.is_empty() {
        return;
    }
    tracing::info!(%id, group = process.pid, "ends what is left of a program");
    let alive: Vec<Alive> = ours.iter().copied().filter_map(Alive::of).collect();
    for pid in ours {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    gone_blocking(|| !alive.iter().any(Alive::runs));
}

/// A sandbox dies with its node, but that takes a moment.
fn kill_sandbox(dirs: &Dirs, id: &str) {
    let Some(first) = first_inside(dirs, id) else { return };
    if let Some(pid) = Pid::from_raw(first.pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    gone_blocking(|| !first.runs());
}
