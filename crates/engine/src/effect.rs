//! What a node does. The shell carries effects out in order; nothing after a [`Effect::Persist`] happens before
//! what it holds is on disk.

use crate::input::{AskId, CallId, WorkspaceId, WorkspaceKind};
use crate::records::work::RunnerRecord;
use crate::{ApiError, ServePlan};
use types::{EventId, Fence, PeerId, Put};

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Keep these records, all or none.
    Persist(Vec<Put>),
    /// Answer a caller of the local API.
    Reply {
        /// Which call.
        call: CallId,
        /// A JSON document, or a typed error.
        result: Result<serde_json::Value, ApiError>,
    },
    /// Tell a caller of the local API how far things are.
    Progress {
        /// Which call.
        call: CallId,
        /// A JSON document.
        progress: serde_json::Value,
    },
    /// Something on the network.
    Net(NetEffect),
    /// Something in a workspace directory.
    Workspace(WorkspaceEffect),
    /// Something that a runner does.
    Work(WorkEffect),
    /// Something that an operator should see; also counted.
    Warn {
        /// Stable name, e.g. `fork`, `rejected_op`.
        code: &'static str,
        /// For people.
        message: String,
    },
}

/// Something that a runner does.
#[derive(Debug)]
pub enum WorkEffect {
    /// Begin to work on a bead, or go on after a restart. Answered by [`crate::WorkInput::Ended`].
    Start {
        /// Names the run: the grant under which it began.
        run: EventId,
        /// The bead's id, as others named it.
        bead: String,
        /// Its title.
        title: String,
        /// The bead as a line of a beads file.
        line: String,
        /// The fence of the grant.
        fence: Fence,
        /// The commit to begin at.
        base: Option<String>,
        /// Who works.
        runner: Box<RunnerRecord>,
        /// Another owner offered it: only in a sandbox.
        foreign: bool,
    },
    /// Read a part of a log. Answered by [`crate::WorkInput::LogRead`].
    ReadLog {
        /// Comes back with the answer.
        token: u64,
        /// Whose log: the first of these that has one.
        runs: Vec<EventId>,
        /// Where the part begins, in bytes.
        from: u64,
    },
    /// Stop; what was made so far is kept. Answered by [`crate::WorkInput::Ended`].
    Stop {
        /// Which run.
        run: EventId,
        /// For people.
        why: String,
    },
}

/// Whether a gossip message is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: pass it on.
    Accept,
    /// Not for us to judge: do not pass it on, do not blame the sender.
    Ignore,
    /// Proven invalid: the sender is to blame.
    Reject,
}

/// Something on the network.
#[derive(Debug)]
pub enum NetEffect {
    /// Take part in a topic.
    Subscribe(String),
    /// Leave a topic.
    Unsubscribe(String),
    /// Send to a topic. Loss is normal: catching up stands behind it.
    Publish {
        /// The topic.
        topic: String,
        /// The payload, at most `GOSSIP_BYTES_MAX`.
        data: Vec<u8>,
    },
    /// The verdict over a gossip message.
    Verdict {
        /// Which message.
        message: u64,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// Connect to a peer.
    Dial {
        /// Whom.
        peer: PeerId,
        /// Where to try.
        addrs: Vec<String>,
    },
    /// Close all connections to a peer.
    Disconnect(PeerId),
    /// Keep (or no longer keep) the connection to a peer when it is idle.
    Keep(PeerId, bool),
    /// Ask a peer (`wire::Request`).
    Ask {
        /// Whom.
        peer: PeerId,
        /// Comes back with the answer.
        ask: AskId,
        /// The question.
        body: Vec<u8>,
    },
    /// Answer a peer (`wire::Response`).
    Answer {
        /// Which question.
        inbound: u64,
        /// The answer.
        body: Vec<u8>,
    },
    /// Open a pull stream (`wire::PullRequest`).
    Pull {
        /// To whom.
        peer: PeerId,
        /// Comes back with every page.
        ask: AskId,
        /// The request.
        body: Vec<u8>,
    },
    /// Serve a pull stream from the store, page by page ([`crate::serve_page`]).
    Serve {
        /// Which stream.
        stream: u64,
        /// What the peer may have.
        plan: ServePlan,
    },
}

/// Something in a workspace directory.
#[derive(Debug)]
pub enum WorkspaceEffect {
    /// Begin (or go on) to watch a directory's beads file.
    Open {
        /// Its number.
        workspace: WorkspaceId,
        /// The directory.
        dir: String,
        /// What keeps its beads.
        kind: WorkspaceKind,
    },
    /// Stop watching.
    Close(WorkspaceId),
    /// Prepare a new version of the file; answered by `Prepared` (or `Applied` with an error).
    Prepare {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Comes back with everything that is said about this attempt.
        attempt: u64,
        /// The generation that the new version builds on.
        base: crate::input::Generation,
        /// Ids and their new lines; `None` removes the line.
        lines: Vec<(String, Option<String>)>,
    },
    /// Make the version of this attempt visible; answered by `Applied`.
    Commit(WorkspaceId, u64),
    /// Forget the prepared version.
    Abort(WorkspaceId),
    /// Report every line again as a first snapshot.
    Rescan(WorkspaceId),
}
