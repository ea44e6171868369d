//! `townmesh up`: the daemon, in the foreground or behind.

use super::connect::{Cx, Node};
use super::setup;
use crate::daemon;
use crate::logging::{self, LogFormat};
use crate::{CliError, Exit};
use serde_json::json;

/// Flags of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  townmesh up                  in the foreground, until Ctrl-C or SIGTERM\n  \
    townmesh up --background     returns when the node answers; `townmesh down` stops it")]
pub struct Args {
    /// Go on in the background, with the log in the node's home
    #[arg(long)]
    background: bool,
    /// Without a network: reading, writing and the directories' files work on
    #[arg(long, conflicts_with = "background")]
    offline: bool,
    /// The form of log lines on stderr
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Leave the terminal's session: what `--background` starts
    #[arg(long, hide = true, conflicts_with = "background")]
    detached: bool,
}

pub(super) fn run(cx: &Cx<'_>, args: &Args) -> Result<Exit, CliError> {
    if !cx.home.is_initialised() {
        return Err(CliError::new("not_initialised", format!("{} is no node's home yet", cx.home.dir().display()))
            .hint("townmesh init")
            .hint("townmesh join TICKET"));
    }
    if args.background {
        let started = setup::background(&cx.home, args.log_format)?;
        let mut node = Node::connect(&cx.home)?;
        let pong = node.raw("node.ping", json!({}), &mut |_| {})?;
        cx.output.step(if started { "node running" } else { "node was running already" });
        return cx.output.data(&json!({"started": started, "pid": pong["pid"]}), |_| Ok(()));
    }
    if args.detached {
        // A child that was just forked leads no process group, so this cannot fail; if it did, we would only stay
        // in the terminal's session.
        let _stays = rustix::process::setsid();
    }
    logging::init(args.log_format);
    daemon::run_until_signal(&cx.home, args.offline)?;
    Ok(Exit::Ok)
}
