//! What only real processes can show: several nodes, their files, their ends.

mod asleep;
mod checkpoint;
mod cut_off;
mod daemon;
mod doctor;
mod first_minutes;
mod gossip;
mod hostile;
mod killed;
mod mixed;
mod real_data;
mod slung;
mod slung_kills;
mod spending;

use anyhow::Result;
use serde_json::Value;
use testnet::{Net, Node, PATIENCE, fixture, wait_until};

/// A started net whose first node has a file of `beads` fixture beads.
pub fn started(nodes: usize, beads: usize) -> Result<Net> {
    started_with(nodes, beads, &[])
}

/// [`started`] with an environment.
pub fn started_with(nodes: usize, beads: usize, env: &[(&str, &str)]) -> Result<Net> {
    let mut net = Net::new(nodes)?;
    for (name, value) in env {
        net.set_env(name, value);
    }
    net[0].write_file(fixture::file(&fixture::lines(beads, 7)).as_bytes())?;
    net.start()?;
    Ok(net)
}

/// Sets a field of a bead's line, as an editor would.
pub fn edit(node: &Node, id: &str, field: &str, value: &str) -> Result<()> {
    node.edit_line(id, |bead| {
        bead[field] = value.into();
        bead["updated_at"] = jiff::Timestamp::now().to_string().into();
    })
}

/// Waits until a node's file shows a value.
pub fn in_file(node: &Node, id: &str, field: &str, value: &str) -> Result<()> {
    wait_until(&format!("{}: {id}.{field} is {value:?} in the file", node.name), PATIENCE, || {
        let Ok(beads) = node.file_beads() else { return Ok(Err("a file half written".to_owned())) };
        let seen = beads.get(id).map(|bead| bead[field].clone()).unwrap_or_default();
        Ok(if seen == value { Ok(()) } else { Err(seen.to_string()) })
    })
}

/// Waits until a node's file shows a value on every running node.
pub fn in_files(net: &Net, id: &str, field: &str, value: &str) -> Result<()> {
    net.nodes().iter().filter(|node| node.child.is_some()).try_for_each(|node| in_file(node, id, field, value))
}

/// The conflicts that a node lists.
pub fn conflicts(node: &Node, flags: &[&str]) -> Result<Vec<Value>> {
    let listed = node.json(&[&["beads", "conflicts"], flags].concat())?;
    Ok(listed["conflicts"].as_array().cloned().unwrap_or_default())
}
