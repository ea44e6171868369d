//! Plays seeds and says how they went: `townmesh-sim --seeds 200`, or one with its trace: `--seed 7 --trace`.

use clap::Parser;
use sim::{Options, run};

/// Play seeded runs of a simulated mesh.
#[derive(Parser)]
struct Args {
    /// How many seeds to play.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Machines in the mesh.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Things that people do in a run.
    #[arg(long, default_value_t = 60)]
    actions: usize,
    /// Print the trace of the first seed and stop.
    #[arg(long)]
    trace: bool,
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let options = Options { nodes: args.nodes, actions: args.actions, log: args.trace, ..Options::default() };
    let last = if args.trace { args.seed } else { args.seed + args.seeds.saturating_sub(1) };
    let (mut steps, mut edits, mut failed) = (0, 0, 0u32);
    for seed in args.seed..=last {
        match run(seed, options) {
            Ok(report) => {
                report.log.iter().for_each(|line| println!("{line}"));
                steps += report.steps;
                edits += report.edits;
            }
            Err(failure) => {
                eprintln!("{failure}");
                failed += 1;
            }
        }
    }
    println!("seeds {}..={last}: {failed} failed, {steps} steps, {edits} accepted edits", args.seed);
    std::process::ExitCode::from(u8::from(failed > 0))
}
