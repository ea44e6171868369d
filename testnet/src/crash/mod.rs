//! Real nodes that are killed again and again while they are edited; in the end everything accepted has to be there.
//!
//! A node is killed with SIGKILL, either by itself at a named point (`TOWNMESH_KILL_AT`) or by us at a random moment,
//! one node at a time. SIGKILL ends a process, not the system: what was written but not synced survives it. What a
//! power cut does to the log is another test (torn logs).

mod edits;
mod end;
mod ledger;
mod report;

pub use report::{Report, Row};

use crate::node::{PATIENCE, kill_now};
use crate::{Net, Random, fixture};
use anyhow::{Context as _, Result, bail, ensure};
use ledger::Ledger;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// The points that a node can be told to end at.
pub const POINTS: [&str; 7] = [
    "before-persist",
    "written-before-sync",
    "persisted-before-send",
    "after-send",
    "during-compaction",
    "file-apply",
    "file-swapped",
];

/// The name of kills at a random moment.
pub const RANDOM: &str = "random";

/// Nodes of a run.
const NODES: usize = 3;

/// The signal.
const SIGKILL: i32 = 9;

/// How many kills of which kind.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decides everything but the timing.
    pub seed: u64,
    /// Kills at each named point.
    pub per_point: usize,
    /// Kills at random moments; at least one.
    pub random: usize,
    /// Whether to tell on stderr how far it is.
    pub progress: bool,
}

impl Options {
    /// So many kills: a tenth at each named point, but three if the number allows it, the rest at random.
    pub fn of_kills(seed: u64, kills: usize) -> Options {
        let per_point = (kills / 10).max(3).min(kills.saturating_sub(1) / POINTS.len());
        Options { seed, per_point, random: (kills - per_point * POINTS.len()).max(1), progress: false }
    }

    /// The kills in the order of the run. The first is random: until then every node runs.
    fn plan(&self, random: &mut Random) -> Vec<&'static str> {
        let mut plan: Vec<&str> = POINTS.iter().flat_map(|point| vec![*point; self.per_point]).collect();
        plan.extend(vec![RANDOM; self.random.saturating_sub(1)]);
        random.shuffle(&mut plan);
        plan.insert(0, RANDOM);
        plan
    }
}

/// A run under way.
struct Story {
    net: Net,
    random: Random,
    ledger: Ledger,
    report: Report,
    /// The number of the last edit.
    serial: u64,
    /// The node that is dead or may die at any moment.
    mortal: Option<usize>,
    /// Kills since the dead node answered last.
    unanswered: Vec<&'static str>,
    /// The incarnation of every node: a kill is no reason for a new one.
    incarnations: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When something happens that must not: a node that does not come back, a refused edit, nodes that do not agree. What
/// was lost is told in the report.
pub fn run(options: &Options) -> Result<Report> {
    let started = Instant::now();
    let mut random = Random::new(options.seed);
    let plan = options.plan(&mut random);
    let mut net = Net::new(NODES)?;
    let beads = fixture::lines(edits::beads_needed(NODES), options.seed);
    net[0].write_file(fixture::file(&beads).as_bytes())?;
    net.start()?;
    net.files_equal()?;
    let incarnation = |node: &crate::Node| -> Result<String> {
        let status = node.json(&["status"])?;
        Ok(status["incarnation"].as_str().context("incarnation")?.to_owned())
    };
    let incarnations = net.nodes().iter().map(incarnation).collect::<Result<_>>()?;
    let report = Report::new(options.seed);
    let ledger = Ledger::default();
    let mut story =
        Story { net, random, ledger, report, serial: 0, mortal: None, unanswered: Vec::new(), incarnations };
    let result = story.play(&plan, options.progress);
    story.report.seconds = started.elapsed().as_secs_f64();
    match result {
        Ok(()) if story.report.is_good() => Ok(story.report),
        Ok(()) => {
            story.net.keep();
            Ok(story.report)
        }
        Err(err) => {
            story.net.keep();
            Err(err.context(format!("seed {}, {} kills so far\n{}", options.seed, story.report.kills(), story.report)))
        }
    }
}

impl Story {
    fn play(&mut self, plan: &[&'static str], progress: bool) -> Result<()> {
        for (at, point) in plan.iter().enumerate() {
            self.kill_at(point).with_context(|| format!("kill {} at {point}", at + 1))?;
            if progress && (at + 1) % 10 == 0 {
                let (accepted, ..) = self.ledger.counts();
                eprintln!("{} of {} kills, {accepted} accepted edits", at + 1, plan.len());
            }
        }
        self.end()
    }

    /// One kill. Afterwards the killed node is dead, all others run.
    fn kill_at(&mut self, point: &'static str) -> Result<()> {
        for _ in 0..self.random.below(3) {
            self.edit_somewhere()?;
        }
        let victim = if point == RANDOM { self.kill_somebody()? } else { self.start_and_edit(point)? };
        self.mortal = Some(victim);
        self.unanswered.push(point);
        self.report.row(point).context("a point without a row")?.kills += 1;
        Ok(())
    }

    /// Starts the dead node and kills one at a random moment of an edit.
    fn kill_somebody(&mut self) -> Result<usize> {
        self.revive()?;
        for _ in 0..self.random.below(5) {
            self.edit_somewhere()?;
        }
        let victim = self.random.below(NODES);
        let pid = self.net[victim].pid()?;
        self.mortal = Some(victim);
        let delay = Duration::from_micros(self.random.next() % 120_000);
        let killer = std::thread::spawn(move || {
            // A moment that nothing decides: this is no waiting for anything.
            std::thread::sleep(delay);
            kill_now(pid)
        });
        let mut result = Ok(());
        while result.is_ok() && !killer.is_finished() {
            result = self.edit_somewhere();
        }
        killer.join().ok().context("the killer's thread")??;
        result?;
        self.buried(victim, PATIENCE)?.context("it was killed and runs")?;
        Ok(victim)
    }

    /// Starts the dead node with a point to end at, and edits until it has.
    fn start_and_edit(&mut self, point: &'static str) -> Result<usize> {
        let victim = self.mortal.context("no node is dead")?;
        let times = 1 + self.random.below(6);
        self.net[victim].env.insert("TOWNMESH_KILL_AT".to_owned(), format!("{point}:{times}"));
        let started = self.net[victim].spawn(&[]);
        self.net[victim].env.remove("TOWNMESH_KILL_AT");
        started?;
        if self.answers(victim)? {
            self.came_back(victim)?;
        }
        let until = Instant::now() + PATIENCE;
        while self.buried(victim, Duration::ZERO)?.is_none() {
            ensure!(Instant::now() < until, "{point}:{times} was not passed in {PATIENCE:?}");
            self.edit_somewhere()?;
        }
        Ok(victim)
    }

    /// Starts the dead node, if there is one.
    fn revive(&mut self) -> Result<()> {
        let Some(dead) = self.mortal else { return Ok(()) };
        self.net[dead].spawn(&[])?;
        ensure!(self.answers(dead)?, "it ended right after its start: {}", self.net[dead].log_tail());
        self.came_back(dead)?;
        self.mortal = None;
        Ok(())
    }

    /// Waits until a node answers (true) or has ended by SIGKILL (false).
    fn answers(&mut self, node: usize) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.buried(node, Duration::ZERO)?.is_some() {
                return Ok(false);
            }
            if self.net[node].cli(&["status", "--json"])?.exit == 0 {
                return Ok(true);
            }
            ensure!(Instant::now() < until, "no answer in {PATIENCE:?}: {}", self.net[node].log_tail());
        }
    }

