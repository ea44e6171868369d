//! One run: machines join, people edit, the network misbehaves, machines crash; then it heals and all is compared.

use crate::check::{Failure, Model};
use crate::node::{CrashPoint, Node};
use crate::rng::Rng;
use crate::world::{Links, World};
use engine::{BeadChange, Choice, Command, SpaceRef};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use types::{Put, Table, View};

/// What to break on purpose, to see that a run can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Flip one bit in the signature of one stored op before others have it.
    FlipSignatureBit,
}

/// How to play.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Machines in the mesh.
    pub nodes: usize,
    /// Things that people do.
    pub actions: usize,
    /// Loss of gossip messages and questions, 0 to 1.
    pub loss: f64,
    /// Whether ops are gossiped at all.
    pub gossip: bool,
    /// Keep the trace as text.
    pub log: bool,
    /// What to break on purpose.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Options {
        Options { nodes: 4, actions: 60, loss: 0.1, gossip: true, log: false, fault: None }
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
    /// Edits that were accepted.
    pub edits: usize,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The trace as text, if it was kept.
    pub log: Vec<String>,
}

const FIELDS: [&str; 4] = ["title", "description", "notes", "design"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Yes,
    No,
    Unknown,
}

struct Play {
    world: World,
    model: Model,
    rng: Rng,
    uniq: u64,
    options: Options,
}

/// Plays one seed.
///
/// # Errors
/// [`Failure`] when something accepted is lost, hosts do not agree in the end, or a machine cannot start again.
pub fn run(seed: u64, options: Options) -> Result<Report, Failure> {
    let fail = |what: String| Failure { seed, what };
    let mut rng = Rng::new(seed);
    let nodes = (0..options.nodes.max(2)).map(|i| Node::new(format!("host{i}"), &mut rng, i == 0)).collect();
    let calm = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, gossip: options.gossip };
    let world = World::new(nodes, rng.fork(), calm, options.log);
    let mut play = Play { world, model: Model::default(), rng, uniq: 0, options };
    play.gather().map_err(fail)?;
    play.world.links = Links { loss: options.loss, repeat: 0.1, delay_ms: 200, gossip: options.gossip };
    play.storm().map_err(fail)?;
    if options.fault == Some(Fault::FlipSignatureBit) {
        play.flip_signature_bit().map_err(fail)?;
    }
    play.heal_and_compare().map_err(fail)?;
    let Play { mut world, model, .. } = play;
    Ok(Report {
        seed,
        trace: world.trace(),
        steps: world.steps,
        edits: model.edit_count(),
        counts: world.counts.clone(),
        log: world.log.take().unwrap_or_default(),
    })
}

fn here() -> SpaceRef {
    SpaceRef::default()
}

impl Play {
    fn wait(&mut self, ms: u64) -> Result<(), String> {
        let until = self.world.now + ms;
        self.world.run_until(until)
    }

    /// Asks and waits for the answer.
    fn told(&mut self, at: usize, command: Command, patience_ms: u64) -> Result<Value, String> {
        let call = self.world.ask(at, command.clone());
        let deadline = self.world.now + patience_ms;
        loop {
            if let Some(answer) = self.world.answer(at, call) {
                return answer.map_err(|e| format!("{command:?}: {}: {}", e.code, e.message));
            }
            if self.world.now >= deadline {
                return Err(format!("{command:?}: no answer in {patience_ms} ms"));
            }
            self.wait(20)?;
        }
    }

    /// The first machine founds the space, the others join by ticket.
    fn gather(&mut self) -> Result<(), String> {
        for at in 0..self.world.nodes.len() {
            self.world.start(at)?;
        }
        self.wait(200)?;
        self.told(0, Command::SpaceNew { name: "app".to_owned(), public: false }, 100)?;
        for at in 1..self.world.nodes.len() {
            let invite = Command::Invite { at: here(), role: None, ttl_s: None };
            let ticket = self.told(0, invite, 100)?["ticket"].as_str().unwrap_or_default().to_owned();
            self.told(at, Command::Join { ticket }, 30_000)?;
        }
        self.wait(2_000)
    }

