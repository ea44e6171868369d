//! What must hold in every seeded run. `townmesh-sim --seed N --trace` plays one again, readably.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sim::{Bug, COUNTED, Options, SlingOptions, Trouble, Troubles, replay_command, run, run_slings, shrink};
use std::collections::BTreeMap;

/// CI's share; the soak script plays more.
const SEEDS: u64 = 200;

#[test]
fn nothing_accepted_is_lost_and_all_agree() {
    let mut steps = 0;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 1..=SEEDS {
        let options = Options::of_seed(seed);
        let report = run(seed, options).unwrap_or_else(|f| panic!("{f}\n  {}", replay_command(seed, &options)));
        steps += report.steps;
        for (what, n) in report.counts {
            *counts.entry(what).or_insert(0) += n;
        }
    }
    println!("{SEEDS} seeds, {steps} steps, {counts:?}");
    let missing: Vec<&&str> = COUNTED.iter().filter(|what| counts.get(**what).is_none_or(|n| *n == 0)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
    let odd: Vec<&&str> = counts.keys().filter(|what| !COUNTED.contains(*what)).collect();
    assert!(odd.is_empty(), "counted, and nobody asks for it: {odd:?}");
    assert!(counts["accepted"] > SEEDS * 20, "{counts:?}");
}

/// Runs in which the soak found a bug, of the mesh or of the simulator itself.
#[test]
fn seeds_that_failed_once_hold() {
    for seed in [1218, 1273, 1275, 1707, 1715, 1858, 3905, 6973, 7495] {
        let options = Options::of_seed(seed);
        run(seed, options).unwrap_or_else(|f| panic!("{f}\n  {}", replay_command(seed, &options)));
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let options = Options { log: true, ..Options::default() };
    let (a, b) = (run(7, options).unwrap(), run(7, options).unwrap());
    assert_eq!(a.log, b.log);
    assert_eq!(a.trace, b.trace);
    assert_ne!(a.trace, run(8, options).unwrap().trace);
}

#[test]
fn every_checker_notices_the_bug_that_it_is_there_for() {
    for bug in Bug::ALL {
        for seed in 1..=3 {
            let options = Options {
                nodes: 6,
                actions: 20,
                troubles: Troubles::none().with(Trouble::Hostility),
                bug: Some(bug),
                ..Options::default()
            };
            let failure = run(seed, options).err().unwrap_or_else(|| panic!("{bug:?} went unnoticed, seed {seed}"));
            assert!(failure.what.contains(bug.noticed_as()), "{bug:?}: {failure}");
        }
    }
}

#[test]
fn a_failing_run_shrinks() {
    let options = Options { bug: Some(Bug::DroppedOp), ..Options::default() };
    let mut tried = 0;
    let (small, failure) = shrink(3, options, &mut |_, _| tried += 1).expect("it fails");
    assert!(failure.what.contains("which was accepted"), "{failure}");
    assert!(small.actions <= 10 && small.nodes == 3 && small.troubles == Troubles::none(), "{small:?} after {tried}");
    assert!(replay_command(3, &small).starts_with("townmesh-sim --seed 3 --nodes 3 --actions "));
    assert!(shrink(3, Options { bug: None, actions: 5, ..options }, &mut |_, _| ()).is_none());
}

/// CI's share of ten thousand.
const SLINGS: u64 = 1_000;

#[test]
fn slung_work_is_done_once_or_listed_with_its_reason() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seed = 0;
    while counts.get("slung").is_none_or(|slung| *slung < SLINGS) {
        seed += 1;
        let report = run_slings(seed, SlingOptions::of_seed(seed))
            .unwrap_or_else(|f| panic!("{f}\n  townmesh-sim --slings --seed {seed} --trace"));
        for (what, n) in report.counts {
            *counts.entry(what).or_insert(0) += n;
        }
    }
    println!("{seed} seeds, {counts:?}");
    for what in
        ["done", "declines", "cancels", "crashes", "power_cuts", "cuts", "moves", "moves_by_force", "clock_jumps"]
    {
        assert!(counts.get(what).is_some_and(|n| *n > 0), "{what} never happened: {counts:?}");
    }
}
