//! The program `bd`: found, asked for its version, and run within limits.

use crate::process::{self, Output, ProcessError};
use proto::limits::FILE_BYTES_MAX;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The oldest bd that keeps issues in Dolt as described in docs/interop.md.
pub const VERSION_MIN: Version = Version(1, 0, 0);

/// The least and the longest pause before a locked database is tried again.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// How much of a complaint is passed on, in characters.
const REASON_MAX: usize = 500;

/// How much bd may say where no export is asked for, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Environment that would lead bd to another database, or make it somebody else. How to reach a Dolt server stays.
const FOREIGN: [&str; 7] =
    ["BEADS_DIR", "BEADS_DB", "BD_DB", "BEADS_ACTOR", "BD_ACTOR", "BD_JSON", "BEADS_DOLT_SERVER_DATABASE"];

/// bd's version: major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `1.2.3`, with or without `v` and whatever follows a `-` or `+`.
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().trim_start_matches('v');
        let mut parts = text.split(['-', '+']).next()?.split('.').map(|part| part.parse().ok());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Some(Version(major, minor, patch)),
            _ => None,
        }
    }
}

/// Why bd did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BdError {
    /// It is not there, or cannot be started.
    #[error("cannot run {program}: {reason}; install bd, or set TOWNMESH_BD to where it is")]
    NotInstalled {
        /// What was tried.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// It is older than [`VERSION_MIN`].
    #[error("bd {0} is too old: {VERSION_MIN} or later is needed")]
    TooOld(Version),
    /// The directory has no database.
    #[error("no beads database here: run bd init, or bd bootstrap in a clone ({0})")]
    NoDatabase(String),
    /// Another program has held the database for so long that we gave up for now.
    #[error("the beads database is locked by another program: {0}")]
    Locked(String),
    /// The Dolt server does not answer.
    #[error("bd cannot reach its Dolt server: {0}; see bd doctor")]
    ServerDown(String),
    /// It took too long and was ended. bd waits without end while another program holds an embedded database.
    #[error("bd {command} took longer than {seconds} s and was ended; does another program hold the database?")]
    TimedOut {
        /// What it was to do.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// It said more than we take.
    #[error("bd {command} said more than {bytes} bytes")]
    TooLarge {
        /// What it was to do.
        command: String,
        /// The limit.
        bytes: u64,
    },
    /// It said something that we do not understand.
    #[error("bd {command} gave an unexpected answer: {reason}")]
    Garbage {
        /// What it was to do.
        command: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// It was killed or broke down. How far it came is not known, and nothing of it is taken for a refusal.
    #[error("bd {command} ended before it was done: {reason}; it will be tried again")]
    Crashed {
        /// What it was to do.
        command: String,
        /// What it said, or how it ended.
        reason: String,
    },
    /// It ended with an error.
    #[error("bd {command} failed: {reason}")]
    Failed {
        /// What it was to do.
        command: String,
        /// What it said.
        reason: String,
    },
}

/// How bd is run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long one command may take, waiting for other programs included. Default 120 s.
    pub time_max: Duration,
    /// How long to go on trying while the database is locked. Default 20 s.
    pub lock_max: Duration,
    /// How much an export may be, in bytes. Default `FILE_BYTES_MAX`.
    pub export_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            time_max: Duration::from_secs(120),
            lock_max: Duration::from_secs(20),
            export_bytes_max: FILE_BYTES_MAX as u64,
        }
    }
}

/// A bd for one directory.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    program: PathBuf,
    dir: PathBuf,
    limits: Limits,
}

/// Where bd is: `TOWNMESH_BD`, else `bd` on the PATH.
pub fn program() -> PathBuf {
    std::env::var_os("TOWNMESH_BD").filter(|path| !path.is_empty()).map_or_else(|| PathBuf::from("bd"), PathBuf::from)
}

/// Asks a bd for its version.
///
/// # Errors
/// [`BdError`]: `NotInstalled`, `TooOld`, `TimedOut`, `Garbage`.
pub fn detect(program: &Path, time_max: Duration) -> Result<Version, BdError> {
    let dir = std::env::temp_dir();
    Tool::new(program, &dir, Limits { time_max, ..Limits::default() }).version()
}

impl Tool {
    pub(crate) fn new(program: &Path, dir: &Path, limits: Limits) -> Tool {
        Tool { program: program.to_path_buf(), dir: dir.to_path_buf(), limits }
    }

    pub(crate) fn version(&self) -> Result<Version, BdError> {
        let command = "version";
        let garbage = |reason: String| BdError::Garbage { command: command.into(), reason };
        let answer = self.json(command, &[])?;
        let text = answer.get("version").and_then(Value::as_str).ok_or_else(|| garbage("no version".into()))?;
        let version = Version::parse(text).ok_or_else(|| garbage(format!("version {:?}", cut(text))))?;
        if version < VERSION_MIN { Err(BdError::TooOld(version)) } else { Ok(version) }
    }

    /// A command whose answer is one JSON document.
    pub(crate) fn json(&self, command: &str, args: &[&str]) -> Result<Value, BdError> {
        let bytes = self.run(command, &[&["--json"], args].concat(), None, ANSWER_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|e| BdError::Garbage { command: command.into(), reason: e.to_string() })
    }

    /// A command that is given lines and answers with one JSON document.
    pub(crate) fn feed(&self, command: &str, args: &[&str], input: Vec<u8>) -> Result<Value, BdError> {
        let bytes = self.run(command, &[&["--json"], args].concat(), Some(input), ANSWER_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|e| BdError::Garbage { command: command.into(), reason: e.to_string() })
    }

