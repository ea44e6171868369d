//! `townmesh sling`: gives a bead to a worker, on this machine or another.

use super::connect::Cx;
use super::money::LimitArgs;
use super::output::{number, one_line, text};
use crate::{CliError, Exit};
use engine::{BeadChange, Command, SlingOrder};
use serde_json::Value;
use std::time::Duration;

/// How often a convoy is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(200);

/// Flags of `sling`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh sling app-x1 server --wait           done when a result was accepted\n  \
    townmesh sling app-x1 app-x2 any --convoy \"the release\"\n  \
    townmesh sling app-x1 server:app/crew/max --money 2.50 --base $(git rev-parse HEAD)\n\n\
    TARGET is any (the default), HOST, HOST:RIG or HOST:RIG/ROLE/RUNNER; the last argument is one if there is no such bead. The\n\
    coordinator of the space grants the bead; its worker has to be heard of once per lease, or the bead goes to somebody else."
)]
pub struct Args {
    /// The beads, and perhaps who is to work on them
    #[arg(value_name = "BEAD", required = true, num_args = 1..=100)]
    beads: Vec<String>,
    /// Who is to work on them, in an option of its own
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// The commit to begin at, a whole id; by default the head of the runner's repository
    #[arg(long, value_name = "COMMIT")]
    base: Option<String>,
    /// How long the worker may be silent: 90s (the default), 500ms, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    lease: Option<u64>,
    /// How much may be used for each bead
    #[command(flatten)]
    cap: LimitArgs,
    /// Track them as one, under this title; several beads are a convoy anyway
    #[arg(long, value_name = "TITLE")]
    convoy: Option<String>,
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
    let (beads, target) = who(cx, args.beads, args.to)?;
    let together = beads.len() > 1 || args.convoy.is_some();
    if together && args.key.is_some() {
        return Err(CliError::new("usage", "a key is for one bead").hint("sling them one by one"));
    }
    let convoy = if together { Some(convoy(cx, &beads, args.convoy)?) } else { None };
    let mut results = Vec::new();
    for (at, id) in beads.iter().enumerate() {
        let key = match &args.key {
            Some(key) => key.clone(),
            None => fresh_key()?,
        };
        let order = SlingOrder {
            at: cx.at(),
            id: id.clone(),
            target: target.clone(),
            base: args.base.clone(),
            lease_ms: args.lease,
            key: Some(key),
            cap: args.cap.limit(),
            convoy: convoy.clone(),
            // Several are all offered before one is waited for.
            wait: args.wait && !together,
        };
        let result = offer(cx, &order);
        match result {
            Ok(result) => {
                cx.output.step(&describe(&result));
                results.push(result);
            }
            Err(err) if at > 0 => {
                let left = beads.get(at..).unwrap_or_default().join(" ");
                let convoy = convoy.as_deref().unwrap_or_default();
                return Err(err.hint(format!("offered before that: {at}; not offered, though in {convoy}: {left}")));
            }
            Err(err) => return Err(err),
        }
    }
    match convoy {
        None => cx.output.data(results.first().unwrap_or(&Value::Null), |_| Ok(())),
        Some(convoy) => {
            cx.output.step(&format!("convoy {convoy}, {} beads", beads.len()));
            let shown = if args.wait { landed(cx, &convoy)? } else { show(cx, &convoy)? };
            cx.output.data(&shown, |_| Ok(()))?;
            let all = number(&shown, "done") == number(&shown, "of");
            Ok(if args.wait && !all { Exit::No } else { Exit::Ok })
        }
    }
}

fn offer(cx: &Cx<'_>, order: &SlingOrder) -> Result<Value, CliError> {
    let command = Command::Sling(order.clone());
    loop {
        let mut progress = cx.output.progress();
        match cx.connect()?.call_with(&command, &mut |line| progress.show(&describe(line))) {
            // Slung already, under this key: what was missed is in the next answer.
            Err(err) if err.code == "watch_behind" => {}
            other => return other,
        }
    }
}

/// The beads, and the target: the last argument, unless there is such a bead.
fn who(cx: &Cx<'_>, mut given: Vec<String>, to: Option<String>) -> Result<(Vec<String>, Option<String>), CliError> {
    if to.is_some() || given.len() < 2 {
        return Ok((given, to));
    }
    let last = given.last().cloned().unwrap_or_default();
    match cx.call(&Command::Show { at: cx.at(), id: last }) {
        Ok(_) => Ok((given, None)),
        Err(err) if err.code == "unknown_bead" => {
            let target = given.pop();
            Ok((given, target))
        }
        Err(err) => Err(err),
    }
}

/// A bead of its own that tracks the others.
fn convoy(cx: &Cx<'_>, beads: &[String], title: Option<String>) -> Result<String, CliError> {
    let title = title.unwrap_or_else(|| format!("convoy of {} beads", beads.len()));
    let fields = [("issue_type".to_owned(), engine::FieldValue::from("convoy"))].into();
    let add_deps = beads.iter().map(|id| (id.clone(), "tracks".to_owned())).collect();
    let change = BeadChange { fields, add_deps, ..BeadChange::default() };
    let made = cx.call(&Command::Add { at: cx.at(), title, id: None, prefix: None, change })?;
    Ok(text(&made, "id").to_owned())
}

fn show(cx: &Cx<'_>, convoy: &str) -> Result<Value, CliError> {
    cx.call(&Command::ConvoyShow { at: cx.at(), id: convoy.to_owned() })
}

/// Waits until a convoy has landed.
fn landed(cx: &Cx<'_>, convoy: &str) -> Result<Value, CliError> {
    let mut progress = cx.output.progress();
    loop {
        let shown = show(cx, convoy)?;
        if shown["landed"] == true {
            return Ok(shown);
        }
        progress.show(&format!("{convoy}  {} of {} are over", number(&shown, "over"), number(&shown, "of")));
        std::thread::sleep(LOOK);
    }
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
