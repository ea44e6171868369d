//! The one place that turns an effect into a call.

use super::calls::{Calls, error};
use super::serve::Serving;
use super::work::Work;
use super::workspaces::Workspaces;
use control::ApiError;
use engine::{Effect, Input, NetEffect, NetInput, Verdict};
use net::{InboundId, MessageRef, Stopped, StreamId};
use std::collections::VecDeque;
use tokio::runtime::Handle;

/// Carries effects out, in order, on the engine's thread.
pub(super) struct Performer {
    pub(super) runtime: Handle,
    pub(super) calls: Calls,
    /// `None`: this node runs without a network.
    pub(super) net: Option<net::Handle>,
    pub(super) serving: Serving,
    pub(super) workspaces: Workspaces,
    pub(super) work: Work,
}

impl Performer {
    /// Carries one effect out. What it answers at once becomes an input of our own.
    pub(super) fn perform(&mut self, effect: Effect, own: &mut VecDeque<Input>) {
        match effect {
            // Kept before any effect of its group is performed.
            Effect::Persist(_) => {}
            Effect::Reply { call, result } => self.calls.done(call, result.map_err(api_error)),
            Effect::Progress { call, progress } => {
                if self.calls.progress(call, progress) {
                    own.push_back(Input::CallerGone(call));
                }
            }
            Effect::Net(effect) => self.net(effect, own),
            Effect::Workspace(effect) => self.workspaces.perform(effect, own),
            Effect::Work(effect) => self.work.perform(effect, own),
            Effect::Warn { code, message } => tracing::warn!(code, "{message}"),
        }
    }

    /// Lets an effect go whose records are not on disk; whoever waits for it hears why.
    pub(super) fn refuse(&mut self, effect: Effect, reason: &str) {
        match effect {
            Effect::Reply { call, .. } => {
                let message = format!("the store refuses writes: {reason}");
                let hint = "free disk space or mend the disk, then: townmesh down; townmesh up --background";
                self.calls.done(call, Err(error("store_read_only", message, &[hint])));
            }
            Effect::Warn { code, message } => tracing::warn!(code, "{message}"),
            _ => {}
        }
    }

    fn net(&mut self, effect: NetEffect, own: &mut VecDeque<Input>) {
        let question = match &effect {
            NetEffect::Ask { ask, .. } => Some((*ask, false)),
            NetEffect::Pull { ask, .. } => Some((*ask, true)),
            _ => None,
        };
        let Some(net) = self.net.clone() else {
            own.extend(question.map(|q| unanswered(q, "this node runs without a network")));
            return;
        };
        // The network takes commands whatever else it does, so waiting here ends.
        let done: Result<(), String> = match effect {
            NetEffect::Subscribe(topic) => self.wait(net.subscribe(topic)),
            NetEffect::Unsubscribe(topic) => self.wait(net.unsubscribe(topic)),
            // Gossip is the fast path only: under pressure it gives way.
            NetEffect::Publish { topic, data } => said(net.try_publish(topic, data)),
            NetEffect::Verdict { message, verdict } => self.wait(net.verdict(MessageRef(message), translate(verdict))),
            NetEffect::Dial { peer, addrs } => {
                self.runtime.block_on(net.dial(Some(peer), addrs)).map_err(|err| err.to_string())
            }
            NetEffect::Disconnect(peer) => self.wait(net.disconnect(peer)),
            NetEffect::Keep(peer, keep) => self.wait(net.keep(peer, keep)),
            NetEffect::Ask { peer, ask, body } => self.wait(net.request(peer, ask, body)),
            NetEffect::Answer { inbound, body } => self.wait(net.respond(InboundId(inbound), body)),
            NetEffect::Pull { peer, ask, body } => self.wait(net.pull(peer, ask, body)),
            NetEffect::Serve { stream, plan } => {
                self.serving.start(&self.runtime, net, StreamId(stream), plan);
                Ok(())
            }
        };
        if let Err(reason) = done {
            tracing::debug!(%reason, "the network did not take an effect");
            own.extend(question.map(|q| unanswered(q, &reason)));
        }
    }

    fn wait(&self, call: impl Future<Output = Result<(), Stopped>>) -> Result<(), String> {
        said(self.runtime.block_on(call))
    }
}

fn said(result: Result<(), Stopped>) -> Result<(), String> {
    result.map_err(|err| err.to_string())
}

/// The end of a question that never left this machine.
fn unanswered((ask, pull): (u64, bool), reason: &str) -> Input {
    Input::Net(match pull {
        true => NetInput::PullEnded { ask, result: Err(reason.to_owned()) },
        false => NetInput::Answered { ask, result: Err(reason.to_owned()) },
    })
}

fn translate(verdict: Verdict) -> net::Verdict {
    match verdict {
        Verdict::Accept => net::Verdict::Accept,
        Verdict::Ignore => net::Verdict::Ignore,
        Verdict::Reject => net::Verdict::Reject,
    }
}

fn api_error(err: engine::ApiError) -> ApiError {
    ApiError { code: err.code, message: err.message, hints: err.hints }
}
