//! From a command to the daemon and back.

use super::output::Output;
use crate::CliError;
use crate::home::Home;
use control::{Client, ClientError};
use engine::{Command, SpaceRef};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What every command gets.
pub struct Cx<'a> {
    /// Which node.
    pub home: Home,
    /// How to speak.
    pub output: &'a Output,
    /// `--space`.
    pub space: Option<String>,
}

impl Cx<'_> {
    /// Which space the caller means: `--space`, and the directory they stand in.
    pub fn at(&self) -> SpaceRef {
        let cwd = std::env::current_dir().ok().and_then(|dir| dir.to_str().map(str::to_owned));
        SpaceRef { space: self.space.clone(), cwd }
    }

    /// A connection to the daemon.
    ///
    /// # Errors
    /// `not_running` when there is no daemon.
    pub fn connect(&self) -> Result<Node, CliError> {
        Node::connect(&self.home)
    }

    /// Asks the daemon for one thing.
    ///
    /// # Errors
    /// What the node says, or `not_running`.
    pub fn call(&self, command: &Command) -> Result<Value, CliError> {
        let mut progress = self.output.progress();
        self.connect()?.call_with(command, &mut |value| progress.show(&describe(value)))
    }
}

/// One line for people about how far things are.
pub fn describe(progress: &Value) -> String {
    let number = |field: &str| progress.get(field).and_then(Value::as_u64);
    let what = progress.get("doing").and_then(Value::as_str).unwrap_or("working");
    match (number("done"), number("total")) {
        (Some(done), Some(total)) => format!("{what}: {done} of {total}"),
        (Some(done), None) => format!("{what}: {done}"),
        _ if progress.is_string() => progress.as_str().unwrap_or_default().to_owned(),
        _ => format!("{what} …"),
    }
}

/// A connection to a running node.
pub struct Node {
    client: Client,
}

impl Node {
    /// Connects to the daemon of a home.
    ///
    /// # Errors
    /// `not_running` when there is none, `unreachable` when it does not answer.
    pub fn connect(home: &Home) -> Result<Node, CliError> {
        match Client::connect(&home.socket()) {
            Ok(client) => Ok(Node { client }),
            Err(err) => Err(from_client(err, home)),
        }
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// What the node says.
    pub fn call(&mut self, command: &Command) -> Result<Value, CliError> {
        self.call_with(command, &mut |_| {})
    }

    /// Asks for one thing and hears how far it is.
    ///
    /// # Errors
    /// What the node says.
    pub fn call_with(&mut self, command: &Command, progress: &mut dyn FnMut(&Value)) -> Result<Value, CliError> {
        let mut call = serde_json::to_value(command)
            .map_err(|err| CliError::new("internal", format!("writing the command: {err}")))?;
        let params = call.get_mut("params").map(Value::take).unwrap_or(Value::Null);
        let method = call.get("method").and_then(Value::as_str).unwrap_or_default();
        self.raw(method, params, progress)
    }

    /// Asks for one thing by its name.
    ///
    /// # Errors
    /// What the node says.
    pub fn raw(&mut self, method: &str, params: Value, progress: &mut dyn FnMut(&Value)) -> Result<Value, CliError> {
        self.client.call(method, params, |value| progress(&value)).map_err(client_error)
    }
}

fn from_client(err: ClientError, home: &Home) -> CliError {
    let mut err = client_error(err);
    if err.code == "not_running" && !home.is_initialised() {
        err.hints = vec!["townmesh init".to_owned(), "townmesh join TICKET".to_owned()];
    }
    err
}

fn client_error(err: ClientError) -> CliError {
    match err {
        ClientError::NotRunning { .. } => {
            CliError::new("not_running", "no townmesh daemon is running for this home").hint("townmesh up --background")
        }
        ClientError::Api(err) => CliError { code: err.code, message: err.message, hints: err.hints },
        err => CliError::new("unreachable", err.to_string()).hint("townmesh down; townmesh up --background"),
    }
}

/// A directory as the node knows it: absolute, without links.
///
/// # Errors
/// `bad_input` when there is no such directory.
pub fn directory(dir: &Path) -> Result<PathBuf, CliError> {
    let found = dir.canonicalize().map_err(|err| CliError::new("bad_input", format!("{}: {err}", dir.display())))?;
    if !found.is_dir() {
        return Err(CliError::new("bad_input", format!("{} is not a directory", dir.display())));
    }
    Ok(found)
}

/// A path as text, for the node.
///
/// # Errors
/// `bad_input` when it is not UTF-8.
pub fn utf8(path: &Path) -> Result<String, CliError> {
    let text = path.to_str();
    text.map(str::to_owned).ok_or_else(|| CliError::new("bad_input", format!("{} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn progress_reads_well() {
        assert_eq!(describe(&json!({"doing": "ops", "done": 3, "total": 9})), "ops: 3 of 9");
        assert_eq!(describe(&json!({"doing": "dialling"})), "dialling …");
        assert_eq!(describe(&json!(null)), "working …");
    }

    #[test]
    fn without_a_daemon_the_error_is_typed() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        let err = Node::connect(&home).err().unwrap();
        assert_eq!(err.code, "not_running");
        assert!(err.hints.iter().any(|h| h.contains("init")));
    }
}
