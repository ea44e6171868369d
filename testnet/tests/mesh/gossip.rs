//! Gossip is the fast path only: without it, and with half of it lost, nodes converge.

use super::{edit, in_files, started_with};
use testnet::fixture;

fn converge(gossip: &str) {
    let net = started_with(3, 60, &[("TOWNMESH_GOSSIP", gossip)]).unwrap();
    for round in 0..3 {
        for (at, node) in net.nodes().iter().enumerate() {
            let id = fixture::id(round * 10 + at);
            let value = format!("round {round} on {}", node.name);
            match at {
                0 => edit(node, &id, "notes", &value).unwrap(),
                _ => drop(node.json(&["beads", "set", &id, &format!("notes={value}")]).unwrap()),
            }
        }
    }
    for round in 0..3 {
        for (at, node) in net.nodes().iter().enumerate() {
            in_files(&net, &fixture::id(round * 10 + at), "notes", &format!("round {round} on {}", node.name)).unwrap();
        }
    }
    assert_eq!(net.converged().unwrap()["conflicts"], 0);
    net.files_equal().unwrap();
}

#[test]
fn nodes_converge_with_gossip_off() {
    converge("off");
}

#[test]
fn nodes_converge_with_half_the_gossip_lost() {
    converge("0.5");
}
