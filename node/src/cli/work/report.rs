//! `townmesh work note` and `townmesh work usage`: what a program, or a person, says of work on this machine.

use crate::cli::connect::Cx;
use crate::cli::money::micros;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::{Command, RunReport};
use types::Usage;

/// Flags of `work note`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh work note app-x1 \"the tests pass, now the docs\"\n  \
    townmesh work note \"$TOWNMESH_BEAD\" \"half of it\" --progress 50\n\n\
    The coordinator hears it at once: townmesh work show. A program in a sandbox writes {\"note\":\"...\"} or {\"progress\":50} to\n\
    descriptor 3 instead.")]
pub struct NoteArgs {
    /// The bead that is worked on here
    #[arg(value_name = "BEAD")]
    id: String,
    /// What is being done
    #[arg(value_name = "TEXT")]
    text: String,
    /// How far it is
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    progress: Option<u8>,
}

pub(super) fn note(cx: &Cx<'_>, args: NoteArgs) -> Result<Exit, CliError> {
    let report = RunReport { note: Some(args.text), percent: args.progress, ..RunReport::default() };
    report_it(cx, args.id, report)
}

/// Flags of `work usage`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work usage app-x1 --tokens-in 12000 --tokens-out 800 --money 0.12\n\n\
    Adds to what was used for the bead here. Budgets and caps count it at once: work that has used them up is stopped. A program\n\
    in a sandbox writes {\"usage\":{\"tokens_in\":1,\"tokens_out\":2,\"money_micros\":3}} to descriptor 3 instead.")]
pub struct UsageArgs {
    /// The bead that is worked on here
    #[arg(value_name = "BEAD")]
    id: String,
    /// Tokens that the model read since the last time
    #[arg(long, value_name = "N", default_value_t = 0)]
    tokens_in: u64,
    /// Tokens that it wrote
    #[arg(long, value_name = "N", default_value_t = 0)]
    tokens_out: u64,
    /// What it cost
    #[arg(long, value_name = "USD", default_value = "0", value_parser = micros)]
    money: u64,
}

pub(super) fn usage(cx: &Cx<'_>, args: UsageArgs) -> Result<Exit, CliError> {
    let used = Usage { tokens_in: args.tokens_in, tokens_out: args.tokens_out, money_micros: args.money };
    report_it(cx, args.id, RunReport { used, ..RunReport::default() })
}

fn report_it(cx: &Cx<'_>, id: String, report: RunReport) -> Result<Exit, CliError> {
    let result = cx.call(&Command::WorkReport { at: cx.at(), id, report })?;
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}
