//! Slung work with real processes: a program on another machine, workers that die, coordinators that die.

use super::started;
use anyhow::Result;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use testnet::sling::{Sample, bead, closed, done_once, runner, runner_with, script, until};
use testnet::{Net, PATIENCE, wait_until};

/// Goes on as soon as the file `go` is beside it.
fn patient(dir: &Path) -> std::path::PathBuf {
    let text = format!("#!/bin/sh\nuntil [ -e '{}/go' ]; do sleep 0.05; done\n", dir.display());
    script(dir, "patient.sh", &text).unwrap()
}

#[test]
fn a_failing_test_is_repaired_on_another_machine_and_the_bead_closes_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::new(dir.path()).unwrap();
    let net = started(2, 5).unwrap();
    let repo = sample.server.to_str().unwrap();
    runner_with(&net[1], "fixer", &["--repo", repo, "--push", "origin"], &sample.agent).unwrap();
    let id = bead(net.nodes(), "The sum of 2 and 3 is wrong").unwrap();
    let done = net[0].json(&["sling", &id, &net[1].name, "--base", &sample.base, "--wait"]).unwrap();
    assert_eq!((&done["state"], &done["worker"]), (&Value::from("accepted"), &Value::from(net[1].name.as_str())));
    assert_eq!(
        (&done["bead"], &done["fence"]),
        (&Value::from(id.as_str()), &Value::from(format!("{}.1", epoch(&done))))
    );
    assert!(sample.passes(done["commit"].as_str().unwrap()).unwrap(), "the repaired test passes on the first machine");
    closed(net.nodes(), &id).unwrap();
    done_once(&net[1].json(&["work", "show", &id]).unwrap()).unwrap();
    let log = net[1].cli(&["work", "log", &id]).unwrap();
    assert!(log.stdout.contains("2 + 3 is 5"), "{log:?}");
    assert_eq!(net[0].json(&["work", "ls"]).unwrap(), Value::Array(Vec::new()));
}

fn epoch(work: &Value) -> u64 {
    work["fence"].as_str().and_then(|fence| fence.split_once('.')?.0.parse().ok()).unwrap_or_default()
}

/// The node that works on a bead.
fn worker(net: &Net, id: &str) -> Result<usize> {
    let work = until(&net[0], id, "is worked on", |work| work["state"] == "working")?;
    let name = work["worker"].as_str().unwrap_or_default().to_owned();
    Ok(net.nodes().iter().position(|node| node.name == name).unwrap_or(usize::MAX))
}

#[test]
fn a_dead_workers_bead_is_granted_again_and_its_late_result_waits_for_review() {
    let lease = Duration::from_secs(2);
    let dir = tempfile::tempdir().unwrap();
    let program = patient(dir.path());
    let mut net = started(3, 5).unwrap();
    for at in [1, 2] {
        runner(&net[at], "agent", &program).unwrap();
    }
    let id = bead(net.nodes(), "whoever lives").unwrap();
    net[0].json(&["sling", &id, "any", "--lease", "2s"]).unwrap();
    let first = worker(&net, &id).unwrap();
    let started = wait_until("the program runs", PATIENCE, || {
        let running = net[first].json(&["work", "show", &id])?["running_here"] == true;
        Ok(if running { Ok(()) } else { Err("not yet".to_owned()) })
    });
    started.unwrap();
    net[first].kill().unwrap();
    let died = Instant::now();
    let other = 3 - first;
    let name = net[other].name.clone();
    until(&net[0], &id, "is granted again", |work| work["worker"] == name.as_str() && work["state"] == "working")
        .unwrap();
    let took = died.elapsed();
    println!("granted again {took:?} after its worker died, with a lease of {lease:?}");
    assert!(took < 2 * lease, "{took:?}");
    std::fs::write(dir.path().join("go"), "").unwrap();
    closed(net.nodes(), &id).unwrap();
    net[first].up().unwrap();
    closed(net.nodes(), &id).unwrap();
    done_once(&net[first].json(&["work", "show", &id]).unwrap()).unwrap();
}

#[test]
fn a_bead_that_is_closed_by_hand_ends_the_work_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let net = started(2, 5).unwrap();
    runner(&net[1], "agent", &patient(dir.path())).unwrap();
    let id = bead(net.nodes(), "not needed").unwrap();
    net[0].json(&["sling", &id, &net[1].name]).unwrap();
    worker(&net, &id).unwrap();
    net[0].json(&["beads", "close", &id, "--reason", "done by hand"]).unwrap();
    let work = until(&net[0], &id, "is over", |work| work["state"] == "cancelled").unwrap();
    assert!(work["why"].as_str().unwrap().contains("closed"), "{work}");
    let idle = |runners: &Value| runners[0]["working_on"].as_array().is_some_and(Vec::is_empty);
    wait_until("the worker is free", PATIENCE, || {
        let runners = net[1].json(&["runner", "ls"])?;
        Ok(if idle(&runners) { Ok(()) } else { Err(runners.to_string()) })
    })
    .unwrap();
    assert_eq!(net[0].json(&["beads", "show", &id]).unwrap()["bead"]["close_reason"], "done by hand");
}

/// Where a process is killed, as in the crash tests.
const POINTS: [&str; 4] = ["before-persist", "written-before-sync", "persisted-before-send", "after-send"];

