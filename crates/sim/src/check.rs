//! What must hold in the end, of the disks and of what the machines say.

use crate::disk::{OpName, ops_of, records};
use crate::model::Model;
use crate::world::{World, short_hash};
use engine::{Command, SpaceRef};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::Table;

/// A promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What went wrong.
    pub what: String,
    /// The trace up to there, if it was kept.
    pub log: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Ops whose authors were told that they are kept.
pub(crate) type Ledger = BTreeSet<OpName>;

/// One line about a machine's space: counts, digests, charter.
pub(crate) fn totals(world: &mut World, at: usize) -> Option<String> {
    let space = world.query(at, Command::SpaceShow { at: SpaceRef::default() })?.ok()?;
    Some(format!(
        "{} beads {} ops of {} writers, {} not here, {} conflicts {} {} charter {} of {}",
        space["beads"],
        space["ops"],
        space["writers"],
        space["checkpoint"]["history_missing"],
        space["conflicts"],
        space["digest"],
        space["state_digest"],
        space["charter"]["head"],
        space["charter"]["versions"]
    ))
}

/// What a machine's space adds up to, however much of its history is held.
pub(crate) fn sums(world: &mut World, at: usize) -> Option<String> {
    let space = world.query(at, Command::SpaceShow { at: SpaceRef::default() })?.ok()?;
    let names = ["beads", "conflicts", "digest", "state_digest", "charter"];
    Some(names.map(|name| space[name].to_string()).join(" "))
}

/// Promise 3: after a start, everything that this machine said it kept is there.
pub(crate) fn kept(world: &World, at: usize, ledger: &Ledger, model: &Model) -> Result<(), String> {
    let node = &world.nodes[at];
    let mut held = ops_of(&node.disk.now, Table::Ops);
    held.extend(ops_of(&node.disk.now, Table::Evidence));
    match ledger.iter().find(|op| !held.contains(*op) && !model.void(op)) {
        Some(op) => Err(format!("{} came back without {op:?}, which it had said is kept", node.name)),
        None => Ok(()),
    }
}

/// Promises 1, 3 and 5, over the disks: the same ops everywhere, all that was accepted, nothing of strangers, nothing
/// after a cut-off.
pub(crate) fn disks(world: &World, group: &[usize], ledger: &Ledger, model: &Model) -> Result<(), String> {
    let known: BTreeSet<[u8; 32]> = world.nodes.iter().map(|n| n.npub).collect();
    let mut first: Option<(usize, BTreeSet<OpName>)> = None;
    for at in group {
        let (name, ops) = (&world.nodes[*at].name, ops_of(world.nodes[*at].disk.kept(), Table::Ops));
        if let Some(op) = ops.iter().find(|op| !known.contains(&op.host)) {
            return Err(format!("{name} holds {op:?} of an unknown author"));
        }
        if let Some(op) = ops.iter().find(|op| model.void(op)) {
            return Err(format!("{name} counts {op:?}, which comes after its author was cut off"));
        }
        if let Some(op) = ledger.iter().find(|op| !model.void(op) && !ops.contains(*op)) {
            return Err(format!("{name} lacks {op:?}, which was accepted"));
        }
        match &first {
            None => first = Some((*at, ops)),
            Some((other, others)) => {
                if let Some(op) = ops.symmetric_difference(others).next() {
                    return Err(format!("only one of {name} and {} holds {op:?}", world.nodes[*other].name));
                }
            }
        }
    }
    Ok(())
}

/// Promise 1, over what is shown: the same everywhere, and what the model says.
pub(crate) fn shown(world: &mut World, group: &[usize], model: &Model) -> Result<(), String> {
    let ids: Vec<String> = model.beads().cloned().collect();
    let mut first: Option<BTreeMap<&str, Value>> = None;
    for at in group {
        let name = world.nodes[*at].name.clone();
        let at_space = SpaceRef::default;
        let mut says = BTreeMap::new();
        let conflicts = Command::Conflicts { at: at_space(), baseline: None, id: None };
        for (what, command) in [("export", Command::Export { at: at_space() }), ("conflicts", conflicts)] {
            match world.query(*at, command) {
                Some(Ok(answer)) => drop(says.insert(what, answer)),
                other => return Err(format!("{name} does not answer {what}: {other:?}")),
            }
        }
        for id in &ids {
            let answer = match world.query(*at, Command::Show { at: at_space(), id: id.clone() }) {
                Some(Ok(answer)) => Some(answer),
                Some(Err(err)) if err.code == "unknown_bead" => None,
                other => return Err(format!("{name} does not answer about {id}: {other:?}")),
            };
            model.check(id, answer.as_ref()).map_err(|e| format!("{name}: {e}"))?;
        }
        match &first {
            None => first = Some(says),
            Some(others) => {
                if let Some((what, _)) = says.iter().find(|(what, answer)| others.get(**what) != Some(*answer)) {
                    return Err(format!("{name} and {} differ in {what}", world.nodes[group[0]].name));
                }
            }
        }
    }
    Ok(())
}

/// Everything that a machine holds and says, as one text: what hostile input must leave as it is.
pub(crate) fn whole(world: &mut World, at: usize) -> String {
    let said = totals(world, at).unwrap_or_default();
    let show = world.query(at, Command::SpaceShow { at: SpaceRef::default() });
    let mut bytes = Vec::new();
    for table in Table::ALL {
        for (key, value) in records(&world.nodes[at].disk.now, table) {
            bytes.extend(key);
            bytes.extend(value);
        }
    }
    format!("{said} {show:?} {}", short_hash(&bytes))
}
