//! Kills real nodes and looks for everything they had accepted: `townmesh-crash --kills 1000 --seed 7`.

use clap::Parser;
use std::process::ExitCode;
use testnet::crash::{Options, run};

/// Kill real nodes at named points and at random moments, and look for everything they had accepted.
#[derive(Parser)]
struct Args {
    /// Kills: a tenth (but at least three, if there are enough) at each named point, the rest at random moments
    #[arg(long, default_value_t = 31)]
    kills: usize,
    /// Decides the order of everything; the timing is the machine's
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let report = run(&Options { progress: true, ..Options::of_kills(args.seed, args.kills.max(1)) })?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(ExitCode::from(u8::from(!report.is_good())))
}
