//! Callers of the local API that wait for an answer.

use control::{ApiError, Replier};
use engine::{CallId, Command};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a command may take.
const COMMAND_WAIT: Duration = Duration::from_secs(30);

/// How long joining may take: somebody else's machine has to answer.
const JOIN_WAIT: Duration = Duration::from_secs(60);

struct Waiting {
    reply: Replier,
    /// `None`: until the caller goes.
    until: Option<Instant>,
}

#[derive(Default)]
struct State {
    next: CallId,
    waiting: HashMap<CallId, Waiting>,
}

/// The callers that wait. Cheap to clone. How many there can be is limited by the control server.
#[derive(Clone, Default)]
pub(super) struct Calls {
    state: Arc<Mutex<State>>,
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a caller until its answer comes.
    pub(super) fn add(&self, command: &Command, reply: Replier) -> CallId {
        let until = match command {
            // Until the caller goes.
            Command::Watch { .. } => None,
            Command::Sling(order) if order.wait => None,
            Command::Join { .. } => Some(Instant::now() + JOIN_WAIT),
            _ => Some(Instant::now() + COMMAND_WAIT),
        };
        let mut state = self.state();
        state.next += 1;
        let call = state.next;
        state.waiting.insert(call, Waiting { reply, until });
        call
    }

    /// Answers a caller; nothing happens when it has been answered already.
    pub(super) fn done(&self, call: CallId, result: Result<Value, ApiError>) {
        let waiting = self.state().waiting.remove(&call);
        if let Some(waiting) = waiting {
            waiting.reply.done(result);
        }
    }

    /// Tells a caller how far things are. A caller that is answered bit by bit must hear everything: the result says
    /// whether it is to be forgotten because it did not.
    pub(super) fn progress(&self, call: CallId, progress: Value) -> bool {
        {
            let state = self.state();
            let Some(waiting) = state.waiting.get(&call) else { return true };
            if waiting.reply.progress(progress) || waiting.until.is_some() {
                return false;
            }
        }
        let message = "this caller is gone, or reads more slowly than beads change";
        self.done(call, Err(error("watch_behind", message, &["townmesh beads watch"])));
        true
    }

    /// Answers everybody who has waited too long.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let late: Vec<CallId> = {
            let state = self.state();
            state
                .waiting
                .iter()
                .filter(|(_, w)| w.until.is_some_and(|until| until <= now))
                .map(|(call, _)| *call)
                .collect()
        };
        for call in late {
            let message = "no answer in time; what was asked may still happen";
            self.done(call, Err(error("timeout", message, &["townmesh status"])));
        }
    }
}

/// An error of the local API.
pub(super) fn error(code: &str, message: impl Into<String>, hints: &[&str]) -> ApiError {
    ApiError { code: code.to_owned(), message: message.into(), hints: hints.iter().map(|h| (*h).to_owned()).collect() }
}
