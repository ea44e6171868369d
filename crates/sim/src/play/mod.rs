//! One run: machines join, people edit, everything goes wrong; then it heals and all is compared.

mod charters;
mod hostile;
mod machines;
mod mallory;
mod people;
mod sabotage;
mod years;

use crate::check::{self, Failure, Ledger};
use crate::disk::OpName;
use crate::links::Links;
use crate::model::Model;
use crate::node::Node;
use crate::rng::Rng;
use crate::trouble::{Trouble, Troubles};
use crate::world::World;
use charters::Papers;
use engine::{Command, SpaceRef};
use mallory::Mallory;
pub use sabotage::Bug;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How to play.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Machines in the mesh at the beginning, at least 3.
    pub nodes: usize,
    /// Things that happen: edits and troubles.
    pub actions: usize,
    /// What may go wrong.
    pub troubles: Troubles,
    /// Whether ops are gossiped at all.
    pub gossip: bool,
    /// Keep the trace as text.
    pub log: bool,
    /// What to break on purpose, to see that a run can fail.
    pub bug: Option<Bug>,
    /// Whether days pass in the end, over which history is dropped.
    pub days: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodes: 5, actions: 120, troubles: Troubles::all(), gossip: true, log: false, bug: None, days: false }
    }
}

impl Options {
    /// How a seed is played when nothing else is said: 4 to 8 machines, every 20th time 12 to 30, every fifth time
    /// without gossip; every fourth time, days pass in the end.
    pub fn of_seed(seed: u64) -> Options {
        let nodes = if seed.is_multiple_of(20) { 12 + (seed / 20 % 19) as usize } else { 4 + (seed % 5) as usize };
        Options { nodes, gossip: seed % 5 != 3, days: seed % 4 == 1, ..Options::default() }
    }
}

/// What a run was like.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Hash of everything that happened.
    pub trace: [u8; 32],
    /// Inputs handled.
    pub steps: u64,
    /// Edits of fields.
    pub edits: usize,
    /// Milliseconds of virtual time from the healing to agreement.
    pub agreed_after_ms: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The trace as text, if it was kept.
    pub log: Vec<String>,
}

/// What [`Report::counts`] has to have above zero over enough seeds, or a trouble was not exercised.
pub const COUNTED: &[&str] = &[
    "accepted",
    "added",
    "answers_lost",
    "backups",
    "charter_changes",
    "checkpoint_adopted",
    "checkpoint_confirmed",
    "checkpoint_made",
    "clock_jumps",
    "clocks_skewed",
    "concurrent_charters",
    "copies",
    "crashes",
    "cut_one_way",
    "cuts",
    "deleted",
    "duplicates",
    "edits",
    "edits_cut_off",
    "edits_forgotten_by_restores",
    "equivocations",
    "forks",
    "gossip_lost",
    "history_whole",
    "hostile_inputs",
    "joined_late",
    "lies_about_heads",
    "lowered",
    "mends",
    "merged_charters",
    "never_answered",
    "ops_dropped",
    "ops_from_the_future",
    "ops_never_due",
    "poisoned",
    "poisoned_parts",
    "pulls",
    "pulls_cut_off",
    "remarks",
    "removed",
    "replays",
    "resolved",
    "restores",
    "silent_copies",
    "withheld",
    "writes_lost_unsynced",
];

/// Of whom agreement is expected.
#[derive(Clone, Copy)]
enum Who {
    /// Every machine whose word counts.
    All,
    /// Those whom no concurrent version of the charter leaves out.
    NamedByAll,
}

/// What a machine says of its space.
type Say = fn(&mut World, usize) -> Option<String>;

struct Play {
    world: World,
    model: Model,
    ledger: Ledger,
    rng: Rng,
    uniq: u64,
    options: Options,
    backups: BTreeMap<usize, engine::Memory>,
    /// Machines that were a member's when they joined.
    joined: Vec<usize>,
    papers: Option<Papers>,
    mallory: Option<Mallory>,
    agreed_after_ms: u64,
    /// Per machine what it was made to forget by a restored backup.
    not_here: Vec<BTreeSet<OpName>>,
    /// The farthest that a clock was off, in milliseconds.
    far_ms: u64,
    /// Machines that were invited during the storm.
    late: Vec<usize>,
}