    /// Whether a node has ended, waiting at most `patience` for it. Only SIGKILL may have ended it.
    fn buried(&mut self, node: usize, patience: Duration) -> Result<Option<()>> {
        let until = Instant::now() + patience;
        loop {
            match self.net[node].ended()? {
                // A first look that finds it gone already: it was buried before.
                None if self.net[node].child.is_none() => return Ok(Some(())),
                None if Instant::now() >= until => return Ok(None),
                None => std::thread::sleep(Duration::from_millis(5)),
                Some(status) if status.signal() == Some(SIGKILL) => return Ok(Some(())),
                Some(status) => bail!("{} ended with {status}: {}", self.net[node].name, self.net[node].log_tail()),
            }
        }
    }

    /// A node answers after a kill: everything that it accepted by command has to be there at once.
    fn came_back(&mut self, node: usize) -> Result<()> {
        let output = self.net[node].cli(&["beads", "export"])?;
        if output.exit != 0 {
            // It may be dead again, by the next point; then it is looked at when it has come back from that.
            let gone = self.buried(node, PATIENCE)?.is_some();
            ensure!(gone, "export: exit {}: {}", output.exit, output.stderr);
            return Ok(());
        }
        let beads = crate::compare::by_id(&output.stdout)?;
        let missing = self.ledger.missing(&beads, |edit| edit.node == node && !edit.by_file);
        let told = missing.iter().map(|edit| format!("on its own node after a restart: {edit:?}"));
        // Each loss is told once, with the kill after which it was noticed.
        let told: Vec<String> = told.filter(|what| !self.report.lost.contains(what)).collect();
        let last = self.unanswered.last().copied().unwrap_or(RANDOM);
        self.report.row(last).context("a point without a row")?.lost += told.len();
        self.report.lost.extend(told);
        for point in std::mem::take(&mut self.unanswered) {
            self.report.row(point).context("a point without a row")?.restarts_ok += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_kills_that_were_asked_for() {
        for (kills, per_point) in [(1, 0), (8, 1), (31, 3), (150, 15), (1000, 100)] {
            let options = Options::of_kills(7, kills);
            let plan = options.plan(&mut Random::new(7));
            assert_eq!((plan.len(), options.per_point), (kills, per_point));
            assert_eq!(plan[0], RANDOM);
            let files = plan.iter().filter(|point| **point == "file-apply").count();
            assert_eq!(files, per_point);
        }
        let options = Options::of_kills(7, 100);
        assert_eq!(options.plan(&mut Random::new(7)), options.plan(&mut Random::new(7)));
        assert_ne!(options.plan(&mut Random::new(7)), options.plan(&mut Random::new(9)));
    }
}
