//! Slung work in one seeded world: coordinators, workers and the links between them fail, the coordinator moves; in the
//! end every slung bead is done once or listed with its reason.

mod books;

use crate::check::Failure;
use crate::links::Links;
use crate::node::{CrashPoint, Node};
use crate::rng::Rng;
use crate::world::World;
use books::Books;
use engine::records::work::RunnerRecord;
use engine::{Command, SlingOrder, SpaceRef};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How far a clock may be off, in milliseconds.
const SKEW_MS: i64 = 5 * 60_000;

/// How long everything may take after all was mended, in milliseconds of virtual time.
const PATIENCE_MS: u64 = 400_000;

/// Two workers never work on one bead at once, but for the time in which a worker notices that its lease is over.
const OVERLAP_MS: u64 = 300;

/// How to play.
#[derive(Clone, Copy, Debug)]
pub struct SlingOptions {
    /// Machines, at least 3.
    pub hosts: usize,
    /// Beads that are slung.
    pub slings: usize,
    /// Whether the coordinator moves.
    pub moves: bool,
    /// Whether clocks jump.
    pub jumps: bool,
    /// Keep the trace as text.
    pub log: bool,
}

impl SlingOptions {
    /// How a seed is played when nothing else is said: 20 hosts, 50 slings; every third seed without moves, every second
    /// with clocks that jump.
    pub fn of_seed(seed: u64) -> SlingOptions {
        SlingOptions {
            hosts: 20,
            slings: 50,
            moves: !seed.is_multiple_of(3),
            jumps: seed.is_multiple_of(2),
            log: false,
        }
    }
}

/// What a run was like.
#[derive(Clone, Debug)]
pub struct SlingReport {
    /// The seed.
    pub seed: u64,
    /// Inputs handled.
    pub steps: u64,
    /// Milliseconds of virtual time from the healing to the end of all work.
    pub done_after_ms: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The trace as text, if it was kept.
    pub log: Vec<String>,
}

struct Play {
    world: World,
    rng: Rng,
    options: SlingOptions,
    /// Beads that were offered, and the machine that offered them.
    slung: BTreeMap<String, usize>,
    coordinator: usize,
    forced: bool,
    done_after_ms: u64,
}

/// Plays one seed.
///
/// # Errors
/// [`Failure`] when a bead is granted twice under one fence, two results of one offer count, an outdated result closes
/// anything, or a slung bead is neither done nor listed with its reason.
pub fn run_slings(seed: u64, options: SlingOptions) -> Result<SlingReport, Failure> {
    let mut play = Play::new(seed, options);
    let played = play.all();
    let world = &mut play.world;
    let log = world.log.take().unwrap_or_default();
    match played {
        Err(what) => Err(Failure { seed, what, log }),
        Ok(()) => Ok(SlingReport {
            seed,
            steps: world.steps,
            done_after_ms: play.done_after_ms,
            counts: world.counts.clone(),
            log,
        }),
    }
}

fn here() -> SpaceRef {
    SpaceRef::default()
}

