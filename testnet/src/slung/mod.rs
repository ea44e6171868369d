//! Real nodes that are killed again and again while beads are slung and worked on; in the end every bead has to be done once.
//!
//! The first of three nodes coordinates, the other two work. Killed are the coordinator, a worker, or the coordinator
//! and a worker, with SIGKILL: by themselves at a named point, by us at a random moment, or by us while a program runs.
//! Half of the workers' programs die with their node, as with a machine; the others go on alone until their node is back.
//! What came of it is judged by [`judge`] from what nodes print and from what programs wrote themselves ([`journal`]).

mod end;
pub mod journal;
pub mod judge;
mod report;

pub use report::Report;

use crate::node::{PATIENCE, kill_now};
use crate::sling::runner_with;
use crate::{Net, Random, fixture};
use anyhow::{Context as _, Result, bail, ensure};
use journal::{Hundredths, Journal, Run, now};
use judge::Down;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// Where a node can be told to end: points that it passes when it writes something down.
pub const POINTS: [&str; 4] = ["before-persist", "written-before-sync", "persisted-before-send", "after-send"];

/// The lease of everything that is slung.
const LEASE: &str = "1s";

/// Beads that are slung and not done, at most.
const OPEN_MAX: usize = 6;

/// Beads that each worker takes at once: one alone could do them all.
const SLOTS: &str = "8";

/// Longest work in beats, of a short piece and of a long one: far less than a lease, and more than two.
const BEATS_MAX: [usize; 2] = [20, 120];

/// Time between two slings while something is waited for: the load, which the workers can keep up with.
const PACE: Duration = Duration::from_millis(300);

/// How often it is looked whether it has happened.
const LOOK: Duration = Duration::from_millis(2);

/// How long everything that was slung may take in the end.
const END: Duration = Duration::from_secs(180);

/// Nodes.
const NODES: usize = 3;

/// The signal.
const SIGKILL: i32 = 9;

/// How many kills.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decides everything but the timing.
    pub seed: u64,
    /// Kills; whoever is killed at once counts as one.
    pub kills: usize,
    /// Whether to tell on stderr how far it is.
    pub progress: bool,
}

/// When somebody is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Point(&'static str),
    Random,
    Running,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Moment::Point(name) => name,
            Moment::Random => "at random",
            Moment::Running => "while running",
        }
    }
}

/// A bead that somebody was asked to sling.
struct Slung {
    id: String,
    /// Who was asked.
    from: usize,
    /// Whether the answer came. Without one it is slung or not, or not even made.
    answered: bool,
}

/// A run under way.
struct Story {
    net: Net,
    random: Random,
    journal: Journal,
    report: Report,
    beads: Vec<Slung>,
    /// How many of them were done when that was asked last.
    done: usize,
    downs: Vec<Down>,
    /// Who is dead or may die, with the last time at which it was seen alive.
    mortal: Vec<(usize, Hundredths)>,
}

/// Runs it.
///
/// # Errors
/// When a node does not come back or something else happens that stops the run. What is wrong with beads is told in the report.
pub fn run(options: &Options) -> Result<Report> {
    let started = Instant::now();
    let dir = tempfile::Builder::new().prefix("townmesh-slung-").tempdir()?;
    let journal = Journal::new(dir.path())?;
    let mut net = Net::new(NODES)?;
    net[0].write_file(fixture::file(&fixture::lines(5, options.seed)).as_bytes())?;
    net.start()?;
    for node in &net.nodes()[1..] {
        runner_with(node, "agent", &["--no-repo", "--slots", SLOTS], &journal.program(&node.name)?)?;
    }
    let report = Report { seed: options.seed, ..Report::default() };
    let random = Random::new(options.seed);
    let (beads, downs, mortal) = (Vec::new(), Vec::new(), Vec::new());
    let mut story = Story { net, random, journal, report, beads, done: 0, downs, mortal };
    let result = story.play(options);
    story.report.seconds = started.elapsed().as_secs_f64();
    if result.is_err() || !story.report.is_good() {
        story.net.keep();
        eprintln!("the programs' journal is kept in {}", dir.keep().display());
    }
    result.with_context(|| format!("seed {}\n{}", options.seed, story.report))?;
    Ok(story.report)
}

impl Story {
    fn play(&mut self, options: &Options) -> Result<()> {
        for at in 0..options.kills {
            let victims = match self.random.below(3) {
                0 => vec![0],
                1 => vec![self.worker()],
                _ => vec![0, self.worker()],
            };
            let moment = match self.random.below(3) {
                0 => Moment::Point(self.random.pick(&POINTS)),
                1 => Moment::Random,
                _ => Moment::Running,
            };
            let kind = ["", "coordinator", "coordinator and worker"][victims.len().min(2)];
            let kind = format!("{}, {}", if victims[0] == 0 { kind } else { "worker" }, moment.name());
            self.kill(&victims, moment).with_context(|| format!("kill {}: {kind}", at + 1))?;
            *self.report.kills.entry(kind).or_default() += 1;
            self.revive().with_context(|| format!("after kill {}", at + 1))?;
            if options.progress && (at + 1) % 10 == 0 {
                eprintln!(
                    "{} of {} kills, {} beads slung, {} done",
                    at + 1,
                    options.kills,
                    self.beads.len(),
                    self.done
                );
            }
        }
        self.end()
    }

