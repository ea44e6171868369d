//! The command line: one file per command. Data goes to stdout, everything else to stderr.

mod agents;
mod args;
mod beads;
mod budget;
mod connect;
mod convoy;
mod costs;
mod doctor;
mod down;
mod evidence;
mod git_merge_driver;
mod init;
mod invite;
mod join;
mod merge;
mod money;
mod output;
mod runner;
mod setup;
mod sling;
mod space;
mod status;
mod up;
mod work;

pub use args::{Cli, Command};
pub use output::Output;

use crate::{CliError, Exit};
use clap::Parser as _;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return usage(&err).into(),
    };
    let output = Output::new(cli.json);
    let result = run(cli, &output);
    match result {
        Ok(exit) => exit,
        Err(err) => output.error(&err),
    }
    .into()
}

fn run(cli: Cli, output: &Output) -> Result<Exit, CliError> {
    let home = match &cli.home {
        Some(dir) => crate::home::Home::at(dir)?,
        None => crate::home::Home::from_env()?,
    };
    let cx = connect::Cx { home, output, space: cli.space };
    match cli.command {
        Command::Init(args) => init::run(&cx, args),
        Command::Up(args) => up::run(&cx, &args),
        Command::Down(args) => down::run(&cx, &args),
        Command::Join(args) => join::run(&cx, args),
        Command::Invite(args) => invite::run(&cx, args),
        Command::Status(args) => status::run(&cx, &args),
        Command::Doctor(args) => doctor::run(&cx, &args),
        Command::Space(args) => space::run(&cx, args),
        Command::Beads(args) => beads::run(&cx, args),
        Command::Sling(args) => sling::run(&cx, args),
        Command::Work(args) => work::run(&cx, args),
        Command::Agents(args) => agents::run(&cx, &args),
        Command::Evidence(args) => evidence::run(&cx, &args),
        Command::Convoy(args) => convoy::run(&cx, args),
        Command::Costs(args) => costs::run(&cx, args),
        Command::Budget(args) => budget::run(&cx, args),
        Command::Runner(args) => runner::run(&cx, args),
        Command::Merge(args) => merge::run(output, args),
        Command::GitMergeDriver(args) => git_merge_driver::run(output, &args),
        Command::ExitCodes => args::exit_codes(output),
    }
}

/// Help and version go to stdout; wrong usage is an error like any other.
fn usage(err: &clap::Error) -> Exit {
    let json = std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json");
    if !err.use_stderr() {
        return if err.print().is_ok() { Exit::Ok } else { Exit::No };
    }
    if json {
        let text = err.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return Output::new(true).error(&CliError::new("usage", message).hint("townmesh --help"));
    }
    // Nothing is left to tell when stderr is closed.
    let _closed = err.print();
    Exit::Input
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_command_has_examples_and_an_imperative_first_line() {
        fn check(command: &clap::Command, path: &str) {
            if command.get_name() == "help" {
                return;
            }
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && about.len() < 100, "{path}: {about:?}");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let count = examples.lines().filter(|l| l.trim_start().starts_with("townmesh")).count();
            assert!((1..=3).contains(&count), "{path}: {count} examples");
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command(), "townmesh");
    }
}