impl Play {
    fn new(seed: u64, options: SlingOptions) -> Play {
        let mut rng = Rng::new(seed ^ 0x5111_9a5e);
        let nodes = (0..options.hosts.max(3)).map(|i| Node::new(format!("host{i}"), &mut rng, i == 0)).collect();
        let calm = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, in_order: false, gossip: !seed.is_multiple_of(5) };
        let world = World::new(nodes, rng.fork(), calm, options.log);
        Play { world, rng, options, slung: BTreeMap::new(), coordinator: 0, forced: false, done_after_ms: 0 }
    }

    fn all(&mut self) -> Result<(), String> {
        self.gather()?;
        self.storm()?;
        self.heal()?;
        self.compare()
    }

    /// The first machine founds a public space, the others join; all but the first have runners.
    fn gather(&mut self) -> Result<(), String> {
        self.world.gather(true)?;
        for at in 1..self.world.nodes.len() {
            let slots = 1 + self.rng.below(3) as u32;
            let argv = vec!["work".to_owned()];
            let runner = RunnerRecord { slots, argv, time_ms: 60_000, ..RunnerRecord::default() };
            self.world.told(at, Command::RunnerAdd { name: "agent".to_owned(), runner }, 1_000)?;
        }
        self.world.wait(3_000)
    }

    fn storm(&mut self) -> Result<(), String> {
        let (delay_ms, gossip) = (150, self.world.links.gossip);
        self.world.links = Links { loss: 0.1, repeat: 0.1, delay_ms, in_order: false, gossip };
        for at in 0..self.world.nodes.len() {
            self.world.nodes[at].skew_ms = self.rng.below(2 * SKEW_MS as u64) as i64 - SKEW_MS;
        }
        let mut number = 0;
        while number < self.options.slings {
            match self.rng.below(100) {
                0..45 => {
                    number += 1;
                    self.sling(number)?;
                }
                45..65 => self.world.cut_or_mend(&mut self.rng),
                65..82 => self.crash(),
                82..86 if self.options.jumps => self.jump(),
                86..90 if self.options.moves => self.move_coordinator()?,
                90..93 => self.sling_again(),
                _ => {}
            }
            let pause = self.rng.below(900);
            self.world.wait(pause)?;
        }
        Ok(())
    }

    fn any(&mut self) -> usize {
        self.rng.below(self.world.nodes.len() as u64) as usize
    }

    /// A bead is made somewhere and offered there.
    fn sling(&mut self, number: usize) -> Result<(), String> {
        let from = self.any();
        if !self.world.running(from) {
            return Ok(());
        }
        let id = format!("app-{number}");
        let add = Command::Add {
            at: here(),
            title: format!("job {number}"),
            id: Some(id.clone()),
            prefix: None,
            change: Default::default(),
        };
        self.world.ask(from, add);
        self.world.wait(20)?;
        if self.rng.chance(0.2) {
            // On the road: whoever grants work cannot be reached, and it is begun nevertheless.
            let begin = Command::WorkBegin { at: here(), id: id.clone(), runner: None, base: None };
            let call = self.world.ask(from, begin);
            self.world.wait(20)?;
            if let Some(Ok(_)) = self.world.answer(from, call) {
                self.slung.insert(id, from);
                self.world.count("begun_without_a_grant");
                return Ok(());
            }
        }
        let target = match self.rng.below(3) {
            0 => Some(format!("host{}", 1 + self.rng.below(self.world.nodes.len() as u64 - 1))),
            1 => Some("any".to_owned()),
            _ => None,
        };
        let lease_ms = Some(1_000 + self.rng.below(4_000));
        let order = SlingOrder { id: id.clone(), target, lease_ms, key: Some(id.clone()), ..SlingOrder::default() };
        let call = self.world.ask(from, Command::Sling(order));
        self.world.wait(20)?;
        if let Some(Ok(_)) = self.world.answer(from, call) {
            self.slung.insert(id, from);
            self.world.count("slung");
        }
        Ok(())
    }

    /// The same offer once more: it is one.
    fn sling_again(&mut self) {
        let known: Vec<(String, usize)> = self.slung.iter().map(|(id, at)| (id.clone(), *at)).collect();
        if let Some((id, from)) = self.rng.pick(&known).cloned() {
            let order = SlingOrder { id: id.clone(), key: Some(id), ..SlingOrder::default() };
            self.world.ask(from, Command::Sling(order));
            self.world.count("slung_again");
        }
    }

    /// Somebody dies at the next thing that it writes: half of the time the coordinator, or a worker while it works.
    fn crash(&mut self) {
        let working = self.world.runs.working();
        let at = match self.rng.below(4) {
            0 => self.coordinator,
            1 | 2 => self.rng.pick(&working).copied().unwrap_or(self.coordinator),
            _ => self.any(),
        };
        if self.rng.chance(0.4) && self.world.running(at) {
            let back = 200 + self.rng.below(9_000);
            self.world.power_cut(at, back);
            self.world.count("power_cuts");
            return;
        }
        let points = [CrashPoint::BeforeSync, CrashPoint::BetweenSyncAndSend, CrashPoint::AfterSend];
        self.world.nodes[at].crash = self.rng.pick(&points).copied();
    }

    fn jump(&mut self) {
        let at = self.any();
        let jump = self.rng.below(40_000) as i64 - 20_000;
        self.world.nodes[at].skew_ms += jump;
        self.world.count("clock_jumps");
    }

    fn move_coordinator(&mut self) -> Result<(), String> {
        let to = self.any();
        if !self.world.running(0) {
            return Ok(());
        }
        // By force: the one who coordinates is cut off from the owner's machine.
        let force = self.rng.chance(0.5) && self.coordinator != 0;
        if force {
            self.world.cut_way(0, self.coordinator);
            self.world.cut_way(self.coordinator, 0);
            self.world.wait(100)?;
        }
        let host = format!("host{to}");
        let call = self.world.ask(0, Command::SpaceCoordinator { at: here(), host, force });
        self.world.wait(20)?;
        if let Some(Ok(answer)) = self.world.answer(0, call)
            && answer["moved"] == true
        {
            self.coordinator = to;
            self.forced |= answer["forced"] == true;
            self.world.count(if answer["forced"] == true { "moves_by_force" } else { "moves" });
        }
        Ok(())
    }

    /// All works again; a while later every slung bead is done, or listed with its reason.
    fn heal(&mut self) -> Result<(), String> {
        self.world.note("everything is mended");
        let gossip = self.world.links.gossip;
        self.world.links = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, in_order: false, gossip };
        self.world.mend_all();
        for node in &mut self.world.nodes {
            node.crash = None;
        }
        let begun = self.world.now;
        let mut open = BTreeSet::new();
        while self.world.now - begun < PATIENCE_MS {
            self.world.wait(2_000)?;
            open = self.open();
            if open.is_empty() && self.agreed() {
                self.done_after_ms = self.world.now - begun;
                return Ok(());
            }
        }
        Err(format!("{PATIENCE_MS} ms after all was mended, agreed: {}, still open: {open:?}", self.agreed()))
    }

    fn agreed(&mut self) -> bool {
        let lines: BTreeSet<Option<String>> =
            (0..self.world.nodes.len()).map(|at| crate::check::sums(&mut self.world, at)).collect();
        lines.len() == 1 && !lines.contains(&None)
    }

    /// What the coordinator lists as not ended, and what it does not know at all.
    fn open(&mut self) -> BTreeSet<String> {
        let mut open = BTreeSet::new();
        for id in self.slung.keys().cloned().collect::<Vec<_>>() {
            match self.world.query(self.coordinator, Command::WorkShow { at: here(), id: id.clone() }) {
                Some(Ok(work)) if work["state"] == "accepted" => {}
                Some(Ok(work)) if work["state"] == "cancelled" && work["why"].is_string() => {}
                Some(Ok(work)) => {
                    open.insert(format!("{id} {} {} {}", work["state"], work["worker"], work["why"]));
                }
                other => {
                    open.insert(format!("{id}: {other:?}"));
                }
            }
        }
        open
    }

    /// The books are read from the disks, by other code than the one that keeps them.
    fn compare(&mut self) -> Result<(), String> {
        let mut first: Option<BTreeMap<String, Value>> = None;
        for at in 0..self.world.nodes.len() {
            let books = Books::read(self.world.nodes[at].disk.kept())?;
            books.check(self.forced).map_err(|e| format!("{}: {e}", self.world.nodes[at].name))?;
            let mut shown = BTreeMap::new();
            for id in self.slung.keys().cloned().collect::<Vec<_>>() {
                let answer = self.world.query(at, Command::Show { at: here(), id: id.clone() });
                let Some(Ok(answer)) = answer else { return Err(format!("{id} is lost: {answer:?}")) };
                let closed = answer["bead"]["status"] == "closed";
                if closed != books.accepted(&id) {
                    return Err(format!("{id} is {} and its result accepted: {}", answer["bead"]["status"], !closed));
                }
                shown.insert(id, answer["bead"].clone());
            }
            match &first {
                None => {
                    let counts = books.counts();
                    for (what, n) in counts {
                        self.world.count_many(what, n);
                    }
                    first = Some(shown);
                }
                Some(others) if *others != shown => return Err("machines show different beads".to_owned()),
                Some(_) => {}
            }
        }
        let overlaps = self.world.runs.overlaps(OVERLAP_MS);
        self.world.count_many("worked_on_twice_at_once", overlaps.len() as u64);
        // A coordinator that has just begun may not know yet who works; a clock that jumps back makes a lease longer.
        if !self.options.moves && !self.options.jumps && !overlaps.is_empty() {
            return Err(format!("two workers on one bead at once: {overlaps:?}"));
        }
        Ok(())
    }
}