    fn worker(&mut self) -> usize {
        1 + self.random.below(NODES - 1)
    }

    fn kill(&mut self, victims: &[usize], moment: Moment) -> Result<()> {
        self.top_up()?;
        match moment {
            Moment::Point(point) => self.die_at(victims, point)?,
            Moment::Random => {
                // A moment that nothing decides: this is no waiting for anything.
                std::thread::sleep(Duration::from_millis(self.random.next() % 600));
                self.kill_all(victims)?;
            }
            Moment::Running => {
                let names: Vec<String> = victims.iter().map(|at| self.net[*at].name.clone()).collect();
                // The coordinator has no programs: then anybody's will do.
                let wanted = |run: &Run| victims == [0] || names.contains(&run.host);
                self.sling_until(|story| {
                    let runs = story.journal.runs()?;
                    Ok(runs.iter().any(|run| wanted(run) && story.journal.alive(run).is_some()))
                })?;
                self.kill_all(victims)?;
            }
        }
        for &at in victims {
            if self.random.below(2) == 0 {
                self.journal.kill_on(&self.net[at].name)?;
            }
        }
        Ok(())
    }

    fn kill_all(&mut self, victims: &[usize]) -> Result<()> {
        for &at in victims {
            self.mortal.push((at, now()?));
            kill_now(self.net[at].pid()?)?;
        }
        self.buried(PATIENCE)?.then_some(()).context("killed, and it runs")
    }

    /// Starts nodes anew with a point to end at, and slings until they have.
    fn die_at(&mut self, victims: &[usize], point: &str) -> Result<()> {
        for &at in victims {
            self.mortal.push((at, now()?));
            self.net[at].term()?;
            let times = 1 + self.random.below(8);
            self.net[at].env.insert("TOWNMESH_KILL_AT".to_owned(), format!("{point}:{times}"));
            let spawned = self.net[at].spawn(&[]);
            self.net[at].env.remove("TOWNMESH_KILL_AT");
            spawned?;
        }
        self.sling_until(|story| story.buried(Duration::ZERO))
    }

    /// Whether everybody who was to die is dead, waiting at most `patience` for it.
    fn buried(&mut self, patience: Duration) -> Result<bool> {
        let until = Instant::now() + patience;
        loop {
            let mut alive = 0;
            for (at, seen) in &mut self.mortal {
                let time = now()?;
                match self.net[*at].ended()? {
                    None if self.net[*at].child.is_some() => (*seen, alive) = (time, alive + 1),
                    None => {}
                    Some(status) if status.signal() == Some(SIGKILL) => {}
                    Some(status) => bail!("{} ended with {status}: {}", self.net[*at].name, self.net[*at].log_tail()),
                }
            }
            if alive == 0 || Instant::now() >= until {
                return Ok(alive == 0);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Starts everybody who is dead, perhaps a little later.
    fn revive(&mut self) -> Result<()> {
        if self.random.below(2) == 0 {
            // How long somebody stays away, mostly longer than a lease: this is no waiting for anything.
            std::thread::sleep(Duration::from_millis(self.random.next() % 3_000));
        }
        for (at, from) in std::mem::take(&mut self.mortal) {
            self.net[at].up()?;
            self.downs.push(Down { host: self.net[at].name.clone(), from, to: now()? });
        }
        Ok(())
    }

    /// Slings until as many beads are open as may be.
    fn top_up(&mut self) -> Result<()> {
        let listed = self.net[0].json(&["work", "ls"])?;
        let open = listed.as_array().context("no list")?.len();
        self.done = self.beads.len().saturating_sub(open);
        for _ in open..OPEN_MAX {
            self.sling()?;
        }
        Ok(())
    }

    /// Slings one bead after the other, not too fast, until something has happened.
    fn sling_until(&mut self, happened: impl Fn(&mut Story) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut slung = Instant::now();
        while !happened(self)? {
            ensure!(Instant::now() < until, "it did not happen in {PATIENCE:?}");
            if slung.elapsed() >= PACE {
                self.sling()?;
                slung = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Makes a bead and slings it, from a random node.
    fn sling(&mut self) -> Result<()> {
        let id = format!("slung-{}", self.beads.len());
        let most = BEATS_MAX[self.random.below(2)];
        let beats = u32::try_from(self.random.below(most))?;
        self.journal.takes(&id, beats)?;
        let from = self.random.below(NODES);
        let answered = self.ask(&id, from)?;
        self.beads.push(Slung { id, from, answered });
        Ok(())
    }

    /// Asks a node to make a bead and to sling it; whether it answered. One that is dead, or dies meanwhile, owes no answer.
    fn ask(&self, id: &str, from: usize) -> Result<bool> {
        let node = &self.net[from];
        let may_be_dead = self.mortal.iter().any(|(at, _)| *at == from);
        let make = ["beads", "add", "some beats of work", "--id", id, "--json"];
        let sling = ["sling", id, "any", "--key", id, "--lease", LEASE, "--json"];
        // It is made already when it was asked for before.
        let there = node.cli(&["beads", "show", id, "--json"])?.exit == 0;
        for args in [&make[..], &sling].into_iter().skip(usize::from(there)) {
            let answer = node.cli(args)?;
            match answer.exit {
                0 => {}
                3 if may_be_dead => return Ok(false),
                exit => bail!("{}: {args:?}: exit {exit}: {}", node.name, answer.stderr),
            }
        }
        Ok(true)
    }
}
