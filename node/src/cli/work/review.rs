//! `townmesh work review`.

use crate::cli::connect::Cx;
use crate::cli::output::{number, one_line};
use crate::{CliError, Exit};
use engine::Command;

/// Flags of `work review`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  townmesh work review\n\nResults of workers whose grant no longer counted when they came: a laptop that slept through its\n\
    lease, say. They close nothing; look at the commit, then: townmesh work accept BEAD, or townmesh work dismiss BEAD."
)]
pub struct Args {}

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let result = cx.call(&Command::WorkReview { at: cx.at() })?;
    cx.output.data(&result, |out| {
        result.as_array().into_iter().flatten().try_for_each(|work| {
            let (bead, worker) = (one_line(&work["bead"], 40), one_line(&work["worker"], 40));
            let (result, commit) = (one_line(&work["result"], 12), one_line(&work["commit"], 64));
            writeln!(out, "{bead}  attempt {}, {worker}: {result}, commit {commit}", number(work, "attempt"))
        })
    })
}