/// Plays one seed.
///
/// # Errors
/// [`Failure`] when something accepted is lost, hosts do not agree in the end, somebody unknown had an effect, or a
/// machine cannot start again.
pub fn run(seed: u64, options: Options) -> Result<Report, Failure> {
    let mut play = Play::new(seed, options);
    let played = play.all();
    let world = &mut play.world;
    let log = world.log.take().unwrap_or_default();
    match played {
        Err(what) => Err(Failure { seed, what, log }),
        Ok(()) => Ok(Report {
            seed,
            trace: world.trace(),
            steps: world.steps,
            edits: play.model.edit_count(),
            agreed_after_ms: play.agreed_after_ms,
            counts: world.counts.clone(),
            log,
        }),
    }
}

fn here() -> SpaceRef {
    SpaceRef::default()
}

impl Play {
    fn new(seed: u64, options: Options) -> Play {
        let mut rng = Rng::new(seed);
        let nodes = (0..options.nodes.max(3)).map(|i| Node::new(format!("host{i}"), &mut rng, i == 0)).collect();
        let calm = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, in_order: false, gossip: options.gossip };
        let world = World::new(nodes, rng.fork(), calm, options.log);
        Play {
            world,
            model: Model::default(),
            ledger: Ledger::new(),
            rng,
            uniq: 0,
            options,
            backups: BTreeMap::new(),
            joined: Vec::new(),
            papers: None,
            mallory: None,
            agreed_after_ms: 0,
            not_here: vec![BTreeSet::new(); options.nodes.max(3)],
            far_ms: 0,
            late: Vec::new(),
        }
    }

    fn all(&mut self) -> Result<(), String> {
        self.gather()?;
        self.storm()?;
        self.sabotage_after_storm()?;
        self.heal()?;
        self.sabotage_after_healing()?;
        self.compare()?;
        self.years()
    }

    fn troubled(&self, by: Trouble) -> bool {
        self.options.troubles.has(by)
    }

    fn wait(&mut self, ms: u64) -> Result<(), String> {
        self.world.wait(ms)
    }

    fn told(&mut self, at: usize, command: Command, patience_ms: u64) -> Result<Value, String> {
        self.world.told(at, command, patience_ms)
    }

    /// The first machine founds the space, the others join by ticket.
    fn gather(&mut self) -> Result<(), String> {
        self.world.gather(false)?;
        self.joined = (0..self.world.nodes.len()).collect();
        self.wait(2_000)?;
        self.papers = Some(Papers::open(&self.world)?);
        if self.troubled(Trouble::Hostility) && self.world.nodes.len() > 3 {
            let at = self.world.nodes.len() - 1;
            self.world.nodes[at].hostile = true;
            self.mallory = Some(Mallory::new(at, &self.world, &mut self.rng));
        }
        Ok(())
    }

    fn storm(&mut self) -> Result<(), String> {
        let on = |trouble, value: f64| if self.troubled(trouble) { value } else { 0.0 };
        self.world.links = Links {
            loss: on(Trouble::Loss, 0.1),
            repeat: on(Trouble::Repeats, 0.1),
            delay_ms: 200,
            in_order: !self.troubled(Trouble::Disorder),
            gossip: self.options.gossip,
        };
        if self.troubled(Trouble::Clocks) {
            self.skew_clocks();
        }
        for _ in 0..self.options.actions {
            // What one action draws does not shift the next: a shorter run is the beginning of a longer one.
            let mut rest = self.rng.fork();
            std::mem::swap(&mut rest, &mut self.rng);
            self.action()?;
            let pause = self.rng.below(600);
            self.rng = rest;
            self.wait(pause)?;
            self.see_who_joined();
        }
        Ok(())
    }

    fn action(&mut self) -> Result<(), String> {
        let at = self.rng.below(self.world.nodes.len() as u64) as usize;
        let kind = self.rng.below(1000);
        match kind {
            0..380 => self.edit(at),
            380..450 => self.add(at),
            450..510 => self.remark(at),
            510..550 => self.settle_conflict(at),
            550..580 => self.delete(at),
            580..660 if self.troubled(Trouble::Cuts) => {
                self.world.cut_or_mend(&mut self.rng);
                Ok(())
            }
            660..720 if self.troubled(Trouble::Crashes) => self.crash(at),
            720..745 if self.troubled(Trouble::Restores) => self.back_up(at),
            745..770 if self.troubled(Trouble::Restores) => self.restore(at),
            770..782 if self.troubled(Trouble::Copies) => self.copy(at),
            782..800 if self.troubled(Trouble::Clocks) => self.jump_clock(at),
            800..880 if self.troubled(Trouble::Hostility) => self.mallory_acts(),
            880..940 if self.troubled(Trouble::Hostility) => self.hostile_input(at),
            940..960 if self.troubled(Trouble::Repeats) => self.replay(at),
            960..968 if self.troubled(Trouble::Charters) => self.late_join(),
            968..976 if self.troubled(Trouble::Charters) => self.remove_or_lower(),
            976..985 if self.troubled(Trouble::Charters) => self.concurrent_charters(),
            _ => Ok(()),
        }
    }

    fn fresh(&mut self, what: &str) -> String {
        self.uniq += 1;
        format!("{what} {}", self.uniq)
    }

    /// Everything works again; a while later, all agree.
    fn heal(&mut self) -> Result<(), String> {
        self.world.note("everything is mended");
        self.world.links = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, in_order: false, gossip: self.options.gossip };
        self.world.mend_all();
        self.mend_clocks();
        for node in &mut self.world.nodes {
            node.crash = None;
        }
        self.agree(Who::NamedByAll)?;
        self.merge_charters()?;
        self.agree(Who::All)
    }

    fn who(&self, who: Who) -> Result<Vec<usize>, String> {
        match who {
            Who::All => Ok(self.group()),
            Who::NamedByAll => self.named_by_all(&self.group()),
        }
    }

    /// Waits until all machines hold the same.
    fn agree(&mut self, who: Who) -> Result<(), String> {
        self.agree_as(who, check::totals)
    }

    /// Waits until all machines say the same.
    fn agree_on(&mut self, say: Say) -> Result<(), String> {
        self.agree_as(Who::All, say)
    }

    fn agree_as(&mut self, who: Who, say: Say) -> Result<(), String> {
        let begun = self.world.now;
        let patience_ms = 120_000 + self.future_ms();
        let mut lines = Vec::new();
        while self.world.now - begun < patience_ms {
            self.wait(2_000)?;
            self.world.tick_ms = if self.world.now - begun > 60_000 { 1_000 } else { 100 };
            self.see_who_joined();
            let group = self.who(who)?;
            lines = group.iter().map(|at| say(&mut self.world, *at)).collect();
            if lines.iter().all(|l| l.is_some() && *l == lines[0]) && self.nothing_waits(&group) {
                self.agreed_after_ms += self.world.now - begun;
                return Ok(());
            }
        }
        let mut sides: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        for (at, line) in self.who(who)?.iter().zip(lines) {
            sides.entry(line).or_default().push(self.world.nodes[*at].name.clone());
        }
        Err(format!("machines do not agree {patience_ms} ms after all was mended: {sides:?}"))
    }

    fn compare(&mut self) -> Result<(), String> {
        let group = self.group();
        self.world.count_many("accepted", self.ledger.len() as u64);
        self.count_checkpoints();
        let void = self.ledger.iter().filter(|op| self.model.void(op)).count();
        self.world.count_many("edits_cut_off", void as u64);
        check::disks(&self.world, &group, &self.ledger, &self.model)?;
        check::shown(&mut self.world, &group, &self.model)
    }

    /// What became of checkpoints, as far as the machines remember since they were started.
    fn count_checkpoints(&mut self) {
        const WHAT: [&str; 4] = ["checkpoint_adopted", "checkpoint_confirmed", "checkpoint_made", "history_whole"];
        for at in 0..self.world.nodes.len() {
            let Some(Ok(status)) = self.world.query(at, Command::Status {}) else { continue };
            for what in WHAT {
                self.world.count_many(what, status["counters"][what].as_u64().unwrap_or(0));
            }
        }
    }

    /// The machines whose word counts: honest, and of present members.
    fn group(&self) -> Vec<usize> {
        let mallory = self.mallory.as_ref().map(|m| m.at);
        let removed = |at: usize| self.papers.as_ref().is_some_and(|p| p.removed.contains(&self.world.nodes[at].npub));
        let good = |at: &usize| Some(*at) != mallory && !removed(*at) && !self.world.nodes[*at].scrapped;
        self.joined.iter().copied().filter(good).collect()
    }
}
