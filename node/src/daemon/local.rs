//! A node inside a command: the same as the daemon, for as long as the command needs it.

use super::lifecycle::{Options, run, runtime};
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
        let cancel = CancellationToken::new();
        let options = Options { home: home.clone(), offline };
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