/// Kills at each point of each victim.
const ROUNDS: u32 = 3;

fn kills(victims: &[usize]) {
    let dir = tempfile::tempdir().unwrap();
    let program = script(dir.path(), "quick.sh", "#!/bin/sh\nsleep 0.1\n").unwrap();
    let mut net = started(2, 5).unwrap();
    runner(&net[1], "agent", &program).unwrap();
    let mut killed = 0;
    for point in POINTS {
        for round in 1..=ROUNDS {
            let id = bead(net.nodes(), &format!("{point} {round}")).unwrap();
            for &at in victims {
                net[at].term().unwrap();
                net[at].env.insert("TOWNMESH_KILL_AT".to_owned(), format!("{point}:{}", 2 * round + 1));
                net[at].spawn(&[]).unwrap();
            }
            for &at in victims {
                net[at].env.remove("TOWNMESH_KILL_AT");
            }
            // It may die before it answers; asked again with the same key, it is the same offer.
            let target = net[1].name.clone();
            wait_until("it is slung and done", PATIENCE, || {
                for &at in victims {
                    if net[at].ended()?.is_some() {
                        killed += 1;
                        net[at].spawn(&[])?;
                    }
                }
                let slung = net[0].cli(&["sling", &id, &target, "--key", &id, "--lease", "1s", "--json"])?;
                let seen = serde_json::from_str::<Value>(&slung.stdout).unwrap_or_default();
                Ok(if seen["state"] == "accepted" { Ok(()) } else { Err(format!("{seen} {}", slung.stderr)) })
            })
            .unwrap();
            for &at in victims {
                // It may have been set to die later than this.
                if net[at].ended().unwrap().is_some() {
                    killed += 1;
                    net[at].up().unwrap();
                } else {
                    net[at].restart().unwrap();
                }
            }
            closed(net.nodes(), &id).unwrap();
            for node in 0..2 {
                done_once(&until(&net[node], &id, "is done", |work| work["state"] == "accepted").unwrap()).unwrap();
            }
        }
    }
    println!("victims {victims:?}: {killed} kills at {} points, {} beads done once each", POINTS.len(), 12);
    assert!(killed >= 6 * victims.len(), "{killed} kills only");
}

#[test]
fn a_coordinator_that_is_killed_at_named_points_grants_once() {
    kills(&[0]);
}

#[test]
fn a_worker_that_is_killed_at_named_points_works_on() {
    kills(&[1]);
}

#[test]
fn both_killed_at_named_points() {
    kills(&[0, 1]);
}

#[test]
fn work_that_is_begun_while_cut_off_is_adopted_or_closes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("#!/bin/sh\necho \"$TOWNMESH_BEAD\" >>'{}/runs'\n", dir.path().display());
    let mut net = started(2, 5).unwrap();
    runner(&net[1], "agent", &script(dir.path(), "works.sh", &text).unwrap()).unwrap();
    let wanted = bead(net.nodes(), "on the road").unwrap();
    let unwanted = bead(net.nodes(), "done by somebody else").unwrap();
    let early = net[1].cli(&["work", "begin", &wanted]).unwrap();
    assert!(early.exit != 0 && early.stderr.contains("can be reached"), "{early:?}");
    net[0].kill().unwrap();
    wait_until("the coordinator is seen to be away", PATIENCE, || {
        let begun = net[1].cli(&["work", "begin", &wanted])?;
        Ok(if begun.exit == 0 { Ok(()) } else { Err(begun.stderr) })
    })
    .unwrap();
    for id in [&wanted, &unwanted] {
        if id == &unwanted {
            net[1].json(&["work", "begin", id]).unwrap();
        }
        let work = until(&net[1], id, "is prepared", |work| work["prepared"] == true).unwrap();
        assert_eq!((&work["state"], &work["tentative"]), (&Value::from("offered"), &Value::from(true)));
        assert_eq!(net[1].json(&["beads", "show", id]).unwrap()["bead"]["status"], "open", "it closes nothing");
    }
    // What is prepared survives the machine, and is not done again.
    net[1].kill().unwrap();
    net[0].up_with(&["--offline"]).unwrap();
    net[0].json(&["beads", "close", &unwanted, "--reason", "done at the desk"]).unwrap();
    net[0].kill().unwrap();
    net[1].up().unwrap();
    net[0].up().unwrap();
    closed(net.nodes(), &wanted).unwrap();
    let work = until(&net[0], &wanted, "is accepted", |work| work["state"] == "accepted").unwrap();
    done_once(&work).unwrap();
    let lost = until(&net[1], &unwanted, "is over", |work| work["state"] == "cancelled").unwrap();
    assert!(
        lost["why"].as_str().unwrap().contains("closed") && lost["grants"].as_array().unwrap().is_empty(),
        "{lost}"
    );
    assert_eq!(net[0].json(&["beads", "show", &unwanted]).unwrap()["bead"]["close_reason"], "done at the desk");
    let runs = std::fs::read_to_string(dir.path().join("runs")).unwrap();
    assert_eq!(runs.lines().collect::<Vec<_>>(), [wanted.as_str(), unwanted.as_str()], "each was worked on once");
}