    fn storm(&mut self) -> Result<(), String> {
        for _ in 0..self.options.actions {
            let at = self.rng.below(self.world.nodes.len() as u64) as usize;
            match self.rng.below(100) {
                0..55 => self.edit(at)?,
                55..63 => self.add(at)?,
                63..71 => self.remark(at)?,
                71..76 => self.settle_conflict(at)?,
                76..86 => self.cut_or_mend(),
                86..92 => self.crash(at),
                _ => {}
            }
            let pause = self.rng.below(600);
            self.wait(pause)?;
        }
        Ok(())
    }

    fn fresh(&mut self, what: &str) -> String {
        self.uniq += 1;
        format!("{what} {}", self.uniq)
    }

    /// What the machine shows of some bead that it has.
    fn some_bead(&mut self, at: usize) -> Option<(String, Value)> {
        let beads: Vec<String> = self.model.beads().cloned().collect();
        let id = self.rng.pick(&beads)?.clone();
        let call = self.world.ask(at, Command::Show { at: here(), id: id.clone() });
        let answer = self.world.answer(at, call)?.ok()?;
        Some((id, answer))
    }

    /// What came of a command: yes, no, or the machine died before it answered.
    fn outcome(&mut self, at: usize, command: Command) -> Outcome {
        if self.world.nodes[at].engine.is_none() {
            return Outcome::No;
        }
        let call = self.world.ask(at, command);
        match self.world.answer(at, call) {
            Some(Ok(_)) => Outcome::Yes,
            Some(Err(_)) => Outcome::No,
            None => Outcome::Unknown,
        }
    }

    fn edit(&mut self, at: usize) -> Result<(), String> {
        let Some((id, shown)) = self.some_bead(at) else { return Ok(()) };
        let field = *self.rng.pick(&FIELDS).unwrap_or(&"title");
        let value = self.fresh(field);
        let over = shown["bead"][field].as_str().map(str::to_owned);
        let change = BeadChange { fields: [(field.to_owned(), json!(value))].into(), ..BeadChange::default() };
        let outcome = self.outcome(at, Command::Set { at: here(), id: id.clone(), change });
        if outcome != Outcome::No {
            self.model.wrote(&id, field, &value, over, outcome == Outcome::Yes);
            self.world.count(if outcome == Outcome::Yes { "edits" } else { "edits_never_answered" });
        }
        Ok(())
    }

    fn add(&mut self, at: usize) -> Result<(), String> {
        let title = self.fresh("title");
        let id = format!("app-{}", self.uniq);
        let add = Command::Add {
            at: here(),
            title: title.clone(),
            id: Some(id.clone()),
            prefix: None,
            change: BeadChange::default(),
        };
        if self.outcome(at, add) == Outcome::Yes {
            self.model.created(&id, &title);
        }
        Ok(())
    }

    fn remark(&mut self, at: usize) -> Result<(), String> {
        let Some((id, _)) = self.some_bead(at) else { return Ok(()) };
        let (label, comment) = (self.fresh("l"), self.fresh("comment"));
        let change =
            BeadChange { add_labels: vec![label.clone()], comments: vec![comment.clone()], ..BeadChange::default() };
        if self.outcome(at, Command::Set { at: here(), id: id.clone(), change }) == Outcome::Yes {
            self.model.labelled(&id, &label);
            self.model.commented(&id, &comment);
        }
        Ok(())
    }

    /// Somebody looks at a conflict and decides for a new value: everything that they saw is overwritten.
    fn settle_conflict(&mut self, at: usize) -> Result<(), String> {
        let Some((id, shown)) = self.some_bead(at) else { return Ok(()) };
        let Some(conflict) = shown["conflicts"].as_array().and_then(|c| c.first()).cloned() else { return Ok(()) };
        let unit = conflict["unit"].as_str().unwrap_or_default().to_owned();
        let Some(field) = unit.strip_prefix("field:").map(str::to_owned) else { return Ok(()) };
        let value = self.fresh(&field);
        let resolve = Command::Resolve {
            at: here(),
            id: Some(id.clone()),
            unit: Some(unit),
            choice: Choice::Value(json!(value)),
            baseline: false,
        };
        let outcome = self.outcome(at, resolve);
        if outcome != Outcome::No {
            for seen in conflict["values"].as_array().into_iter().flatten() {
                let over = seen["value"].as_str().map(str::to_owned);
                self.model.wrote(&id, &field, &value, over, outcome == Outcome::Yes);
            }
            self.world.count("resolved");
        }
        Ok(())
    }

