//! What can happen to a node. Every answer to something that the engine asked for carries the question's id.

use crate::{Command, Outcome};
use serde::{Deserialize, Serialize};
use types::{EventId, PeerId, Usage};

/// Identifies a caller of the local API, for the reply.
pub type CallId = u64;

/// Identifies a question that this engine asked a peer.
pub type AskId = u64;

/// A workspace directory's number on this node.
pub type WorkspaceId = u32;

/// A whole file's identity: git's blob id of its bytes.
pub type Generation = [u8; 20];

/// What keeps a directory's beads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// A beads file (`.beads/issues.jsonl`).
    #[default]
    File,
    /// A database of the program `bd`.
    Bd,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// Time has passed; sent about ten times a second and after start.
    Tick,
    /// Somebody on this machine wants something.
    Command {
        /// Where the reply goes.
        call: CallId,
        /// What they want.
        command: Command,
    },
    /// A caller that was answered bit by bit is gone.
    CallerGone(CallId),
    /// Something from the network.
    Net(NetInput),
    /// Something from a workspace directory.
    Workspace(WorkspaceInput),
    /// Something from a runner.
    Work(WorkInput),
    /// The store refused a write or a sync: from now on this node only reads.
    PersistFailed {
        /// What the store said.
        reason: String,
    },
    /// The store is older than it was: records that were on disk are gone. To be told before anything else.
    RecordsLost {
        /// What is known of it.
        what: String,
    },
}

/// Something from a runner.
#[derive(Debug)]
pub enum WorkInput {
    /// A run is over.
    Ended {
        /// Which one.
        run: EventId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A part of a log was read.
    LogRead {
        /// The token of [`crate::WorkEffect::ReadLog`].
        token: u64,
        /// The part, or why there is none, for people.
        part: Result<LogPart, String>,
    },
    /// A run says something of itself.
    Reported {
        /// Which one.
        run: EventId,
        /// What it says.
        report: RunReport,
    },
}

/// A part of what a program printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Whose log it is.
    pub run: EventId,
    /// The bytes, whatever they are.
    pub bytes: Vec<u8>,
    /// Where the next part begins.
    pub next: u64,
    /// Nothing more will come.
    pub ended: bool,
}

/// What work says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// What was used since the last report.
    pub used: Usage,
    /// What is being done, for people; at most 2,000 bytes, longer ones are cut.
    pub note: Option<String>,
    /// How far it is, 0 to 100.
    pub percent: Option<u8>,
}

/// Something from the network, unverified.
#[derive(Debug)]
pub enum NetInput {
    /// We listen at this multiaddr.
    Listening(String),
    /// The first connection to a peer stands.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// The remote multiaddr.
        address: String,
        /// `tcp`, `quic` or `relay`.
        transport: String,
        /// Whether we dialled.
        outbound: bool,
    },
    /// The last connection to a peer is gone.
    Disconnected(PeerId),
    /// A measured round trip.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// Microseconds.
        micros: u64,
    },
    /// Somebody announced themselves on the local network.
    Discovered {
        /// Who.
        peer: PeerId,
        /// Where.
        addrs: Vec<String>,
    },
    /// A gossip message; it is passed on only after our verdict.
    Gossip {
        /// Who handed it to us (not its author).
        peer: PeerId,
        /// The topic's name.
        topic: String,
        /// The payload.
        data: Vec<u8>,
        /// For the verdict.
        message: u64,
    },
    /// A peer asks.
    Asked {
        /// Who.
        peer: PeerId,
        /// For the answer.
        inbound: u64,
        /// A `wire::Request`.
        body: Vec<u8>,
    },
    /// The answer to our question, or why there is none.
    Answered {
        /// Our question.
        ask: AskId,
        /// A `wire::Response`.
        result: Result<Vec<u8>, String>,
    },
    /// A peer opened a pull stream to us.
    PullAsked {
        /// Who.
        peer: PeerId,
        /// The stream, for serving.
        stream: u64,
        /// A `wire::PullRequest`.
        body: Vec<u8>,
    },
    /// One frame of a pull that we asked for.
    Page {
        /// Our question.
        ask: AskId,
        /// A `wire::PullPage`.
        body: Vec<u8>,
    },
    /// A pull that we asked for is over.
    PullEnded {
        /// Our question.
        ask: AskId,
        /// Whether it ended as agreed.
        result: Result<(), String>,
    },
}

/// A line of a beads file that differs from what the bridge last knew.
#[derive(Clone, Debug)]
pub struct FileLine {
    /// Line number, from 1.
    pub line_no: u32,
    /// The text, without the newline.
    pub text: String,
}

/// A file as the bridge found it, as the difference to what it knew.
#[derive(Clone, Debug, Default)]
pub struct FileSnapshot {
    /// The file's generation.
    pub generation: Generation,
    /// How many beads the file has.
    pub beads_total: u64,
    /// New and changed lines; every line when `first`.
    pub changed: Vec<FileLine>,
    /// Ids that the bridge knew and that are gone.
    pub missing: Vec<String>,
    /// Further lines under an id that an earlier line has.
    pub repeated: Vec<FileLine>,
    /// Lines that cannot be read: number and reason.
    pub broken: Vec<(u32, String)>,
    /// Whether this is the first look since the node started (or the workspace was attached).
    pub first: bool,
}

/// Something from a workspace directory.
#[derive(Debug)]
pub enum WorkspaceInput {
    /// The file changed, or is seen for the first time.
    Snapshot {
        /// Which workspace.
        workspace: WorkspaceId,
        /// What was found.
        snapshot: FileSnapshot,
    },
    /// The new file is written beside the old one; it becomes visible with the commit.
    Prepared {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Which attempt.
        attempt: u64,
        /// The generation that the commit will bring.
        generation: Generation,
    },
    /// The commit is through, or why not.
    Applied {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Which attempt; an answer about an earlier one than the last says nothing about that.
        attempt: u64,
        /// What came of it.
        result: ApplyResult,
    },
    /// The directory cannot be coupled (missing, unreadable, too large).
    Failed {
        /// Which workspace.
        workspace: WorkspaceId,
        /// For people.
        reason: String,
    },
}

/// What came of writing a workspace file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyResult {
    /// The file now has this generation.
    Done(Generation),
    /// Somebody wrote the file meanwhile; their version is untouched and a snapshot follows.
    Changed,
    /// The file has broken lines and is left alone until they are mended.
    Broken(String),
    /// Writing failed.
    Failed(String),
}
