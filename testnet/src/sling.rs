//! A small repository with a failing test, a script that repairs it, and what slung work looks like from outside.

use crate::latency::git;
use crate::node::{Node, PATIENCE};
use crate::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program should print, and does not.
const TEST: &str = "#!/bin/sh\nset -e\ntest \"$(sh sum.sh 2 3)\" = 5\necho '2 + 3 is 5'\n";

/// Reads the bead, finds the failing test, repairs the program, and only says so when the test passes.
const AGENT: &str = r#"#!/bin/sh
set -e
title=$(sed -n 's/.*"title":"\([^"]*\)".*/\1/p')
echo "{\"note\":\"working on: $title\"}" >&3
if sh test.sh; then echo 'nothing to repair' >&2; exit 1; fi
sed -i 's/\$1 - \$2/$1 + $2/' sum.sh
sh test.sh
git -c user.name=agent -c user.email=agent@example.org commit -qam "Add instead of subtracting"
"#;

/// The repository on two machines, with a bare one between them.
pub struct Sample {
    /// Where results are pushed to.
    pub origin: PathBuf,
    /// The one machine's clone.
    pub desk: PathBuf,
    /// The other's.
    pub server: PathBuf,
    /// The program that repairs it.
    pub agent: PathBuf,
    /// Where it begins.
    pub base: String,
}

impl Sample {
    /// Makes everything below a directory.
    ///
    /// # Errors
    /// When git or the disk fails.
    pub fn new(dir: &Path) -> Result<Sample> {
        let path = |name: &str| dir.join(name);
        let (origin, desk, server) = (path("origin.git"), path("desk"), path("server"));
        git(dir, &["init", "-q", "--bare", "-b", "main", "origin.git"])?;
        git(dir, &["clone", "-q", "origin.git", "desk"])?;
        std::fs::write(desk.join("sum.sh"), "echo $(($1 - $2))\n")?;
        std::fs::write(desk.join("test.sh"), TEST)?;
        git(&desk, &["checkout", "-q", "-B", "main"])?;
        git(&desk, &["add", "."])?;
        git(&desk, &["commit", "-q", "-m", "A sum and its test"])?;
        git(&desk, &["push", "-q", "origin", "main"])?;
        git(dir, &["clone", "-q", "-b", "main", "origin.git", "server"])?;
        let base = git(&desk, &["rev-parse", "HEAD"])?.trim().to_owned();
        let agent = script(dir, "agent.sh", AGENT)?;
        Ok(Sample { origin, desk, server, agent, base })
    }

    /// Fetches a result on the first machine; whether its test passes there.
    ///
    /// # Errors
    /// When git fails.
    pub fn passes(&self, commit: &str) -> Result<bool> {
        git(&self.desk, &["fetch", "-q", "origin", "+refs/townmesh/*:refs/townmesh/*"])?;
        git(&self.desk, &["checkout", "-q", "--detach", commit])?;
        Ok(Command::new("sh").arg("test.sh").current_dir(&self.desk).output()?.status.success())
    }
}

/// An executable file.
///
/// # Errors
/// When it cannot be written.
pub fn script(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Lets a program work on a node, in an empty directory.
///
/// # Errors
/// When the node refuses.
pub fn runner(node: &Node, name: &str, program: &Path) -> Result<()> {
    runner_with(node, name, &["--no-repo"], program)
}

/// [`runner`] with other flags.
///
/// # Errors
/// As [`runner`].
pub fn runner_with(node: &Node, name: &str, flags: &[&str], program: &Path) -> Result<()> {
    let program = program.to_str().context("path")?;
    let output = node.cli(&[&["runner", "add", name], flags, &["--", program]].concat())?;
    ensure!(output.exit == 0, "runner add {name}: {}", output.stderr);
    Ok(())
}

/// Makes a bead and waits until all these nodes have it.
///
/// # Errors
/// When they do not get it.
pub fn bead(nodes: &[Node], title: &str) -> Result<String> {
    let made = nodes[0].json(&["beads", "add", title])?;
    let id = made["id"].as_str().context("id")?.to_owned();
    for node in nodes.iter().filter(|node| node.child.is_some()) {
        wait_until(&format!("{id} on {}", node.name), PATIENCE, || {
            let shown = node.cli(&["beads", "show", &id, "--json"])?;
            Ok(if shown.exit == 0 { Ok(()) } else { Err(shown.stderr) })
        })?;
    }
    Ok(id)
}

/// Waits until a node says of a slung bead what is asked for.
///
/// # Errors
/// When it does not in time; what it said last.
pub fn until(node: &Node, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_until(&format!("{}: {id} {what}", node.name), PATIENCE, || {
        let work = node.json(&["work", "show", id])?;
        Ok(if holds(&work) { Ok(work) } else { Err(work.to_string()) })
    })
}

/// Waits until a bead is closed on every running node.
///
/// # Errors
/// When it is not in time.
pub fn closed(nodes: &[Node], id: &str) -> Result<()> {
    for node in nodes.iter().filter(|node| node.child.is_some()) {
        wait_until(&format!("{id} is closed on {}", node.name), PATIENCE, || {
            let status = node.json(&["beads", "show", id])?["bead"]["status"].clone();
            Ok(if status == "closed" { Ok(()) } else { Err(status.to_string()) })
        })?;
    }
    Ok(())
}

/// Promise 2, from outside: no fence twice, one accepted result, and that under the highest fence.
///
/// # Errors
/// What does not hold.
pub fn done_once(work: &Value) -> Result<()> {
    let grants = work["grants"].as_array().context("grants")?;
    let mut fences: Vec<&str> = grants.iter().filter_map(|grant| grant["fence"].as_str()).collect();
    let count = fences.len();
    fences.dedup();
    ensure!(fences.len() == count && count == grants.len(), "a fence twice: {work}");
    let accepted: Vec<&Value> = grants.iter().filter(|grant| grant["state"] == "accepted").collect();
    ensure!(accepted.len() == 1, "{} accepted results: {work}", accepted.len());
    ensure!(accepted[0]["fence"] == grants[count - 1]["fence"], "an outdated result was accepted: {work}");
    Ok(())
}
