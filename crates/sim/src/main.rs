//! Plays seeds and says how they went: `townmesh-sim --seeds 200`, one with its trace: `--seed 7 --trace`, or a
//! smaller run that fails as a seed does: `--seed 7 --shrink`. Exit code 1 when a seed fails.

use clap::Parser;
use serde_json::json;
use sim::{Failure, Options, SlingOptions, Trouble, Troubles, replay_command, run, run_slings, shrink};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Play seeded runs of a simulated mesh.
#[derive(Parser)]
struct Args {
    /// How many seeds to play.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Machines in the mesh at the beginning, 3 to 50; by default 4 to 8, and now and then 12 to 30, by the seed.
    #[arg(long, value_parser = clap::value_parser!(u16).range(3..=50))]
    nodes: Option<u16>,
    /// Things that happen in a run: edits and troubles.
    #[arg(long, default_value_t = Options::default().actions)]
    actions: usize,
    /// Kinds of trouble to leave out: loss, repeats, disorder, cuts, crashes, restores, copies, clocks, hostility,
    /// charters.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Trouble>,
    /// Ops are not gossiped: members are told when there is something to fetch. Else every fifth seed is played so.
    #[arg(long)]
    no_gossip: bool,
    /// Days pass in the end, over which history is dropped. Else every fourth seed is played so.
    #[arg(long)]
    days: bool,
    /// Play slung work instead of edits: 20 hosts, 50 slings per seed.
    #[arg(long)]
    slings: bool,
    /// Print the trace of the first seed and stop.
    #[arg(long)]
    trace: bool,
    /// Look for the smallest run that fails as the first seed does, print how to play it again, and stop.
    #[arg(long)]
    shrink: bool,
    /// Print the summary as one JSON document.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn options(&self, seed: u64) -> Options {
        let usual = Options::of_seed(seed);
        let exact = self.nodes.is_some();
        Options {
            nodes: self.nodes.map_or(usual.nodes, usize::from),
            actions: self.actions,
            troubles: self.without.iter().fold(Troubles::all(), |all, t| all.without(*t)),
            gossip: if exact { !self.no_gossip } else { usual.gossip && !self.no_gossip },
            log: self.trace,
            bug: None,
            days: self.days || (!exact && usual.days),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.slings {
        return slings(&args);
    }
    if args.shrink {
        return shrunk(&args);
    }
    if args.trace {
        return traced(&args);
    }
    many(&args)
}

fn slings(args: &Args) -> ExitCode {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut steps, mut failed, mut slowest) = (0u64, Vec::new(), (0u64, 0u64));
    let seeds = if args.trace { 1 } else { args.seeds };
    for seed in args.seed..args.seed.saturating_add(seeds) {
        let mut options = SlingOptions { log: args.trace, ..SlingOptions::of_seed(seed) };
        options.hosts = args.nodes.map_or(options.hosts, usize::from);
        let log = match run_slings(seed, options) {
            Ok(report) => {
                steps += report.steps;
                slowest = slowest.max((report.done_after_ms, seed));
                report.counts.iter().for_each(|(what, n)| *counts.entry(what).or_default() += n);
                report.log
            }
            Err(failure) => {
                eprintln!("{failure}\n  townmesh-sim --slings --seed {seed} --trace");
                failed.push(json!({"seed": seed, "what": failure.what}));
                failure.log
            }
        };
        if args.trace {
            log.iter().for_each(|line| println!("{line}"));
        }
    }
    let summary = json!({"first_seed": args.seed, "seeds": seeds, "failed": failed.len(), "failures": failed,
        "steps": steps, "slowest_end_ms": slowest.0, "slowest_seed": slowest.1, "counts": counts});
    if args.json {
        println!("{summary}");
    } else {
        counts.iter().for_each(|(what, n)| println!("{n:>10} {what}"));
        println!(
            "{seeds} seeds from {}: {} failed, {steps} steps; all work ended {} ms after the healing at most (seed {})",
            args.seed,
            failed.len(),
            slowest.0,
            slowest.1
        );
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn traced(args: &Args) -> ExitCode {
    let (log, failure) = match run(args.seed, args.options(args.seed)) {
        Ok(report) => (report.log, None),
        Err(failure) => (failure.log.clone(), Some(failure)),
    };
    log.iter().for_each(|line| println!("{line}"));
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn shrunk(args: &Args) -> ExitCode {
    let mut tried = |options: &Options, fails: bool| {
        let word = if fails { "fails" } else { "holds" };
        eprintln!("{word}: {}", replay_command(args.seed, options));
    };
    match shrink(args.seed, args.options(args.seed), &mut tried) {
        None => {
            println!("seed {} does not fail", args.seed);
            ExitCode::SUCCESS
        }
        Some((options, failure)) => {
            println!("{failure}\n{}", replay_command(args.seed, &options));
            ExitCode::FAILURE
        }
    }
}

fn many(args: &Args) -> ExitCode {
    let last = args.seed.saturating_add(args.seeds.saturating_sub(1));
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut steps, mut machines, mut slowest) = (0u64, 0usize, (0u64, 0u64));
    let mut failures: Vec<(Failure, Options)> = Vec::new();
    for seed in args.seed..=last {
        let options = args.options(seed);
        machines += options.nodes;
        match run(seed, options) {
            Ok(report) => {
                steps += report.steps;
                slowest = slowest.max((report.agreed_after_ms, seed));
                report.counts.iter().for_each(|(what, n)| *counts.entry(what).or_default() += n);
            }
            Err(failure) => {
                eprintln!("{failure}\n  {}", replay_command(seed, &options));
                failures.push((failure, options));
            }
        }
        let done = seed - args.seed + 1;
        if done.is_multiple_of(100) && seed != last {
            eprintln!("{done} of {} seeds played, {} failed", args.seeds, failures.len());
        }
    }
    let failed = failures.len();
    if args.json {
        let failures: Vec<_> = failures
            .iter()
            .map(|(f, options)| json!({"seed": f.seed, "what": f.what, "replay": replay_command(f.seed, options)}))
            .collect();
        let summary = json!({"first_seed": args.seed, "seeds": args.seeds, "failed": failed, "failures": failures,
            "steps": steps, "machines": machines, "slowest_agreement_ms": slowest.0, "slowest_seed": slowest.1,
            "counts": counts});
        println!("{summary}");
    } else {
        counts.iter().for_each(|(what, n)| println!("{n:>10} {what}"));
        println!("slowest agreement: {} ms after the healing (seed {})", slowest.0, slowest.1);
        println!("seeds {}..={last}: {failed} failed, {steps} steps of {machines} machines", args.seed);
    }
    ExitCode::from(u8::from(failed > 0))
}
