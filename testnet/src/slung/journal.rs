//! What programs that work on slung beads say of themselves: one file that all of them append to. Nobody else writes it, so it
//! is a witness of its own.

use crate::node::PATIENCE;
use crate::sling::script;
use crate::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::path::{Path, PathBuf};

/// How many beats a program works that nobody has let go yet: hours.
pub const HELD: u32 = 1_000_000;

/// Hundredths of a second since the machine started: the clock that programs and judges read.
pub type Hundredths = u64;

/// The time now.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn now() -> Result<Hundredths> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    uptime(text.split(' ').next().unwrap_or_default())
}

fn uptime(text: &str) -> Result<Hundredths> {
    text.replacen('.', "", 1).parse().with_context(|| format!("no time: {text:?}"))
}

/// One run of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The bead that it worked on.
    pub bead: String,
    /// The number of its fence.
    pub attempt: u64,
    /// On which host.
    pub host: String,
    /// Its process, which leads its group.
    pub pid: i32,
    /// Its first word.
    pub begun: Hundredths,
    /// Its last one.
    pub last: Hundredths,
    /// Whether that was that it is done.
    pub ended: bool,
}

/// The programs' file, and what steers them.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// A journal below a directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(dir: &Path) -> Result<Journal> {
        std::fs::create_dir_all(dir.join("beats"))?;
        std::fs::write(dir.join("log"), "")?;
        Ok(Journal { dir: dir.to_owned() })
    }

    /// The program of a host: it says that it begins, works for as many beats (20 ms and a bit) as the bead is meant to take, and
    /// says that it is done. Without its directory it gives up.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn program(&self, host: &str) -> Result<PathBuf> {
        let dir = self.dir.display();
        let text = format!(
            r#"#!/bin/sh
say() {{
  read -r up _ </proc/uptime
  echo "$1 $TOWNMESH_BEAD $TOWNMESH_ATTEMPT {host} $$ $up" >>'{dir}/log'
}}
say begin
n=0
while read -r beats <"{dir}/beats/$TOWNMESH_BEAD" && [ "$n" -lt "$beats" ]; do
  sleep 0.02
  n=$((n + 1))
  say beat
done
[ -d '{dir}' ] || exit 1
say end
"#
        );
        script(&self.dir, &format!("{host}.sh"), &text)
    }

    /// How long the work on a bead takes, in beats; [`HELD`]: until something less is said.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn takes(&self, bead: &str, beats: u32) -> Result<()> {
        let (file, new) = (self.dir.join("beats").join(bead), self.dir.join("beats.new"));
        std::fs::write(&new, format!("{beats}\n"))?;
        Ok(std::fs::rename(new, file)?)
    }

    /// All runs so far, in the order in which they began.
    ///
    /// # Errors
    /// When a line makes no sense.
    pub fn runs(&self) -> Result<Vec<Run>> {
        parse(&std::fs::read_to_string(self.dir.join("log"))?)
    }

    /// The process of a run, as long as it is there. Numbers of processes come again: it is asked what it executes.
    pub fn alive(&self, run: &Run) -> Option<Pid> {
        let executes = std::fs::read(format!("/proc/{}/cmdline", run.pid)).ok()?;
        let script = self.dir.join(format!("{}.sh", run.host)).into_os_string().into_encoded_bytes();
        let ours = executes.split(|byte| *byte == 0).any(|argument| argument == script);
        Pid::from_raw(run.pid).filter(|_| ours && !run.ended)
    }

    /// Waits for a run that is alive.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn running(&self, what: &str, wanted: impl Fn(&Run) -> bool) -> Result<Run> {
        wait_until(what, PATIENCE, || {
            let runs = self.runs()?;
            let found = runs.iter().rev().find(|run| wanted(run) && self.alive(run).is_some());
            Ok(found.cloned().ok_or_else(|| format!("{runs:?}")))
        })
    }

    /// Kills what still runs on a host: programs end with their machine.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn kill_on(&self, host: &str) -> Result<()> {
        for pid in self.runs()?.iter().filter(|run| run.host == host).filter_map(|run| self.alive(run)) {
            // It may end at this moment.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    // What comes after the last newline is being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, bead, attempt, host, pid, at] = words[..] else { anyhow::bail!("no line of a program: {line:?}") };
        let (attempt, pid, at) = (attempt.parse()?, pid.parse()?, uptime(at)?);
        if kind == "begin" {
            let (bead, host) = (bead.to_owned(), host.to_owned());
            runs.push(Run { bead, attempt, host, pid, begun: at, last: at, ended: false });
            continue;
        }
        let of = |run: &&mut Run| run.pid == pid && run.bead == bead && run.attempt == attempt && run.host == host;
        let run = runs.iter_mut().rev().find(of).with_context(|| format!("it never began: {line:?}"))?;
        ensure!(!run.ended, "it went on after its end: {line:?}");
        run.last = at;
        run.ended = kind == "end";
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_make_runs() {
        let text = "begin a 1 b 10 5.00\nbegin c 1 b 11 5.01\nbeat a 1 b 10 5.02\nend a 1 b 10 5.10\nbegin a 2 c 12 6.00\nbeat c 1";
        let runs = parse(text).unwrap();
        assert_eq!(runs.len(), 3);
        assert_eq!((runs[0].begun, runs[0].last, runs[0].ended), (500, 510, true));
        assert_eq!((runs[1].last, runs[1].ended), (501, false));
        assert_eq!((runs[2].attempt, runs[2].host.as_str()), (2, "c"));
        for bad in ["beat a 1 b 10 5.00\n", "begin a 1 b\n", "begin a x b 1 5.00\n"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_program_says_what_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::new(dir.path()).unwrap();
        journal.takes("x-1", HELD).unwrap();
        let mut command = std::process::Command::new(journal.program("b").unwrap());
        let mut child = command.env("TOWNMESH_BEAD", "x-1").env("TOWNMESH_ATTEMPT", "3").spawn().unwrap();
        let run = journal.running("it runs", |run| run.bead == "x-1").unwrap();
        assert_eq!((run.attempt, run.host.as_str(), run.ended), (3, "b", false));
        journal.takes("x-1", 0).unwrap();
        assert!(child.wait().unwrap().success());
        let runs = journal.runs().unwrap();
        assert!(runs.len() == 1 && runs[0].ended && runs[0].last <= now().unwrap(), "{runs:?}");
    }
}
