//! Setting a home up and getting a node to run in it: what `init` and `join` have in common.

use super::connect::Node;
use crate::config::{Config, check_name};
use crate::home::Home;
use crate::logging::LogFormat;
use crate::{CliError, daemon, keys};
use serde_json::json;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take until it answers; opening a large store takes a while.
const START_WAIT: Duration = Duration::from_secs(60);

/// Makes the directories, the settings and this host's keys; what is there already stays.
/// `owner`: also the owner's key. Returns whether keys were made.
///
/// # Errors
/// `disk`, `bad_config` or what the keys say.
pub fn home(home: &Home, name: Option<&str>, owner: bool) -> Result<bool, CliError> {
    if let Some(name) = name {
        check_name(name)?;
    }
    home.create()?;
    let mut config = Config::read(home)?;
    if let Some(name) = name {
        config.name = name.to_owned();
    }
    if name.is_some() || !home.config().exists() {
        config.write(home)?;
    }
    let host = keys::ensure_host(home)?;
    let owner = owner && keys::ensure_owner(home)?;
    Ok(host || owner)
}

/// A node that answers, for as long as a command needs it.
pub enum Running {
    /// A daemon; it goes on afterwards.
    Daemon,
    /// The same node inside this process; it ends with the command.
    Here(daemon::Local),
}

impl Running {
    /// The node that runs already, else a new one: in this process (`here`), or in the background.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(home: &Home, here: bool, offline: bool) -> Result<Running, CliError> {
        if answers(home) {
            return Ok(Running::Daemon);
        }
        if here {
            return daemon::Local::start(home, offline).map(Running::Here);
        }
        background(home, LogFormat::Text).map(|_| Running::Daemon)
    }

    /// Ends the node if it runs inside this process.
    ///
    /// # Errors
    /// `store` when what it held could not be written.
    pub fn finish(self) -> Result<(), CliError> {
        match self {
            Running::Daemon => Ok(()),
            Running::Here(local) => local.stop(),
        }
    }
}

fn answers(home: &Home) -> bool {
    Node::connect(home).is_ok_and(|mut node| node.raw("node.ping", json!({}), &mut |_| {}).is_ok())
}

/// Starts `townmesh up` in a session of its own and waits until it answers. `false`: one was running already.
///
/// # Errors
/// `start_failed` with the end of its log, or `timeout`.
pub fn background(home: &Home, format: LogFormat) -> Result<bool, CliError> {
    if answers(home) {
        return Ok(false);
    }
    let log = home.log();
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(&log);
    let file = file.map_err(|err| CliError::disk(log.display(), &err))?;
    let from = file.metadata().map(|meta| meta.len()).unwrap_or_default();
    let binary = std::env::current_exe().map_err(|err| CliError::disk("own binary", &err))?;
    let mut command = Command::new(binary);
    command.args(["up", "--detached"]).env("TOWNMESH_HOME", home.dir()).current_dir(home.dir());
    if format == LogFormat::Json {
        command.args(["--log-format", "json"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let mut child = command.spawn().map_err(|err| CliError::disk("starting the node", &err))?;
    wait_ready(home, &mut child, from)?;
    Ok(true)
}

fn wait_ready(home: &Home, child: &mut Child, log_from: u64) -> Result<(), CliError> {
    let deadline = Instant::now() + START_WAIT;
    loop {
        if answers(home) {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            // Two commands at once may both have started a node: the other one's is as good.
            if answers(home) {
                return Ok(());
            }
            let said = last_line(home, log_from);
            let why = if said.is_empty() { status.to_string() } else { said };
            return Err(CliError::new("start_failed", format!("the node did not start: {why}"))
                .hint(format!("see {}", home.log().display())));
        }
        if Instant::now() > deadline {
            return Err(CliError::new("timeout", "the node does not answer after 60 s")
                .hint(format!("see {}", home.log().display())));
        }
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// The last line that a background node wrote since `from`.
fn last_line(home: &Home, from: u64) -> String {
    let Ok(mut file) = std::fs::File::open(home.log()) else { return String::new() };
    let len = file.metadata().map(|meta| meta.len()).unwrap_or_default();
    let _at_start = file.seek(SeekFrom::Start(from.max(len.saturating_sub(8 * 1024))));
    let mut text = Vec::new();
    let _unread = file.take(8 * 1024).read_to_end(&mut text);
    String::from_utf8_lossy(&text).lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default().to_owned()
}
