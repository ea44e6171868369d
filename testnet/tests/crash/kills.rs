//! The part of the soak that every run of the tests makes: three kills at each named point, ten at random.

use testnet::crash::{Options, run};

#[test]
fn nothing_accepted_is_lost_at_any_kill_point() {
    let seed = std::env::var("TOWNMESH_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}: TOWNMESH_CRASH_SEED selects another");
    let report = run(&Options { seed, per_point: 3, random: 10, progress: false }).unwrap();
    println!("{report}");
    assert!(report.is_good(), "{report}");
    assert_eq!(report.kills(), 31);
    assert!(report.accepted > 50 && report.by_file > 5, "{report}");
}
