//! The real bd in directories of its own, and executables that stand in for a bd at fault.

use crate::support::{as_snapshot, next};
use bridge::bd::{Limits, Options, Prepared, open};
use bridge::{Event, Handle, Snapshot};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// bd needs some tenths of a second for a command, and a machine that builds something needs its time too.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The real bd: `TOWNMESH_BD`, or the newest that `scripts/install-bd` has put into the cache.
pub fn real() -> Option<PathBuf> {
    let set = std::env::var_os("TOWNMESH_BD").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
    let kept = cache.and_then(|cache| {
        let tools = std::fs::read_dir(cache.join("townmesh/tools")).ok()?;
        let mut found: Vec<PathBuf> = tools.flatten().map(|entry| entry.path().join("bd")).collect();
        let version = |path: &Path| {
            let name = path.parent()?.file_name()?.to_str()?.strip_prefix("bd-")?;
            name.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()
        };
        found.retain(|path| path.is_file() && version(path).is_some());
        found.into_iter().max_by_key(|path| version(path))
    });
    let found = set.or(kept);
    if found.is_none() {
        println!("skipped: no bd; scripts/install-bd gets one, or set TOWNMESH_BD");
    }
    found
}

/// A directory with a database, and somebody who uses bd in it.
pub struct Town {
    pub dir: tempfile::TempDir,
    pub bd: PathBuf,
}

impl Town {
    pub fn new(bd: &Path) -> Town {
        let town = Town { dir: tempfile::tempdir().unwrap(), bd: bd.to_path_buf() };
        let git = Command::new("git").args(["init", "-q"]).current_dir(town.dir.path()).status().unwrap();
        assert!(git.success());
        town.bd(&["init", "--prefix", "tt", "--non-interactive", "--skip-hooks", "--skip-agents", "--quiet"]);
        town
    }

    /// Runs bd as a person would.
    pub fn bd(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.bd);
        command.args(["--actor", "ann"]).args(args).current_dir(self.dir.path()).env("BD_NO_HOOKS", "1");
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "bd {args:?}: {said} {}", String::from_utf8_lossy(&out.stderr));
        said
    }

    /// What bd has, by id.
    pub fn export(&self) -> BTreeMap<String, Map<String, Value>> {
        let text = self.bd(&["export", "--all"]);
        let lines = text.lines().map(|line| serde_json::from_str::<Map<String, Value>>(line).unwrap());
        lines.filter_map(|line| Some((line.get("id")?.as_str()?.to_owned(), line))).collect()
    }

    /// What Dolt calls the root of everything: any write gives it another.
    pub fn root(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join(".beads/embeddeddolt/tt/.dolt/noms/manifest")).unwrap()
    }

    pub fn held(&self) -> PathBuf {
        self.dir.path().join("held.jsonl")
    }

    pub fn couple(&self) -> Desk {
        let held = Some(self.held());
        Desk::open(self.dir.path(), Options { program: self.bd.clone(), held, ..options() })
    }
}

pub fn options() -> Options {
    Options { poll: Duration::from_millis(50), compare: Duration::from_secs(600), ..Options::default() }
}

/// A coupled directory.
pub struct Desk {
    pub handle: Handle<Prepared>,
    pub events: Receiver<Event>,
}

impl Desk {
    pub fn open(dir: &Path, options: Options) -> Desk {
        let (handle, events) = open(dir, options).unwrap();
        Desk { handle, events }
    }

    pub async fn event(&mut self) -> Event {
        next(&mut self.events, DEADLINE).await
    }

    pub async fn snapshot(&mut self) -> Snapshot {
        as_snapshot(self.event().await)
    }

    /// The line that bd's issue reads as now.
    pub async fn line(&self, id: &str) -> Option<Value> {
        self.handle.read_line(id).await.unwrap().map(|text| serde_json::from_str(&text).unwrap())
    }
}

pub fn changed(snapshot: &Snapshot) -> BTreeMap<String, Value> {
    let lines = snapshot.changed.iter();
    lines.map(|line| (line.id.clone(), serde_json::from_str(&line.text).unwrap())).collect()
}

/// A shell script in the place of bd. Only for what the real one does when it is at fault.
pub fn stand_in(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("bd");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

pub fn hasty(time_max: Duration) -> Limits {
    Limits { time_max, lock_max: Duration::from_millis(400), export_bytes_max: 100_000 }
}
