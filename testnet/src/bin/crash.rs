//! Kills real nodes and looks for everything they had accepted: `townmesh-crash --kills 1000 --seed 7`. With `--slung`, it
//! kills them while beads are slung and worked on, and looks whether each is done once.

use clap::Parser;
use std::process::ExitCode;
use testnet::{crash, slung};

/// Kill real nodes at named points and at random moments, and look for everything they had accepted.
#[derive(Parser)]
struct Args {
    /// Kills: a tenth (but at least three, if there are enough) at each named point, the rest at random moments; of slung
    /// work, a third each at named points, at random moments and while a program runs
    #[arg(long, default_value_t = 31)]
    kills: usize,
    /// Decides the order of everything; the timing is the machine's
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill coordinators and workers of slung beads instead
    #[arg(long)]
    slung: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let kills = args.kills.max(1);
    let (good, json, text) = if args.slung {
        let report = slung::run(&slung::Options { seed: args.seed, kills, progress: true })?;
        (report.is_good(), report.to_json(), report.to_string())
    } else {
        let report = crash::run(&crash::Options { progress: true, ..crash::Options::of_kills(args.seed, kills) })?;
        (report.is_good(), report.to_json(), report.to_string())
    };
    if args.json {
        println!("{json}");
    } else {
        print!("{text}");
    }
    Ok(ExitCode::from(u8::from(!good)))
}
