//! Attacks a node with everything that a hostile peer can do, and says whether it stays within its limits.
//!
//! `townmesh-hostile [--seconds N] [--attack NAME] [--slack-ms N] [--seed N] [--json]`; exit code 1 when a limit is
//! broken.

use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use testnet::hostile::{self, ATTACKS, Options, Row};

#[derive(Default)]
struct Args {
    worker: Option<String>,
    ticket: Option<String>,
    keys: Vec<PathBuf>,
    seconds: Option<f64>,
    attack: Option<String>,
    slack_ms: u64,
    seed: Option<u64>,
    json: bool,
}

fn args() -> Result<Args> {
    let mut out = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--json" {
            out.json = true;
            continue;
        }
        let usage = || {
            format!(
                "townmesh-hostile [--seconds N] [--attack {}|all] [--slack-ms N] [--seed N] [--json]",
                ATTACKS.join("|")
            )
        };
        let Some(value) = words.next() else { bail!("{word}: {}", usage()) };
        match word.as_str() {
            "--worker" => out.worker = Some(value),
            "--ticket" => out.ticket = Some(value),
            "--key" => out.keys.push(value.into()),
            "--seconds" => out.seconds = Some(value.parse().context("--seconds")?),
            "--attack" => out.attack = Some(value),
            "--slack-ms" => out.slack_ms = value.parse().context("--slack-ms")?,
            "--seed" => out.seed = Some(value.parse().context("--seed")?),
            _ => bail!("{word}: {}", usage()),
        }
    }
    if let Some(name) = &out.attack
        && name != "all"
        && !ATTACKS.contains(&name.as_str())
    {
        bail!("no attack is called {name:?}; there are {}, and all", ATTACKS.join(", "));
    }
    Ok(out)
}

fn main() -> Result<ExitCode> {
    let args = args()?;
    let time = Duration::from_secs_f64(args.seconds.unwrap_or(600.0).clamp(0.1, 1e6));
    let seed = args.seed.unwrap_or(7);
    if let Some(name) = &args.worker {
        let ticket = args.ticket.context("--ticket")?;
        let [ended, failed, sent] = hostile::attack(name, &ticket, &args.keys, time, seed)?;
        println!("[{ended}, {failed}, {sent}]");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("seed {seed}");
    let options = Options { time, attack: args.attack, slack: Duration::from_millis(args.slack_ms), seed };
    if !args.json {
        println!("{}", Row::HEAD);
    }
    let own = std::env::current_exe()?;
    let report =
        hostile::run(
            &own,
            &options,
            |row| if args.json { eprintln!("{}", row.line()) } else { println!("{}", row.line()) },
        )?;
    if args.json {
        println!("{}", report.json());
    }
    for broken in &report.broken {
        eprintln!("over the limit: {broken}");
    }
    if report.broken.is_empty() {
        eprintln!("all within the stated limits");
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
