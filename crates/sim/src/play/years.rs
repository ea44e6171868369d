//! Days pass after the storm: history is dropped, and a newcomer begins without it.

use super::{Play, here};
use crate::check;
use crate::disk::ops_of;
use crate::node::Node;
use engine::Command;
use std::collections::BTreeSet;
use types::Table;

/// A little more than the day for which the charter holds history.
const STEP_MS: u64 = 25 * 3_600_000;

/// Edits between two checkpoints.
const EDITS: usize = 6;

impl Play {
    /// The owner says that history is held for a day; three days pass, with edits and a checkpoint on each.
    pub(super) fn years(&mut self) -> Result<(), String> {
        if !self.options.days || !self.world.running(0) {
            return Ok(());
        }
        let before = ops_of(&self.world.nodes[0].disk.now, Table::Ops).len();
        self.told(0, Command::SpaceHistory { at: here(), days: Some(1) }, 1_000)?;
        for _ in 0..3 {
            for _ in 0..EDITS {
                let at = self.rng.below(self.world.nodes.len() as u64) as usize;
                self.edit(at)?;
                self.wait(200)?;
            }
            self.agree_on(check::sums)?;
            self.told(0, Command::SpaceCheckpoint { at: here() }, 1_000)?;
            self.agree_on(check::sums)?;
            self.world.now += STEP_MS;
            self.wait(130_000)?;
        }
        let left = ops_of(&self.world.nodes[0].disk.now, Table::Ops).len();
        if left > 2 * EDITS + 6 && left >= before {
            return Err(format!("{left} ops are held after days in which history was to be dropped; {before} before"));
        }
        self.world.count_many("ops_dropped", (before + 3 * EDITS).saturating_sub(left) as u64);
        self.newcomer()?;
        self.agree_on(check::sums)?;
        let group = self.group();
        check::shown(&mut self.world, &group, &self.model)
    }

    /// A machine that joins now.
    fn newcomer(&mut self) -> Result<(), String> {
        let invite = Command::Invite { at: here(), role: None, ttl_s: None };
        let ticket = self.told(0, invite, 1_000)?["ticket"].as_str().unwrap_or_default().to_owned();
        let node = Node::new("newcomer".to_owned(), &mut self.rng, false);
        let at = self.world.add(node);
        self.not_here.push(BTreeSet::new());
        self.world.start(at)?;
        self.told(at, Command::Join { ticket }, 120_000)?;
        self.joined.push(at);
        Ok(())
    }
}
