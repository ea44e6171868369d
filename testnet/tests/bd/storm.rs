//! Random commands on both machines. `townmesh-storm` plays more of them.

use super::real;
use testnet::bd::{modes, storm};

const COMMANDS: usize = 60;
const SEED: u64 = 7;

#[test]
fn a_storm_of_commands_loses_nothing() {
    let Some(program) = real() else { return };
    for mode in modes() {
        let report = storm(&program, &mode, COMMANDS, SEED, |_, _| ()).unwrap();
        println!("{}, seed {SEED}: {}", mode.name(), report.to_json());
        assert_eq!(report.commands.values().sum::<u64>(), COMMANDS as u64);
    }
}
