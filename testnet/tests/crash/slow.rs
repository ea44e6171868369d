//! A slow disk. What is slow is simulated: `TOWNMESH_SYNC_DELAY_MS` makes every sync of the store take longer.

use super::{accepted, assert_everything, lacks};
use crate::mesh::started;
use std::time::{Duration, Instant};
use testnet::{fixture, kill_now};

const DELAY: Duration = Duration::from_millis(400);

#[test]
fn nothing_is_accepted_before_a_slow_disk_has_it() {
    let mut net = started(2, 10).unwrap();
    net[1].term().unwrap();
    net[1].env.insert("TOWNMESH_SYNC_DELAY_MS".to_owned(), DELAY.as_millis().to_string());
    net[1].up().unwrap();
    let mut ids = Vec::new();
    for n in 0..3 {
        let before = Instant::now();
        ids.push(accepted(&net[1], &format!("slow-{n}")).unwrap());
        assert!(before.elapsed() >= DELAY, "accepted after {:?}, before the sync can have ended", before.elapsed());
    }
    // Ended in the middle of syncs: what had an answer is there, what had none may be.
    for round in 0..3 {
        let node = &net[1];
        let answers: Vec<_> = std::thread::scope(|scope| {
            let add = |n: usize| {
                let id = format!("slow-{round}-{n}");
                scope.spawn(move || accepted(node, &id))
            };
            let running: Vec<_> = (0..6).map(add).collect();
            ids.push(accepted(node, &format!("slow-{round}-first")).unwrap());
            kill_now(node.pid().unwrap()).unwrap();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        ids.extend(answers.into_iter().flatten());
        net[1].kill().unwrap();
        net[1].up().unwrap();
        assert_eq!(lacks(&net[1], &ids).unwrap(), Vec::<String>::new(), "round {round}");
    }
    net[1].json(&["beads", "set", &fixture::id(1), "notes=slow but sure"]).unwrap();
    net.converged().unwrap();
    assert_everything(&net, &ids);
}

#[test]
fn a_delay_that_is_no_number_stops_the_start() {
    let mut net = testnet::Net::new(1).unwrap();
    net.found().unwrap();
    net[0].term().unwrap();
    for (name, value) in [("TOWNMESH_SYNC_DELAY_MS", "soon"), ("TOWNMESH_KILL_AT", "nowhere")] {
        net[0].env.insert(name.to_owned(), value.to_owned());
        let (exit, error) = net[0].fails(&["up"]).unwrap();
        assert_eq!((exit, &error["code"]), (2, &"bad_config".into()), "{error}");
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        net[0].env.remove(name);
    }
}
