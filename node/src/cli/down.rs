//! `townmesh down`: a clean end.

use super::connect::{Cx, Node};
use crate::{CliError, Exit};
use serde_json::json;
use std::time::{Duration, Instant};

/// Flags of `down`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  townmesh down                returns when the node has ended")]
pub struct Args {}

/// How long a node may take to write what it holds.
const STOP_WAIT: Duration = Duration::from_secs(30);

pub(super) fn run(cx: &Cx<'_>, _args: &Args) -> Result<Exit, CliError> {
    let mut node = match cx.connect() {
        Ok(node) => node,
        Err(err) if err.code == "not_running" => {
            cx.output.note("no node is running");
            return cx.output.data(&json!({"stopped": false}), |_| Ok(()));
        }
        Err(err) => return Err(err),
    };
    node.raw("node.stop", json!({}), &mut |_| {})?;
    let deadline = Instant::now() + STOP_WAIT;
    // The lock is the last thing that a daemon lets go of.
    while daemon_holds_home(cx) {
        if Instant::now() > deadline {
            return Err(CliError::new("timeout", "the node has not ended within 30 s").hint("townmesh status"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    cx.output.step("node stopped");
    cx.output.data(&json!({"stopped": true}), |_| Ok(()))
}

fn daemon_holds_home(cx: &Cx<'_>) -> bool {
    if Node::connect(&cx.home).is_ok() {
        return true;
    }
    let Ok(file) = std::fs::File::open(cx.home.lock()) else { return false };
    match file.try_lock_shared() {
        Ok(()) => false,
        Err(std::fs::TryLockError::WouldBlock) => true,
        Err(std::fs::TryLockError::Error(_)) => false,
    }
}
