//! What people and programs on this machine may ask of the node: the methods of the local API.

mod parts;

pub use parts::{BATCH_MAX, BeadChange, BeadEdit, Choice, CostsBy, FieldValue, JudgeOrder, SlingOrder, SpaceRef};

use crate::input::{RunReport, WorkspaceKind};
use crate::records::work::RunnerRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::{EventId, Limit};

/// A method of the local API with its parameters: `{"method": "beads.set", "params": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Command {
    /// The node, its peers and its spaces.
    #[serde(rename = "status")]
    Status {},
    /// A new space owned by this machine's owner key.
    #[serde(rename = "space.new")]
    SpaceNew {
        /// Its name: letters, digits, `.`, `_`, `-`.
        name: String,
        /// Readable by anyone who gets the events; otherwise sealed.
        #[serde(default)]
        public: bool,
    },
    /// All spaces.
    #[serde(rename = "space.ls")]
    SpaceLs {},
    /// One space: members, workspaces, waiting ops, open questions.
    #[serde(rename = "space.show")]
    SpaceShow {
        /// Which.
        #[serde(default)]
        at: SpaceRef,
    },
    /// A checkpoint of a space, now; on its coordinator.
    #[serde(rename = "space.checkpoint")]
    SpaceCheckpoint {
        /// Which.
        #[serde(default)]
        at: SpaceRef,
    },
    /// For how many days a space's ops are held one by one; on the owner's machine.
    #[serde(rename = "space.history")]
    SpaceHistory {
        /// Which.
        #[serde(default)]
        at: SpaceRef,
        /// Days, from 1; `null`: for ever.
        #[serde(default)]
        days: Option<u64>,
    },
    /// Moves the right to grant work to another host; on the owner's machine.
    #[serde(rename = "space.coordinator")]
    SpaceCoordinator {
        /// Which.
        #[serde(default)]
        at: SpaceRef,
        /// The host's name or key.
        host: String,
        /// Although the present one cannot be reached: a bead may run twice then.
        #[serde(default)]
        force: bool,
    },
    /// Offers a bead to a worker, perhaps on another machine.
    #[serde(rename = "sling")]
    Sling(SlingOrder),
    /// Slung beads.
    #[serde(rename = "work.ls")]
    WorkLs {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Those that are done, too.
        #[serde(default)]
        all: bool,
    },
    /// The transcript of one slung bead.
    #[serde(rename = "work.show")]
    WorkShow {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
    },
    /// Begins to work on a bead here although whoever grants work cannot be reached: prepared until there is a grant.
    #[serde(rename = "work.begin")]
    WorkBegin {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// Which runner; any by default.
        #[serde(default)]
        runner: Option<String>,
        /// The commit to begin at, a whole id.
        #[serde(default)]
        base: Option<String>,
    },
    /// A part of what the program printed that worked on a bead, wherever that was.
    #[serde(rename = "work.log")]
    WorkLog {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// Of which run, as an earlier answer named it; the newest by default.
        #[serde(default)]
        run: Option<EventId>,
        /// Where the part begins, in bytes.
        #[serde(default)]
        from: u64,
    },
    /// Results that wait for a person.
    #[serde(rename = "work.review")]
    WorkReview {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// Takes an offer back, and ends the work on it.
    #[serde(rename = "work.cancel")]
    WorkCancel {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What a person made of work that a runner without a program took here.
    #[serde(rename = "work.result")]
    WorkResult {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// It failed.
        #[serde(default)]
        failed: bool,
        /// The commit with the result, a whole id.
        #[serde(default)]
        commit: Option<String>,
        /// For people, at most 2,000 bytes.
        #[serde(default)]
        text: Option<String>,
    },
    /// A person takes a result that waits for review, or turns it down.
    #[serde(rename = "work.judge")]
    WorkJudge(JudgeOrder),
    /// What is said of work on this machine while it goes on.
    #[serde(rename = "work.report")]
    WorkReport {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// What is said.
        report: RunReport,
    },
    /// Who used how much for what.
    #[serde(rename = "costs")]
    Costs {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// How it is added up.
        #[serde(default)]
        by: CostsBy,
        /// The first day that counts, like `2026-11-23` (UTC).
        #[serde(default)]
        since: Option<String>,
    },
    /// The budgets of a space, and how much of them is used.
    #[serde(rename = "budget.ls")]
    BudgetLs {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// Sets a budget, or removes it; on the owner's machine.
    #[serde(rename = "budget.set")]
    BudgetSet {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// `day`, `rig:NAME`, `host:NAME`, `bead` or `convoy`.
        scope: String,
        /// None: there is no such budget any more.
        #[serde(default)]
        limit: Option<Limit>,
    },
    /// Beads that were slung together.
    #[serde(rename = "convoy.ls")]
    ConvoyLs {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Those that have landed, too.
        #[serde(default)]
        all: bool,
    },
    /// One convoy.
    #[serde(rename = "convoy.show")]
    ConvoyShow {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
    },
    /// Who is where, doing what.
    #[serde(rename = "agents")]
    Agents {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// Proofs of misbehaviour that this host keeps.
    #[serde(rename = "evidence.ls")]
    EvidenceLs {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// A program (or a person) that works on beads on this machine; replaces the one with this name.
    #[serde(rename = "runner.add")]
    RunnerAdd {
        /// Its name: letters, digits, `.`, `_`, `-`.
        name: String,
        /// What it is.
        runner: RunnerRecord,
    },
    /// All runners of this machine.
    #[serde(rename = "runner.ls")]
    RunnerLs {},
    /// Takes a runner away; what it works on goes on.
    #[serde(rename = "runner.rm")]
    RunnerRm {
        /// Its name.
        name: String,
    },
    /// Couples a directory's beads file with a space.
    #[serde(rename = "space.attach")]
    SpaceAttach {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// The directory, absolute.
        dir: String,
        /// What keeps its beads; a file by default.
        #[serde(default)]
        kind: WorkspaceKind,
        /// Blob ids (hex) that the file had in its git history.
        #[serde(default)]
        generations: Vec<String>,
        /// Hashes of earlier values per bead id and unit, from the file's git history.
        #[serde(default)]
        ancestors: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    },
    /// Ends the coupling; the file stays as it is.
    #[serde(rename = "space.detach")]
    SpaceDetach {
        /// The directory, absolute.
        dir: String,
    },
    /// Answers the question about many lines that vanished from a file at once.
    #[serde(rename = "space.deletes")]
    SpaceDeletes {
        /// The directory, absolute.
        dir: String,
        /// `true`: delete the beads; `false`: write the lines again.
        accept: bool,
    },
    /// A ticket for one more machine.
    #[serde(rename = "invite")]
    Invite {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// `maintainer`, `writer` or `reader`.
        #[serde(default)]
        role: Option<String>,
        /// Seconds until it expires; an hour by default.
        #[serde(default)]
        ttl_s: Option<u64>,
    },
    /// Uses a ticket. Answered when the space is here and first caught up.
    #[serde(rename = "join")]
    Join {
        /// `tmesh1…`.
        ticket: String,
    },
    /// Takes in lines of a beads file as a baseline.
    #[serde(rename = "beads.import")]
    Import {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Number of the first line.
        first_line: u64,
        /// The lines.
        lines: Vec<String>,
        /// As in `space.attach`.
        #[serde(default)]
        ancestors: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    },
    /// Shown values as JSONL lines sorted by id.
    #[serde(rename = "beads.export")]
    Export {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// A list of beads.
    #[serde(rename = "beads.ls")]
    Ls {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Only these statuses; all but `closed` and `tombstone` when empty and not `all`.
        #[serde(default)]
        status: Vec<String>,
        /// Closed ones and tombstones too.
        #[serde(default)]
        all: bool,
        /// At most this many; 0 = no limit.
        #[serde(default)]
        limit: usize,
    },
    /// One bead with its live values and conflicts.
    #[serde(rename = "beads.show")]
    Show {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
    },
    /// Beads that can be worked on now.
    #[serde(rename = "beads.ready")]
    Ready {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// At most this many; 0 = 100.
        #[serde(default)]
        limit: usize,
    },
    /// Changes a bead.
    #[serde(rename = "beads.set")]
    Set {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id.
        id: String,
        /// What to change.
        change: BeadChange,
    },
    /// Changes many beads in one step: all of it or nothing.
    #[serde(rename = "beads.batch")]
    Batch {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// At most `BATCH_MAX` changes, each of another bead.
        edits: Vec<BeadEdit>,
    },
    /// Tells which beads change, until the caller goes.
    #[serde(rename = "beads.watch")]
    Watch {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
    },
    /// A new bead.
    #[serde(rename = "beads.add")]
    Add {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its title, 1–500 bytes.
        title: String,
        /// An id of the caller's; otherwise made as bd makes ids.
        #[serde(default)]
        id: Option<String>,
        /// Prefix for a made id; otherwise that of the space's other beads.
        #[serde(default)]
        prefix: Option<String>,
        /// Everything else.
        #[serde(default)]
        change: BeadChange,
    },
    /// Closes beads.
    #[serde(rename = "beads.close")]
    Close {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Their shown ids.
        ids: Vec<String>,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Deletes beads.
    #[serde(rename = "beads.delete")]
    Delete {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Their shown ids.
        ids: Vec<String>,
    },
    /// Units with several live values.
    #[serde(rename = "beads.conflicts")]
    Conflicts {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Only those among imported baselines (`true`), only those among edits (`false`), or both.
        #[serde(default)]
        baseline: Option<bool>,
        /// Only of this bead.
        #[serde(default)]
        id: Option<String>,
    },
    /// Ends conflicts.
    #[serde(rename = "beads.resolve")]
    Resolve {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// The bead; `None` = every conflict that `baseline` selects, keeping what is shown.
        #[serde(default)]
        id: Option<String>,
        /// The unit; `None` = all conflicts of the bead.
        #[serde(default)]
        unit: Option<String>,
        /// What to keep.
        choice: Choice,
        /// With no id: only conflicts among baselines.
        #[serde(default)]
        baseline: bool,
    },
    /// Two births under one id are one bead.
    #[serde(rename = "beads.same")]
    Same {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// One shown id.
        a: String,
        /// The other.
        b: String,
    },
    /// Two births under one id are two beads.
    #[serde(rename = "beads.split")]
    Split {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// The bead's shown id.
        id: String,
    },
    /// The ops that changed a bead, newest first.
    #[serde(rename = "beads.log")]
    Log {
        /// Which space.
        #[serde(default)]
        at: SpaceRef,
        /// Its shown id; `None` = all beads.
        #[serde(default)]
        id: Option<String>,
        /// At most this many; 0 = 100.
        #[serde(default)]
        limit: usize,
    },
}
