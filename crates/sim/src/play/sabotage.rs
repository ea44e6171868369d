//! Things broken on purpose: each checker has to notice the bug that it is there for.

use super::{Play, here};
use crate::disk::records;
use engine::{BeadChange, Command};
use serde_json::Value;
use types::{Put, Table};

/// What to break on purpose, to see that a run can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// One stored op has a flipped bit in its signature before others have it: nobody may take it.
    FlippedSignatureBit,
    /// One machine's disk loses one op that was accepted.
    DroppedOp,
    /// An op of an unknown author stands in every log.
    ForeignOp,
    /// A disk says that it synced, and kept nothing.
    SyncKeepsNothing,
    /// All machines lose what was folded of one bead.
    LostBead,
    /// One machine shows a bead as it was earlier.
    StaleBead,
    /// A removal is announced, and never reaches anybody.
    CutOffIgnored,
    /// Something that passes for hostile input is taken in.
    HostileTaken,
}

impl Bug {
    /// Every one.
    pub const ALL: [Bug; 8] = [
        Bug::FlippedSignatureBit,
        Bug::DroppedOp,
        Bug::ForeignOp,
        Bug::SyncKeepsNothing,
        Bug::LostBead,
        Bug::StaleBead,
        Bug::CutOffIgnored,
        Bug::HostileTaken,
    ];

    /// What the failure that notices it says.
    pub fn noticed_as(self) -> &'static str {
        match self {
            Bug::FlippedSignatureBit => "do not agree",
            Bug::DroppedOp => "which was accepted",
            Bug::ForeignOp => "of an unknown author",
            Bug::SyncKeepsNothing => "which it had said is kept",
            Bug::LostBead => "is not shown although",
            Bug::StaleBead => "gone",
            Bug::CutOffIgnored => "its author was cut off",
            Bug::HostileTaken => "was changed by hostile input",
        }
    }
}

impl Play {
    pub(super) fn sabotage_after_storm(&mut self) -> Result<(), String> {
        // There is something to break.
        for _ in 0..20 {
            if self.options.bug.is_some() && self.model.beads().next().is_none() {
                self.wait(1_000)?;
                self.add(0)?;
            }
        }
        match self.options.bug {
            Some(Bug::FlippedSignatureBit) => self.flip_signature_bit(),
            Some(Bug::SyncKeepsNothing) => {
                self.wait(1_000)?;
                self.world.nodes[1].disk.lies = true;
                self.add(1)?;
                self.world.power_cut(1, 300);
                self.wait(600)?;
                self.came_back(1)
            }
            Some(Bug::CutOffIgnored) => {
                for _ in 0..100 {
                    self.remove_or_lower()?;
                }
                for at in 1..self.world.nodes.len() {
                    self.add(at)?;
                }
                Ok(())
            }
            Some(Bug::HostileTaken) => {
                self.wait(5_000)?;
                for at in (0..self.world.nodes.len()).cycle().take(50) {
                    self.hostile_input(at)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sabotage_after_healing(&mut self) -> Result<(), String> {
        let group = self.group();
        let last = group.last().copied().unwrap_or_default();
        match self.options.bug {
            Some(Bug::DroppedOp) => {
                let op = self.ledger.iter().find(|op| !self.model.void(op)).ok_or("nothing was accepted")?.id;
                let ops = records(&self.world.nodes[last].disk.now, Table::Ops);
                let (key, _) = ops.into_iter().find(|(key, _)| key.ends_with(&op)).ok_or("the op is not there")?;
                self.put(last, Table::Ops, key, None);
            }
            Some(Bug::ForeignOp) => {
                let key = self.rng.bytes::<112>().to_vec();
                group.iter().for_each(|at| self.put(*at, Table::Ops, key.clone(), Some(b"{}".to_vec())));
            }
            Some(Bug::LostBead) => {
                let key = self.a_bead(last)?.0;
                group.iter().for_each(|at| self.put(*at, Table::Beads, key.clone(), None));
            }
            Some(Bug::StaleBead) => {
                let (key, old) = self.a_bead(last)?;
                let id = String::from_utf8_lossy(&key[32..]).into_owned();
                let label = BeadChange { add_labels: vec!["late".to_owned()], ..BeadChange::default() };
                self.told(last, Command::Set { at: here(), id: id.clone(), change: label }, 1_000)?;
                self.model.added(&id, "labels", "late", crate::model::How { sure: true, op: None });
                self.wait(5_000)?;
                self.put(group[0], Table::Beads, key, Some(old));
            }
            _ => {}
        }
        Ok(())
    }

    /// The record of a bead that is shown.
    fn a_bead(&mut self, at: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
        let ids: Vec<String> = self.model.beads().cloned().collect();
        let shown = |play: &mut Play, id: &str| {
            let show = Command::Show { at: here(), id: id.to_owned() };
            matches!(play.world.query(at, show), Some(Ok(_)))
        };
        let id = ids.into_iter().find(|id| shown(self, id)).ok_or("no bead is shown")?;
        let beads = records(&self.world.nodes[at].disk.now, Table::Beads);
        beads.into_iter().find(|(key, _)| key.ends_with(id.as_bytes())).ok_or_else(|| "no such bead".to_owned())
    }

    fn put(&mut self, at: usize, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        let disk = &mut self.world.nodes[at].disk;
        disk.write(vec![Put { table, key, value }]);
        disk.sync();
    }

    /// Damages an op on its author's disk that nobody else has yet.
    fn flip_signature_bit(&mut self) -> Result<(), String> {
        for other in 1..self.world.nodes.len() {
            self.world.cut_way(0, other);
            self.world.cut_way(other, 0);
        }
        self.wait(2_000)?;
        let before = records(&self.world.nodes[0].disk.now, Table::Ops);
        let title = self.fresh("title");
        let id = Some("app-flip".to_owned());
        let add = Command::Add { at: here(), title, id, prefix: None, change: BeadChange::default() };
        self.told(0, add, 2_000)?;
        let ops = records(&self.world.nodes[0].disk.now, Table::Ops);
        let (key, event) = ops.into_iter().find(|op| !before.contains(op)).ok_or("no op to damage")?;
        let mut event: Value = serde_json::from_slice(&event).map_err(|e| e.to_string())?;
        let sig = event["sig"].as_str().unwrap_or_default().to_owned();
        let flipped = if sig.starts_with('0') { '1' } else { '0' };
        event["sig"] = format!("{flipped}{}", &sig[1..]).into();
        self.put(0, Table::Ops, key, Some(event.to_string().into_bytes()));
        Ok(())
    }
}
