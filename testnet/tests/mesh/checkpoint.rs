//! A newcomer begins with a checkpoint and has the whole history a moment later.

use serde_json::Value;
use testnet::{Net, Node, PATIENCE, fixture, wait_until};

const BEADS: usize = 30;

fn space(node: &Node) -> Value {
    node.json(&["space", "show"]).unwrap()
}

fn newest(node: &Node) -> Value {
    space(node)["checkpoint"]["newest"]["id"].clone()
}

#[test]
fn a_newcomer_begins_with_a_checkpoint_and_fetches_the_history_afterwards() {
    let mut net = Net::new(3).unwrap();
    net.set_env("TOWNMESH_CHECKPOINT_OPS", "60");
    net[0].write_file(fixture::file(&fixture::lines(BEADS, 7)).as_bytes()).unwrap();
    net.found().unwrap();
    net.join(1).unwrap();
    for round in 0..4 {
        for n in 0..BEADS {
            net[round % 2].json(&["beads", "set", &fixture::id(n), &format!("title=round {round}")]).unwrap();
        }
    }
    net.converged().unwrap();
    wait_until("the coordinator made a checkpoint by itself", PATIENCE, || {
        Ok(if newest(&net[0]).is_null() { Err("none".to_owned()) } else { Ok(()) })
    })
    .unwrap();
    let made = net[0].json(&["space", "checkpoint"]).unwrap();
    assert_eq!(made["beads"], BEADS, "{made}");
    wait_until("the other node made the same of the same ops, and serves it too", PATIENCE, || {
        let there = newest(&net[1]);
        Ok(if there == made["id"] { Ok(()) } else { Err(there.to_string()) })
    })
    .unwrap();
    let refused = net[1].fails(&["space", "checkpoint"]).unwrap();
    assert_eq!(refused.1["code"], "not_the_coordinator", "{refused:?}");

    net.join(2).unwrap();
    // Nobody announces it again: it has what it began with.
    assert_eq!(newest(&net[2]), made["id"]);
    net.converged().unwrap();
    net.files_equal().unwrap();
    wait_until("the newcomer has the whole history", PATIENCE, || {
        let checkpoint = space(&net[2])["checkpoint"].clone();
        let whole = checkpoint["base"].is_null() && checkpoint["history_missing"] == 0;
        Ok(if whole { Ok(()) } else { Err(checkpoint.to_string()) })
    })
    .unwrap();
    let log = |node: &Node| node.json(&["beads", "log", "--limit", "1000"]).unwrap();
    assert_eq!(log(&net[2]), log(&net[0]));
    // It survives a kill, and goes on.
    net[2].kill().unwrap();
    net[2].up().unwrap();
    net[2].json(&["beads", "set", &fixture::id(1), "title=after all"]).unwrap();
    net.converged().unwrap();
    for node in net.nodes() {
        assert_eq!(node.json(&["status"]).unwrap()["counters"]["fork"], Value::Null, "{}", node.name);
    }
}

#[test]
fn how_long_history_is_held_is_the_owners_to_say() {
    let mut net = super::started(2, 5).unwrap();
    net[0].json(&["space", "history", "--days", "30"]).unwrap();
    wait_until("the other node knows", PATIENCE, || {
        let days = space(&net[1])["checkpoint"]["history_days"].clone();
        Ok(if days == 30 { Ok(()) } else { Err(days.to_string()) })
    })
    .unwrap();
    let refused = net[1].fails(&["space", "history", "--forever"]).unwrap();
    assert_eq!(refused.1["code"], "no_owner_key", "{refused:?}");
    let refused = net[0].fails(&["space", "history", "--days", "0"]).unwrap();
    assert_eq!(refused.1["code"], "bad_days", "{refused:?}");
    net[0].json(&["space", "history", "--forever"]).unwrap();
    net[0].kill().unwrap();
    net[0].up().unwrap();
    assert_eq!(space(&net[0])["checkpoint"]["history_days"], Value::Null);
}
