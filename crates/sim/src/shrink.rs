//! From a failing run to a smaller one that fails too.

use crate::check::Failure;
use crate::play::{Options, run};
use crate::trouble::Trouble;

/// The smallest options found under which the seed still fails, with its failure; `None` when it does not fail.
///
/// `tried` is called with every attempt: the options and whether they fail.
pub fn shrink(seed: u64, options: Options, tried: &mut dyn FnMut(&Options, bool)) -> Option<(Options, Failure)> {
    let mut best = (options, run(seed, options).err()?);
    let mut attempt = |best: &mut (Options, Failure), options: Options| {
        let failure = run(seed, options).err();
        tried(&options, failure.is_some());
        match failure {
            Some(failure) => {
                *best = (options, failure);
                true
            }
            None => false,
        }
    };
    loop {
        let before = size(&best.0);
        fewer_actions(&mut best, &mut attempt);
        for trouble in Trouble::ALL {
            let options = best.0;
            if options.troubles.has(trouble) {
                attempt(&mut best, Options { troubles: options.troubles.without(trouble), ..options });
            }
        }
        while best.0.nodes > 3 {
            let options = Options { nodes: best.0.nodes - 1, ..best.0 };
            if !attempt(&mut best, options) {
                break;
            }
        }
        if size(&best.0) == before {
            return Some(best);
        }
    }
}

/// A shorter run is the beginning of a longer one: first half, then quarters, down to single actions.
fn fewer_actions(best: &mut (Options, Failure), attempt: &mut impl FnMut(&mut (Options, Failure), Options) -> bool) {
    let mut step = best.0.actions / 2;
    while step > 0 {
        let options = Options { actions: best.0.actions.saturating_sub(step), ..best.0 };
        if options.actions == best.0.actions || !attempt(best, options) {
            step /= 2;
        }
    }
}

fn size(options: &Options) -> (usize, usize, usize) {
    let troubles = Trouble::ALL.iter().filter(|t| options.troubles.has(**t)).count();
    (options.actions, options.nodes, troubles)
}

/// The command that plays this again, with its trace.
pub fn replay_command(seed: u64, options: &Options) -> String {
    let without: Vec<&str> = Trouble::ALL.iter().filter(|t| !options.troubles.has(**t)).map(|t| t.name()).collect();
    let mut command = format!("townmesh-sim --seed {seed} --nodes {} --actions {}", options.nodes, options.actions);
    if !without.is_empty() {
        command += &format!(" --without {}", without.join(","));
    }
    if !options.gossip {
        command += " --no-gossip";
    }
    if options.days {
        command += " --days";
    }
    command + " --trace"
}
