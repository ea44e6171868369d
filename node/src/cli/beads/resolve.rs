//! `townmesh beads resolve`.

use crate::cli::connect::Cx;
use crate::cli::output::number;
use crate::{CliError, Exit};
use engine::{Choice, Command};

/// Flags of `beads resolve`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["keep", "shown", "value"]),
    after_help = "Examples:\n  townmesh beads resolve app-x1 title --keep 2\n  \
    townmesh beads resolve app-x1 priority --value 1\n  \
    townmesh beads resolve --all --baseline --shown      keep what is shown of every imported copy")]
pub struct Args {
    /// The bead
    #[arg(required_unless_present = "all")]
    id: Option<String>,
    /// What of it, as `beads conflicts` names it; everything when left out
    unit: Option<String>,
    /// Keep the nth value that `beads conflicts` lists
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Keep the value that is shown
    #[arg(long)]
    shown: bool,
    /// Keep none of them but this: JSON, or a text
    #[arg(long, value_name = "VALUE", requires = "unit")]
    value: Option<String>,
    /// Every conflict of the space
    #[arg(long, conflicts_with = "id", requires = "shown")]
    all: bool,
    /// With --all: only where imported copies differ
    #[arg(long, requires = "all")]
    baseline: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let choice = match (args.keep, args.value) {
        (Some(n), _) => Choice::Nth(n as usize),
        (None, Some(text)) => Choice::Value(beads::parse_json(&text).unwrap_or(text.into())),
        (None, None) => Choice::Shown,
    };
    let command = Command::Resolve { at: cx.at(), id: args.id, unit: args.unit, choice, baseline: args.baseline };
    let result = cx.call(&command)?;
    cx.output.step(&format!("{} resolved", number(&result, "resolved")));
    cx.output.data(&result, |_| Ok(()))
}
