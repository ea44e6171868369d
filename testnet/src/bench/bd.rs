//! The real bd on two machines, beside bd's own way between two clones.

use crate::Net;
use crate::bd::{self, bd, new_database};
use crate::latency::Times;
use crate::node::Node;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an issue may take into the other database.
const PATIENCE: Duration = Duration::from_secs(60);

const ACTOR: &str = "bench";

/// What was measured, a time per round each.
pub struct BdTimes {
    /// `bd create` in a coupled database.
    pub create: Times,
    /// From the start of `bd create` on one machine to the end of the first `bd list` that has it on the other.
    pub visible: Times,
    /// `bd create` in a database that nobody watches.
    pub create_alone: Times,
    /// From the start of `bd create`, over `bd dolt push` there and `bd dolt pull` here, to the end of `bd list`.
    pub synced_by_bd: Times,
}

fn lists(program: &Path, dir: &Path, id: &str) -> Result<bool> {
    let listed: Value = serde_json::from_str(&bd(program, dir, ACTOR, &["list", "--json", "--limit", "0"])?)?;
    Ok(listed.as_array().context("no list")?.iter().any(|issue| issue["id"] == id))
}

/// Measures `rounds` issues each way.
///
/// # Errors
/// When a command fails or an issue does not arrive.
pub fn bd_times(program: &Path, rounds: usize) -> Result<BdTimes> {
    let (create, visible) = over_mesh(program, rounds)?;
    let dir = tempfile::tempdir()?;
    let (a, b, remote) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("remote"));
    std::fs::create_dir_all(&remote)?;
    let url = format!("file://{}", remote.display());
    new_database(program, &a, ACTOR, &[])?;
    bd::create(program, &a, ACTOR, "the first")?;
    bd(program, &a, ACTOR, &["dolt", "remote", "add", "origin", &url])?;
    bd(program, &a, ACTOR, &["dolt", "push"])?;
    new_database(program, &b, ACTOR, &["--remote", &url])?;
    let (mut alone, mut synced) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let started = Instant::now();
        let id = bd::create(program, &a, ACTOR, &format!("round {round}"))?;
        alone.push(started.elapsed());
        bd(program, &a, ACTOR, &["dolt", "push"])?;
        bd(program, &b, ACTOR, &["dolt", "pull"])?;
        ensure!(lists(program, &b, &id)?, "bd's own way did not carry {id}");
        synced.push(started.elapsed());
    }
    Ok(BdTimes { create, visible, create_alone: Times::new(alone), synced_by_bd: Times::new(synced) })
}

fn over_mesh(program: &Path, rounds: usize) -> Result<(Times, Times)> {
    let mut net = Net::new(2)?;
    net.set_env("TOWNMESH_BD", program.to_str().context("path")?);
    net.set_env("TOWNMESH_LOG", "warn");
    for node in net.nodes() {
        new_database(program, &node.work, ACTOR, &[])?;
    }
    bd::create(program, &net[0].work, ACTOR, "the first")?;
    net.found()?;
    net.join(1)?;
    let (mut creates, mut times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (from, to): (&Node, &Node) = if round % 2 == 0 { (&net[0], &net[1]) } else { (&net[1], &net[0]) };
        let started = Instant::now();
        let id = bd::create(program, &from.work, ACTOR, &format!("round {round}"))?;
        creates.push(started.elapsed());
        while !lists(program, &to.work, &id)? {
            ensure!(started.elapsed() < PATIENCE, "{id} did not arrive: {}", to.log_tail());
        }
        times.push(started.elapsed());
    }
    Ok((Times::new(creates), Times::new(times)))
}
