//! Random bd commands on two coupled machines: `townmesh-storm --commands 500 --seed 7`.

use anyhow::{Context as _, bail};
use clap::Parser;
use std::path::PathBuf;
use testnet::bd::{modes, real, storm};

/// Play random commands of the real bd on two coupled machines, cut off half of the time, and look for what they wrote
#[derive(Parser)]
struct Args {
    /// The bd program; by default the one that scripts/install-bd finds
    #[arg(long)]
    bd: Option<PathBuf>,
    /// embedded or server
    #[arg(long, default_value = "embedded")]
    mode: String,
    /// Commands
    #[arg(long, default_value_t = 60)]
    commands: usize,
    /// Decides what happens
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let program = args.bd.or_else(real).context("no bd here; see scripts/install-bd --help, or say --bd")?;
    let Some(mode) = modes().into_iter().find(|mode| mode.name() == args.mode) else {
        bail!("no mode {:?} here; server needs dolt, see scripts/install-dolt --help", args.mode);
    };
    let report = storm(&program, &mode, args.commands, args.seed, |done, kind| {
        if done.is_multiple_of(25) || done == args.commands {
            eprintln!("{done} of {} commands, the last one: {kind}", args.commands);
        }
    })?;
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("seed {}: both databases alike, nothing lost: {}", args.seed, report.to_json());
    }
    Ok(())
}
