//! Several nodes on one machine.

use crate::node::{Node, PATIENCE};
use crate::wait::wait_until;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::ops::{Index, IndexMut};
use tempfile::TempDir;

/// Nodes with homes of their own under one temporary directory. All of them end when it is dropped, also in a panic;
/// then their logs are printed and the directory stays.
#[derive(Debug)]
pub struct Net {
    nodes: Vec<Node>,
    dir: Option<TempDir>,
}

impl Net {
    /// `count` nodes called `a`, `b`, `c` … `z`, `n26` …; none runs yet.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn new(count: usize) -> Result<Net> {
        let dir = tempfile::Builder::new().prefix("townmesh-testnet-").tempdir()?;
        let letter = |i: usize| u8::try_from(i).ok().filter(|i| *i < 26).map(|i| char::from(b'a' + i).to_string());
        let name = |i: usize| letter(i).unwrap_or_else(|| format!("n{i}"));
        let nodes = (0..count).map(|i| Node::new(dir.path(), &name(i))).collect::<Result<_>>()?;
        Ok(Net { nodes, dir: Some(dir) })
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Sets an environment variable for processes of all nodes that are started from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        for node in &mut self.nodes {
            node.env.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The first node is initialised with its workspace directory and started; all others join it.
    ///
    /// # Errors
    /// When a step fails.
    pub fn start(&mut self) -> Result<()> {
        self.found()?;
        for at in 1..self.nodes.len() {
            self.join(at)?;
        }
        Ok(())
    }

    /// Initialises and starts the first node; its workspace directory may have a beads file already.
    ///
    /// # Errors
    /// When a step fails.
    pub fn found(&mut self) -> Result<Value> {
        let name = self.nodes[0].name.clone();
        let made = self.nodes[0].json(&["init", "--no-service", "--yes", "--name", &name, "--space-name", "app"])?;
        self.nodes[0].up()?;
        Ok(made)
    }

    /// Lets a node join the first one and attaches its workspace directory.
    ///
    /// # Errors
    /// When a step fails.
    pub fn join(&mut self, at: usize) -> Result<()> {
        self.join_without_files(at)?;
        self.nodes[at].json(&["space", "attach", "."]).map(drop)
    }

    /// Lets a node join the first one without a workspace directory.
    ///
    /// # Errors
    /// When a step fails.
    pub fn join_without_files(&mut self, at: usize) -> Result<()> {
        let ticket = self.ticket()?;
        let node = &mut self.nodes[at];
        let name = node.name.clone();
        node.json(&["join", &ticket, "--no-service", "--yes", "--name", &name])?;
        node.up()
    }

    /// A ticket of the first node.
    ///
    /// # Errors
    /// When there is none.
    pub fn ticket(&self) -> Result<String> {
        let output = self.nodes[0].cli(&["invite"])?;
        ensure!(output.exit == 0, "invite: {}", output.stderr);
        Ok(output.stdout.trim().to_owned())
    }

    /// Waits until the first space has the same digests on all running nodes.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub fn converged(&self) -> Result<Value> {
        wait_until("equal digests", PATIENCE, || {
            let running = self.nodes.iter().filter(|node| node.child.is_some());
            let spaces = running.map(Node::space).collect::<Result<Vec<_>>>()?;
            let key = |space: &Value| (space["digest"].clone(), space["state_digest"].clone(), space["ops"].clone());
            Ok(match spaces.split_first() {
                Some((first, rest)) if rest.iter().all(|space| key(space) == key(first)) => Ok(first.clone()),
                _ => Err(format!("{spaces:?}")),
            })
        })
    }

    /// Waits until every running node's file has the same beads by value.
    ///
    /// # Errors
    /// When that does not come about in time.
    pub fn files_equal(&self) -> Result<()> {
        wait_until("equal files", PATIENCE, || {
            let running: Vec<_> = self.nodes.iter().filter(|node| node.child.is_some()).collect();
            let mut files = Vec::new();
            for node in running {
                match node.file_beads() {
                    Ok(beads) => files.push((node.name.clone(), beads)),
                    Err(err) => return Ok(Err(format!("{}: {err:#}", node.name))),
                }
            }
            let Some(((name, first), rest)) = files.split_first() else { return Ok(Ok(())) };
            let different = rest.iter().find_map(|(other, beads)| {
                crate::compare::difference(first, beads).map(|what| format!("{name} and {other}: {what}"))
            });
            Ok(different.map_or(Ok(()), Err))
        })
    }
}

impl Index<usize> for Net {
    type Output = Node;
    fn index(&self, at: usize) -> &Node {
        &self.nodes[at]
    }
}

impl IndexMut<usize> for Net {
    fn index_mut(&mut self, at: usize) -> &mut Node {
        &mut self.nodes[at]
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
    }
}

impl Net {
    /// Tells what went wrong: prints the logs, ends all nodes and leaves everything where it is.
    pub fn keep(&mut self) {
        for node in &self.nodes {
            eprintln!("--- log of {} ---\n{}", node.name, node.log_tail());
        }
        self.nodes.clear();
        if let Some(dir) = self.dir.take() {
            eprintln!("everything is kept in {}", dir.keep().display());
        }
    }
}