    /// A command whose answer does not matter.
    pub(crate) fn order(&self, command: &str, args: &[&str]) -> Result<(), BdError> {
        self.run(command, args, None, ANSWER_BYTES_MAX).map(drop)
    }

    /// Everything that bd has, as lines.
    pub(crate) fn export(&self) -> Result<Vec<u8>, BdError> {
        self.run("export", &["--all"], None, self.limits.export_bytes_max)
    }

    /// Runs one command; again and again while the database is locked. A locked bd has done nothing.
    fn run(&self, command: &str, args: &[&str], input: Option<Vec<u8>>, bytes_max: u64) -> Result<Vec<u8>, BdError> {
        let until = Instant::now() + self.limits.lock_max;
        let mut pause = BACK_OFF_MIN;
        loop {
            match self.run_once(command, args, input.clone(), bytes_max) {
                Err(BdError::Locked(_)) if Instant::now() + pause < until => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(BACK_OFF_MAX);
                }
                other => return other,
            }
        }
    }

    fn run_once(
        &self,
        command: &str,
        args: &[&str],
        input: Option<Vec<u8>>,
        bytes_max: u64,
    ) -> Result<Vec<u8>, BdError> {
        let limit = self.limits.time_max;
        let out =
            process::output(self.command(command, args), input, limit, bytes_max).map_err(|error| match error {
                ProcessError::NotRun(kind, reason) => self.not_run(kind, reason),
                ProcessError::TimedOut(limit) => {
                    BdError::TimedOut { command: command.into(), seconds: limit.as_secs() }
                }
                ProcessError::TooLarge(bytes) => BdError::TooLarge { command: command.into(), bytes },
                ProcessError::Failed(reason) => BdError::Failed { command: command.into(), reason },
            })?;
        if out.code == Some(0) { Ok(out.stdout) } else { Err(judge(command, &out)) }
    }

    fn not_run(&self, kind: ErrorKind, reason: String) -> BdError {
        if kind == ErrorKind::NotFound && !self.dir.is_dir() {
            let reason = format!("no directory {}", self.dir.display());
            return BdError::Failed { command: "in its directory".into(), reason };
        }
        if kind == ErrorKind::ExecutableFileBusy {
            return BdError::Locked(format!("{} is just being written: {reason}", self.program.display()));
        }
        BdError::NotInstalled { program: self.program.display().to_string(), reason }
    }

    fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut out = Command::new(&self.program);
        for name in FOREIGN {
            out.env_remove(name);
        }
        // Its hooks are for what people do here; pushing is theirs to decide.
        out.env("BD_NO_HOOKS", "1").env("NO_COLOR", "1").env("BD_NON_INTERACTIVE", "1");
        out.current_dir(&self.dir).args(["--actor", super::ACTOR, "--sandbox"]);
        out.args(command.split(' ')).args(args);
        out
    }
}

/// Whether an exit code is none that bd chooses: a signal, Go's own way out of a panic, a shell that tells of a signal or
/// cannot start the program.
fn crashed(code: Option<i32>) -> bool {
    !matches!(code, Some(code) if code != 2 && code < 126)
}

/// What a bd that ended with an error meant.
fn judge(command: &str, out: &Output) -> BdError {
    // With --json it may complain on either side.
    let said =
        if out.stderr.is_empty() { String::from_utf8_lossy(&out.stdout).into_owned() } else { out.stderr.clone() };
    let how = out.code.map_or_else(|| "a signal ended it".to_owned(), |code| format!("exit code {code}"));
    let reason = if said.trim().is_empty() { how } else { cut(said.trim()) };
    if crashed(out.code) {
        return BdError::Crashed { command: command.into(), reason };
    }
    let lower = said.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    // A server refuses the later one of two transactions that touch the same rows, and takes it when it comes again.
    let lost_race = ["serialization failure", "try restarting transaction"];
    if says(&["exclusive lock", "database is locked", "locked by another", "lock busy", "database is read only"])
        || says(&lost_race)
    {
        BdError::Locked(reason)
    } else if says(&["connection refused", "server not reachable", "dolt server unreachable", "cannot connect"]) {
        BdError::ServerDown(reason)
    } else if says(&["no beads database", "no active beads workspace", "no database", "run 'bd init'"]) {
        BdError::NoDatabase(reason)
    } else {
        BdError::Failed { command: command.into(), reason }
    }
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(Version::parse("1.0.5"), Some(Version(1, 0, 5)));
        assert_eq!(Version::parse("v1.3.0-rc1+x\n"), Some(Version(1, 3, 0)));
        for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.99999999999"] {
            assert_eq!(Version::parse(bad), None, "{bad:?}");
        }
        assert!(Version(0, 63, 3) < VERSION_MIN && Version(1, 3, 0) > VERSION_MIN);
    }

    #[test]
    fn complaints_are_sorted() {
        let judge = |said: &str| judge("x", &Output { code: Some(1), stdout: Vec::new(), stderr: said.into() });
        assert!(matches!(judge("embeddeddolt: another process holds the exclusive lock on /x"), BdError::Locked(_)));
        assert!(matches!(judge("dial tcp 127.0.0.1:3307: connect: connection refused"), BdError::ServerDown(_)));
        let race = "dolt commit: Error 1213 (40001): serialization failure: try restarting transaction.";
        assert!(matches!(judge(race), BdError::Locked(_)));
        assert!(matches!(judge("Error: no beads database found"), BdError::NoDatabase(_)));
        assert_eq!(judge(""), BdError::Failed { command: "x".into(), reason: "exit code 1".into() });
        let BdError::Failed { reason, .. } = judge(&"\u{1b}é".repeat(1000)) else { panic!("another kind") };
        assert!(reason.chars().count() == REASON_MAX && !reason.contains('\u{1b}'));
    }
}
