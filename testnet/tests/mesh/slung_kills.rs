//! Coordinators and workers that are killed while a program works on a slung bead: each bead is done once, by the programs' own
//! account too.

use super::started;
use testnet::sling::{bead, closed, runner_with, until};
use testnet::slung::journal::{HELD, Journal, Run, now};
use testnet::slung::judge::{self, Down, End};
use testnet::{Node, PATIENCE, wait_until};

/// Kills of each combination of victims.
const ROUNDS: usize = 3;

/// What a node and the programs say of one bead, judged.
fn judged(node: &Node, id: &str, runs: &[&Run], downs: &[Down]) -> End {
    let work = node.json(&["work", "show", id]).unwrap();
    let shown = node.json(&["beads", "show", id]).unwrap();
    let end = judge::bead(&work, &shown).unwrap();
    judge::runs(&work, runs).unwrap();
    // One worker: its node ends what it finds running before it begins anything, so nothing is excused.
    assert_eq!(judge::overlaps(runs, downs).unwrap(), 0);
    end
}

/// Waits until a program is not there any more.
fn gone(journal: &Journal, run: &Run) {
    wait_until("the program is over", PATIENCE, || {
        Ok(if journal.alive(run).is_none() { Ok(()) } else { Err(format!("{run:?}")) })
    })
    .unwrap();
}

/// Kills them: they are back at once, or at once on a machine that has begun anew, or after longer than a lease.
fn kills(victims: &[usize]) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::new(dir.path()).unwrap();
    let mut net = started(2, 5).unwrap();
    runner_with(&net[1], "agent", &["--no-repo"], &journal.program("b").unwrap()).unwrap();
    let (mut begun, mut granted) = (0, 0);
    for round in 0..ROUNDS {
        let id = bead(net.nodes(), &format!("round {round}")).unwrap();
        journal.takes(&id, HELD).unwrap();
        let target = net[1].name.clone();
        net[0].json(&["sling", &id, &target, "--lease", "2s"]).unwrap();
        let first = journal.running("it is worked on", |run| run.bead == id).unwrap();
        let killed = victims.contains(&1);
        let mut downs = Vec::new();
        for &at in victims {
            downs.push(Down { host: net[at].name.clone(), from: now().unwrap(), to: 0 });
            net[at].kill().unwrap();
        }
        match round {
            // As when the machine ends, not only its node.
            1 if killed => journal.kill_on("b").unwrap(),
            // Nobody answers the worker: it ends its program itself.
            2 if !killed => gone(&journal, &first),
            _ => {}
        }
        for (&at, down) in victims.iter().zip(&mut downs) {
            if round == 2 && at == 1 {
                until(&net[0], &id, "is taken back", |work| work["grants"][0]["state"] == "cancelled").unwrap();
            }
            net[at].up().unwrap();
            down.to = now().unwrap();
        }
        // It goes on, or begins again; only then may it get to its end.
        wait_until("it is worked on again", PATIENCE, || {
            let work = net[1].json(&["work", "show", &id])?;
            let runs = journal.runs()?;
            let again = runs.iter().rev().find(|run| run.bead == id && journal.alive(run).is_some());
            let again = again.filter(|run| !killed || run.pid != first.pid);
            let runs_here = work["running_here"] == true && work["attempt"] == again.map_or(0, |run| run.attempt);
            Ok(if runs_here { Ok(()) } else { Err(format!("{work} {runs:?}")) })
        })
        .unwrap();
        journal.takes(&id, 0).unwrap();
        closed(net.nodes(), &id).unwrap();
        let runs = journal.runs().unwrap();
        let runs: Vec<&Run> = runs.iter().filter(|run| run.bead == id).collect();
        for node in 0..2 {
            let work = until(&net[node], &id, "is done", |work| work["state"] == "accepted").unwrap();
            let end = judged(&net[node], &id, &runs, &downs);
            let ends: Vec<u64> = runs.iter().filter(|run| run.ended).map(|run| run.attempt).collect();
            assert_eq!(ends.len(), 1, "it had its effect once: {runs:?}");
            assert_eq!(end, End::Done(ends[0]), "{ends:?}");
            // Whoever is away for longer than a lease comes back to another grant.
            assert!(round < 2 || ends[0] > 1, "{ends:?}");
            granted += work["grants"].as_array().map_or(0, Vec::len) * usize::from(node == 0);
        }
        begun += runs.len();
    }
    println!(
        "victims {victims:?}: killed {ROUNDS} times while a program ran, {ROUNDS} beads done once each, {granted} grants, {begun} runs"
    );
}

#[test]
fn a_coordinator_that_is_killed_while_a_program_runs() {
    kills(&[0]);
}

#[test]
fn a_worker_that_is_killed_while_its_program_runs() {
    kills(&[1]);
}

#[test]
fn both_killed_while_a_program_runs() {
    kills(&[0, 1]);
}

#[test]
fn beads_are_done_once_whoever_is_killed_when() {
    let seed = std::env::var("TOWNMESH_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}: TOWNMESH_CRASH_SEED selects another");
    let report = testnet::slung::run(&testnet::slung::Options { seed, kills: 6, progress: false }).unwrap();
    println!("{report}");
    assert!(report.is_good(), "{report}");
    assert_eq!(report.killed(), 6);
}
