//! `townmesh costs`: who used how much for what.

use super::connect::Cx;
use super::money::{name, used};
use super::output::{list, number};
use crate::{CliError, Exit};
use engine::{Command, CostsBy};

/// Flags of `costs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  townmesh costs --by agent\n  townmesh costs --by day --since 2026-11-01 --json\n\n\
    What workers reported, on descriptor 3 or by townmesh work usage. Days are UTC."
)]
pub struct Args {
    /// How to add it up
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// The first day that counts
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    Bead,
    Agent,
    Host,
    Day,
    Rig,
    Convoy,
}

impl From<By> for CostsBy {
    fn from(by: By) -> CostsBy {
        match by {
            By::Bead => CostsBy::Bead,
            By::Agent => CostsBy::Agent,
            By::Host => CostsBy::Host,
            By::Day => CostsBy::Day,
            By::Rig => CostsBy::Rig,
            By::Convoy => CostsBy::Convoy,
        }
    }
}

pub(super) fn run(cx: &Cx<'_>, args: Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::Costs { at: cx.at(), by: args.by.into(), since: args.since })?;
    cx.output.data(&result, |out| {
        for line in list(&result, "lines") {
            let attempts = number(line, "attempts");
            writeln!(out, "{:<32} {}, {attempts} attempts", name(line, "of"), used(line))?;
        }
        writeln!(out, "{:<32} {}", "together", used(&result["total"]))
    })
}
