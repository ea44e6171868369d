//! `townmesh sling`: gives a bead to a worker, on this machine or another.

use super::connect::{Cx, Node};
use super::output::{one_line, text};
use crate::{CliError, Exit};
use engine::{Command, SlingOrder};
use serde_json::{Value, json};

/// Flags of `sling`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh sling app-x1 server --wait           done when a result was accepted\n  \
    townmesh sling app-x1                         whoever has room\n  \
    townmesh sling app-x1 server:app/crew/max --base $(git rev-parse HEAD)\n\n\
    TARGET is any (the default), HOST, HOST:RIG or HOST:RIG/ROLE/RUNNER. The coordinator of the space grants the bead; its\n\
    worker has to be heard of once per lease, or the bead goes to somebody else."
)]
pub struct Args {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Who is to work on it
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// The commit to begin at, a whole id; by default the head of the runner's repository
    #[arg(long, value_name = "COMMIT")]
    base: Option<String>,
    /// How long the worker may be silent: 90s (the default), 500ms, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    lease: Option<u64>,
    /// Wait until a result was accepted, or nothing came of it
    #[arg(long)]
    wait: bool,
    /// Slinging again with the same key is the same offer
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// A time with its unit, in milliseconds.
pub(super) fn milliseconds(given: &str) -> Result<u64, String> {
    let digits = given.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = given.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number with ms, s, m or h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number with ms, s, m or h".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too long".to_owned())
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let key = match args.key {
        Some(key) => key,
        None => fresh_key()?,
    };
    let order = SlingOrder {
        at: cx.at(),
        id: args.id,
        target: args.target,
        base: args.base,
        lease_ms: args.lease,
        key: Some(key),
        wait: args.wait,
    };
    let command = Command::Sling(order);
    let result = loop {
        let mut progress = cx.output.progress();
        match cx.connect()?.call_with(&command, &mut |line| progress.show(&describe(line))) {
            // Slung already, under this key: what was missed is in the next answer.
            Err(err) if err.code == "watch_behind" => {}
            other => break other?,
        }
    };
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}

fn fresh_key() -> Result<String, CliError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|err| CliError::new("internal", format!("no randomness: {err}")))?;
    Ok(hex::encode(bytes))
}

/// One line about a bead that was slung.
pub(super) fn describe(work: &Value) -> String {
    let mut out = format!("{}  {}", one_line(&work["bead"], 40), one_line(&work["state"], 12));
    if let Some(attempt) = work["attempt"].as_u64() {
        out.push_str(&format!(", attempt {attempt}, {}", one_line(&work["worker"], 40)));
    }
    if let Some(commit) = work["commit"].as_str() {
        out.push_str(&format!(", commit {}", commit.chars().take(12).collect::<String>()));
    }
    if !text(work, "why").is_empty() {
        out.push_str(&format!(": {}", one_line(&work["why"], 200)));
    }
    out
}

/// A part of what a run on this machine printed.
pub(super) fn log_part(node: &mut Node, run: &str, from: u64) -> Result<Value, CliError> {
    node.raw("work.log", json!({"run": run, "from": from}), &mut |_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(milliseconds("2s"), Ok(2_000));
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("2h"), Ok(7_200_000));
        for bad in ["", "2", "s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(milliseconds(bad).is_err(), "{bad:?}");
        }
    }
}
