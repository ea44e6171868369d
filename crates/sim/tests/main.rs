//! What must hold in every seeded run. `townmesh-sim --seed N --trace` plays one again, readably.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sim::{Fault, Options, run};

/// CI's share; the soak script plays more.
const SEEDS: u64 = 200;

#[test]
fn nothing_accepted_is_lost_and_all_agree() {
    let (mut edits, mut steps) = (0, 0);
    let mut counts = std::collections::BTreeMap::new();
    for seed in 1..=SEEDS {
        let options = Options { nodes: 3 + (seed % 3) as usize, gossip: seed % 5 != 0, ..Options::default() };
        let report = run(seed, options).unwrap_or_else(|failure| panic!("{failure}"));
        edits += report.edits;
        steps += report.steps;
        for (what, n) in report.counts {
            *counts.entry(what).or_insert(0) += n;
        }
    }
    println!("{SEEDS} seeds, {steps} steps, {edits} edits, {counts:?}");
    assert!(edits > SEEDS as usize * 20 && counts["crashes"] > 0 && counts["cuts"] > 0 && counts["gossip_lost"] > 0);
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
fn one_flipped_bit_in_a_signature_makes_the_run_fail() {
    let options = Options { actions: 10, fault: Some(Fault::FlipSignatureBit), ..Options::default() };
    for seed in 1..=3 {
        let failure = run(seed, options).expect_err("a damaged op must not spread");
        assert!(failure.what.contains("do not agree"), "{failure}");
    }
}
