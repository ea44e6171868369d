//! A node that was killed comes back at once, and the others go on with the new one instead of the dead connection.

use super::started_with;
use std::time::Duration;
use testnet::fixture;
use testnet::latency::{Times, edit_until_seen, shown};

/// Kills, so many times.
const ROUNDS: usize = 5;

fn killed_and_back(transport: &str, listen: &str) {
    let mut net = started_with(2, 20, &[("TOWNMESH_LISTEN", listen)]).unwrap();
    net.files_equal().unwrap();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        net[1].kill().unwrap();
        net[1].up().unwrap();
        let marker = format!("round {round} over {transport}");
        times.push(edit_until_seen(&net[0], &net[1], &fixture::id(round), &marker).unwrap());
    }
    let times = Times::new(times);
    println!("{transport}: p50 {}, max {}", shown(times.percentile(0.5)), shown(times.percentile(1.0)));
    assert!(times.percentile(0.5) < Duration::from_secs(1), "{transport}: {times:?}");
    net.converged().unwrap();
}

#[test]
fn an_edit_reaches_a_node_that_was_just_killed_over_quic() {
    killed_and_back("quic", "/ip4/127.0.0.1/udp/0/quic-v1");
}

#[test]
fn an_edit_reaches_a_node_that_was_just_killed_over_tcp() {
    killed_and_back("tcp", "/ip4/127.0.0.1/tcp/0");
}
