//! Two nodes whose directories have databases of the real bd.

use super::{bd, create, new_database};
use crate::{Net, Node, compare, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A command of bd takes half a second, and several of them stand between an edit and the other database.
const PATIENCE: Duration = Duration::from_secs(180);

/// Two full comparisons of the coupling fit into this time.
const STILL: Duration = Duration::from_secs(8);

/// Where bd keeps its issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the process of each command.
    Embedded,
    /// In a Dolt server that bd starts for the directory, with this program.
    Server(PathBuf),
}

impl Mode {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Embedded => "embedded",
            Mode::Server(_) => "server",
        }
    }
}

/// What a script of the project prints last, when it finds a program.
fn found_by(script: &str, args: &[&str]) -> Option<PathBuf> {
    let out = Command::new(crate::workspace().join("scripts").join(script)).args(args).output().ok()?;
    let path = String::from_utf8(out.stdout).ok()?.lines().next_back().map(PathBuf::from);
    path.filter(|path| out.status.success() && path.is_file())
}

/// The real bd, where `scripts/install-bd` and people put it.
pub fn real() -> Option<PathBuf> {
    found_by("install-bd", &[])
}

/// The modes that can be tried here: a server needs dolt. It is not built for that: `scripts/install-dolt` has to have
/// been run, or dolt is on the PATH.
pub fn modes() -> Vec<Mode> {
    std::iter::once(Mode::Embedded).chain(found_by("install-dolt", &["--kept"]).map(Mode::Server)).collect()
}

/// Two coupled nodes; the Dolt servers of their directories end with it.
pub struct Towns {
    net: Net,
    servers: bool,
    _script: TempDir,
}

impl Deref for Towns {
    type Target = Net;

    fn deref(&self) -> &Net {
        &self.net
    }
}

impl DerefMut for Towns {
    fn deref_mut(&mut self) -> &mut Net {
        &mut self.net
    }
}

impl Drop for Towns {
    fn drop(&mut self) {
        for node in self.net.nodes_mut() {
            // First the node, or it would have bd start a server again.
            if let Some(mut child) = node.child.take() {
                let _ = child.kill().and_then(|()| child.wait());
            }
            if self.servers {
                let _ = at(node, &["dolt", "stop"]);
            }
        }
    }
}

fn program(node: &Node) -> Result<&Path> {
    Ok(Path::new(node.env.get("TOWNMESH_BD").context("no bd")?))
}

/// What a person in a node's directory does with bd; what it says.
///
/// # Errors
/// As [`bd`].
pub fn at(node: &Node, args: &[&str]) -> Result<String> {
    bd(program(node)?, &node.work, &node.name, args)
}

/// Makes an issue in a node's directory; its id.
///
/// # Errors
/// As [`create`].
pub fn create_at(node: &Node, title: &str) -> Result<String> {
    create(program(node)?, &node.work, &node.name, title)
}

/// Everything that a database has, by id, without `updated_at`: bd sets it when a label, an edge or a delete is written
/// into it by command, so each database has its own (docs/interop.md).
///
/// # Errors
/// As [`bd`], and when it exports what cannot be read.
pub fn all(node: &Node) -> Result<BTreeMap<String, Value>> {
    let mut all = compare::by_id(&at(node, &["export", "--all"])?)?;
    let twins: Vec<String> = all.keys().filter_map(|id| Some(id.split_once('~')?.0.to_owned())).collect();
    for (id, bead) in &mut all {
        let Some(bead) = bead.as_object_mut() else { continue };
        bead.remove("updated_at");
        if twins.contains(id) {
            // Given twice: bd never changes who made an issue and when, so each database has its own there.
            bead.remove("created_at");
            bead.remove("created_by");
        }
    }
    Ok(all)
}

/// Two coupled nodes; nothing in the second one's database.
///
/// # Errors
/// When a node or bd fails.
pub fn towns(program: &Path, mode: &Mode, first: &[&str]) -> Result<Towns> {
    let script = tempfile::tempdir()?;
    let mut net = Net::new(2)?;
    let more: &[&str] = match mode {
        Mode::Embedded => {
            net.set_env("TOWNMESH_BD", program.to_str().context("path")?);
            &[]
        }
        Mode::Server(dolt) => {
            let with_dolt = with_dolt(program, dolt, script.path())?;
            net.set_env("TOWNMESH_BD", with_dolt.to_str().context("path")?);
            &["--server"]
        }
    };
    let mut towns = Towns { net, servers: *mode != Mode::Embedded, _script: script };
    for node in towns.nodes() {
        new_database(self::program(node)?, &node.work, &node.name, more)?;
    }
    for title in first {
        create_at(&towns[0], title)?;
    }
    towns.found()?;
    towns.join(1)?;
    Ok(towns)
}

/// bd with dolt on its PATH.
fn with_dolt(program: &Path, dolt: &Path, dir: &Path) -> Result<PathBuf> {
    let path = dir.join("bd");
    let folder = dolt.parent().context("dolt's folder")?;
    let text = format!("#!/bin/sh\nPATH='{}':$PATH exec '{}' \"$@\"\n", folder.display(), program.display());
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Waits until both databases say the same.
///
/// # Errors
/// When they do not in time: what is different.
pub fn alike(net: &Net) -> Result<BTreeMap<String, Value>> {
    wait_until("equal databases", PATIENCE, || {
        let (a, b) = (all(&net[0])?, all(&net[1])?);
        Ok(match compare::difference(&a, &b) {
            None => Ok(a),
            Some(what) => Err(what),
        })
    })
}

/// Nobody acts: nothing is written.
///
/// # Errors
/// When ops are written.
pub fn still(net: &Net) -> Result<()> {
    net.converged()?;
    let ops = |net: &Net| -> Result<Vec<Value>> { net.nodes().iter().map(|n| Ok(n.space()?["ops"].clone())).collect() };
    let (before, until) = (ops(net)?, Instant::now() + STILL);
    // What is waited for is that nothing happens: this has to take its time.
    while Instant::now() < until {
        let now = ops(net)?;
        ensure!(now == before, "ops were written while nobody acted: {before:?}, then {now:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
