//! Nodes that are killed, and disks that fail.

mod kills;
mod mounts;
mod read_only;
mod slow;
mod torn;

use anyhow::Result;
use serde_json::Value;
use testnet::{Net, Node};

/// Makes a bead by command; its id counts as accepted when the command says so.
fn accepted(node: &Node, id: &str) -> Result<String> {
    node.json(&["beads", "add", "accepted means kept", "--id", id])?;
    Ok(id.to_owned())
}

/// What `export` of a node lacks.
fn lacks(node: &Node, ids: &[String]) -> Result<Vec<String>> {
    let beads = node.export()?;
    Ok(ids.iter().filter(|id| !beads.contains_key(*id)).cloned().collect())
}

fn assert_everything(net: &Net, ids: &[String]) {
    for node in net.nodes() {
        let lost = lacks(node, ids).unwrap();
        assert!(lost.is_empty(), "{} lost {lost:?} of {} accepted", node.name, ids.len());
    }
}

fn status(node: &Node) -> Value {
    node.json(&["status"]).unwrap()
}

/// A command that has to be refused because the store only reads.
fn refused(node: &Node, id: &str) {
    let (exit, error) = node.fails(&["beads", "add", "refused", "--id", id]).unwrap();
    assert_eq!((exit, &error["code"]), (5, &"store_read_only".into()), "{error}");
    assert!(error["hints"].to_string().contains("disk"), "{error}");
}
