//! A node inside a command: the same as the daemon, for as long as the command needs it.

use super::lifecycle::{Options, run, runtime, store_options};
use crate::CliError;
use crate::home::Home;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A node that runs on threads of this process and answers on the home's socket.
pub struct Local {
    cancel: CancellationToken,
    thread: Option<JoinHandle<Result<(), CliError>>>,
}

impl Local {
    /// Starts the node of a home; returns when it answers.
    ///
    /// # Errors
    /// Why it could not start, as the daemon says it.
    pub fn start(home: &Home, offline: bool) -> Result<Local, CliError> {
        Local::start_with(Options { home: home.clone(), offline, store: store_options() })
    }

    fn start_with(options: Options) -> Result<Local, CliError> {
        let cancel = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let inside = cancel.clone();
        let thread = std::thread::Builder::new().name("node".to_owned()).spawn(move || {
            let runtime = runtime()?;
            let result = runtime.block_on(run(options, ready, inside));
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            result
        });
        let thread = thread.map_err(|err| CliError::new("internal", format!("starting the node: {err}")))?;
        let mut local = Local { cancel, thread: Some(thread) };
        match started.blocking_recv() {
            Ok(()) => Ok(local),
            // It ended before it was ready: it says why.
            Err(_) => Err(local.join().err().unwrap_or_else(|| CliError::new("internal", "the node ended at once"))),
        }
    }

    /// Ends the node cleanly.
    ///
    /// # Errors
    /// `store` when what it held could not be written.
    pub fn stop(mut self) -> Result<(), CliError> {
        self.cancel.cancel();
        self.join()
    }

    fn join(&mut self) -> Result<(), CliError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(CliError::new("internal", "the node stopped working; see above")),
            None => Ok(()),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Err(err) = self.join() {
            tracing::error!(%err, "the node did not end cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use control::{Client, ClientError};
    use serde_json::{Value, json};

    fn call(home: &Home, method: &str, params: Value) -> Result<Value, String> {
        let mut client = Client::connect(&home.socket()).unwrap();
        client.call(method, params, |_| {}).map_err(|err| match err {
            ClientError::Api(err) => err.code,
            err => panic!("{err}"),
        })
    }

    fn home() -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(temp.path()).unwrap();
        home.create().unwrap();
        keys::ensure_host(&home).unwrap();
        keys::ensure_owner(&home).unwrap();
        (temp, home)
    }

    #[test]
    fn a_failed_write_is_told_and_the_node_goes_on_reading() {
        let (_temp, home) = home();
        let failing = |after| store::Options { fail_after_writes: Some(after), ..store::Options::default() };
        let options = |store| Options { home: home.clone(), offline: true, store };
        let local = Local::start_with(options(failing(20))).unwrap();
        call(&home, "space.new", json!({"name": "app"})).unwrap();
        let mut accepted = Vec::new();
        let refused = (0..40).find_map(|at| {
            let id = format!("a-{at}");
            let added = call(&home, "beads.add", json!({"title": "x", "id": id}));
            added.map(|_| accepted.push(id)).err()
        });
        assert_eq!(refused.as_deref(), Some("store_read_only"));
        assert!(!accepted.is_empty());
        assert_eq!(call(&home, "beads.add", json!({"title": "x"})).unwrap_err(), "store_read_only");
        let status = call(&home, "status", json!({})).unwrap();
        assert!(status["read_only"].is_string(), "{status}");
        call(&home, "beads.show", json!({"id": accepted[0]})).unwrap();
        // The last sync cannot succeed; what was accepted was synced before it was answered.
        assert_eq!(local.stop().unwrap_err().code, "store");

        let local = Local::start_with(options(store::Options::default())).unwrap();
        let listed = call(&home, "beads.ls", json!({"all": true})).unwrap();
        let ids: Vec<&str> = listed["beads"].as_array().unwrap().iter().filter_map(|b| b["id"].as_str()).collect();
        for id in &accepted {
            assert!(ids.contains(&id.as_str()), "{id} was accepted and is lost: {ids:?}");
        }
        local.stop().unwrap();
    }

    #[test]
    fn a_second_node_on_one_home_is_refused() {
        let (_temp, home) = home();
        let first = Local::start(&home, true).unwrap();
        assert_eq!(Local::start(&home, true).err().unwrap().code, "home_locked");
        assert!(call(&home, "node.ping", json!({})).is_ok());
        first.stop().unwrap();
        Local::start(&home, true).unwrap().stop().unwrap();
    }
}
