//! `townmesh work accept` and `townmesh work dismiss`: a person decides on a result that waits for review.

use crate::cli::connect::Cx;
use crate::cli::sling::describe;
use crate::{CliError, Exit};
use engine::{Command, JudgeOrder};

/// Flags of `work accept`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work accept app-x1 --attempt 2\n\n\
    Takes a result that waits for review. The bead is closed, if it is still open; merging the commit is yours.")]
pub struct AcceptArgs {
    #[command(flatten)]
    which: Which,
}

/// Flags of `work dismiss`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh work dismiss app-x1 --reason \"done otherwise\"\n\n\
    The result is kept, and waits no longer.")]
pub struct DismissArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The bead
    #[arg(value_name = "BEAD")]
    id: String,
    /// Which attempt, if several wait
    #[arg(long, value_name = "N")]
    attempt: Option<u64>,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

pub(super) fn accept(cx: &Cx<'_>, args: AcceptArgs) -> Result<Exit, CliError> {
    judge(cx, args.which, true)
}

pub(super) fn dismiss(cx: &Cx<'_>, args: DismissArgs) -> Result<Exit, CliError> {
    judge(cx, args.which, false)
}

fn judge(cx: &Cx<'_>, which: Which, good: bool) -> Result<Exit, CliError> {
    let Which { id, attempt, reason } = which;
    let result = cx.call(&Command::WorkJudge(JudgeOrder { at: cx.at(), id, attempt, good, reason }))?;
    cx.output.step(&describe(&result));
    cx.output.data(&result, |_| Ok(()))
}
