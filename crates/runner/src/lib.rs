//! Executes granted work on this host: a program, any program, in a fresh git worktree.
//!
//! [`Runners::start`] takes a [`Job`] and answers with a [`Handle`] and the job's [`Event`]s. The program gets the bead
//! as JSON on its standard input, its worktree as the current directory, and a file for [reports](Report), open as
//! descriptor 3. Its exit code says how it went (0 done, 75 later, anything else failed); whatever it changed is kept
//! as a commit under [`result_ref`], however it ended.
//!
//! **Nothing outlives its job.** A program has a process group of its own, which is killed when the program ends, is
//! cancelled or takes too long (`process`, `life`). Groups that a killed node left behind are killed by the next
//! [`Runners::open`] (`note`), so that work that is started again runs once. A program that leaves its group on
//! purpose (`setsid`) is out of reach, unless it is in a sandbox.
//!
//! **A sandbox** ([`Sandbox`]) is bubblewrap's: namespaces of its own, no home, no keys, no network unless allowed. It
//! sees a private clone, never the repository; what it made is handed out as a pack and checked like any stranger's
//! (`keep`). It limits what a program sees, not how much memory, processor or disk it takes.
//!
//! Files, below [`Options::dir`] (mode 0700): `jobs/<id>.json` notes, `trees/<id>` worktrees, `logs/<id>.log`,
//! `aside/<id>/` what else a job needs while it runs, `sandbox/` files that sandboxes see as theirs.

mod dirs;
mod event;
mod gate;
mod git;
mod job;
mod keep;
mod life;
mod log;
mod note;
mod process;
mod procfs;
mod report;
mod runners;
mod sandbox;
mod text;
mod tree;

pub use event::{End, Event, Report, ReportError, Skipped};
pub use job::{Job, Sandbox, StartError, result_ref};
pub use log::{LogError, LogPart};
pub use report::{REPORT_BYTES_MAX, REPORT_LINE_BYTES_MAX, REPORT_LINES_MAX};
pub use runners::{AbandonError, Handle, OpenError, Options, Runners};
pub use sandbox::NoSandbox;