    fn cut_or_mend(&mut self) {
        let n = self.world.nodes.len() as u64;
        let (a, b) = (self.rng.below(n) as usize, self.rng.below(n) as usize);
        if a != b {
            let cut = self.rng.chance(0.6);
            self.world.set_cut(a, b, cut);
            self.world.count(if cut { "cuts" } else { "mends" });
        }
    }

    fn crash(&mut self, at: usize) {
        let points = [CrashPoint::BeforePersist, CrashPoint::BetweenPersistAndSend, CrashPoint::AfterSend];
        self.world.nodes[at].crash = self.rng.pick(&points).copied();
    }

    /// Damages an op on its author's disk that nobody else has yet.
    fn flip_signature_bit(&mut self) -> Result<(), String> {
        for other in 1..self.world.nodes.len() {
            self.world.set_cut(0, other, true);
        }
        self.wait(2_000)?;
        let title = self.fresh("title");
        let add = Command::Add {
            at: here(),
            title,
            id: Some("app-flip".to_owned()),
            prefix: None,
            change: BeadChange::default(),
        };
        self.told(0, add, 2_000)?;
        let node = &mut self.world.nodes[0];
        let mut last = None;
        let mut newest = 0;
        node.disk
            .scan(Table::Ops, &[], &[], &mut |key, value| {
                let event: Value = serde_json::from_slice(value).unwrap_or_default();
                let seq = event["created_at"].as_u64().unwrap_or_default();
                if event["pubkey"].as_str().is_some() && seq >= newest && key.len() > 80 {
                    newest = seq;
                    last = Some((key.to_vec(), value.to_vec()));
                }
                std::ops::ControlFlow::Continue(())
            })
            .map_err(|e| e.to_string())?;
        let (key, value) = last.ok_or("no op to damage")?;
        let mut event: Value = serde_json::from_slice(&value).map_err(|e| e.to_string())?;
        let sig = event["sig"].as_str().unwrap_or_default().to_owned();
        let flipped = if sig.starts_with('0') { '1' } else { '0' };
        event["sig"] = json!(format!("{flipped}{}", &sig[1..]));
        node.disk.apply(&[Put { table: Table::Ops, key, value: Some(event.to_string().into_bytes()) }]);
        Ok(())
    }

    fn heal_and_compare(&mut self) -> Result<(), String> {
        let n = self.world.nodes.len();
        self.world.links = Links { loss: 0.0, repeat: 0.0, delay_ms: 10, gossip: self.options.gossip };
        for node in &mut self.world.nodes {
            node.crash = None;
        }
        for a in 0..n {
            for b in a + 1..n {
                self.world.set_cut(a, b, false);
            }
        }
        let deadline = self.world.now + 120_000;
        let mut lines = Vec::new();
        while self.world.now < deadline {
            self.wait(2_000)?;
            lines = (0..n).map(|at| self.totals(at)).collect();
            if lines.iter().all(|l| l.is_some() && *l == lines[0]) {
                return self.compare_beads();
            }
        }
        Err(format!("hosts do not agree two minutes after all was mended: {lines:?}"))
    }

    fn totals(&mut self, at: usize) -> Option<String> {
        let call = self.world.ask(at, Command::Status {});
        let answer = self.world.answer(at, call)?.ok()?;
        let space = &answer["spaces"][0];
        Some(format!(
            "{} beads {} ops {} conflicts {} {}",
            space["beads"], space["ops"], space["conflicts"], space["digest"], space["state_digest"]
        ))
    }

    fn compare_beads(&mut self) -> Result<(), String> {
        let ids: Vec<String> = self.model.beads().cloned().collect();
        for at in 0..self.world.nodes.len() {
            for id in &ids {
                let call = self.world.ask(at, Command::Show { at: here(), id: id.clone() });
                let answer = match self.world.answer(at, call) {
                    Some(Ok(answer)) => answer,
                    other => return Err(format!("host{at} does not show {id}: {other:?}")),
                };
                self.model.check(id, &answer).map_err(|e| format!("host{at}: {e}"))?;
            }
        }
        Ok(())
    }
}
