//! `townmesh space history`: for how many days every single change is kept.

use crate::cli::connect::Cx;
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `space history`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("how_long").required(true).args(["days", "forever"]),
    after_help = "Examples:\n  townmesh space history --days 90    changes older than that are kept as their sum only\n  \
    townmesh space history --forever    every change is kept (the default)\n\nBeads, comments and open conflicts stay \
    in any case; what goes is who wrote what when.\nA copy of a machine that was cut off for longer may lose edits.")]
pub struct Args {
    /// So many days, from 1
    #[arg(long, value_name = "DAYS")]
    days: Option<u64>,
    /// For ever
    #[arg(long)]
    forever: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    let days = args.days.filter(|_| !args.forever);
    let result = cx.call(&Command::SpaceHistory { at: cx.at(), days })?;
    cx.output.step(&match days {
        Some(days) => format!("changes are kept for {days} days"),
        None => "changes are kept for ever".to_owned(),
    });
    cx.output.data(&result, |_| Ok(()))
}
