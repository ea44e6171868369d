//! What happens to machines: cuts, power, disks, clocks.

use super::Play;
use crate::check;
use crate::disk::{OpName, ops_of, records};
use crate::node::CrashPoint;
use crate::trouble::Trouble;
use engine::{Command, Memory};
use std::collections::BTreeSet;
use types::Table;

/// A wrong clock is at most this much wrong, in milliseconds; a jump adds as much again, and more.
const SKEW_MS: i64 = 5 * 60_000;
const JUMP_MS: i64 = 12 * 60_000;

/// How many copies of homes a run makes.
const COPIES_MAX: usize = 2;

impl Play {
    /// The machine loses power around the next thing that it writes: somebody's edit, mostly.
    pub(super) fn crash(&mut self, at: usize) -> Result<(), String> {
        let points = [CrashPoint::BeforeSync, CrashPoint::BetweenSyncAndSend, CrashPoint::AfterSend];
        self.world.nodes[at].crash = self.rng.pick(&points).copied();
        if self.rng.chance(0.7) {
            self.edit(at)?;
        }
        self.wait(600)?;
        self.came_back(at)
    }

    /// What it had said is kept is there.
    pub(super) fn came_back(&mut self, at: usize) -> Result<(), String> {
        let backed_up = self.joined.contains(&at) && self.world.running(at);
        if !backed_up {
            return Ok(());
        }
        let npub = self.world.nodes[at].npub;
        let twins = self.world.nodes.iter().filter(|n| n.npub == npub).count();
        if twins > 1 {
            return Ok(());
        }
        let own: BTreeSet<OpName> = self.ledger.iter().filter(|op| op.host == npub).copied().collect();
        let own = own.difference(&self.not_here[at]).copied().collect();
        check::kept(&self.world, at, &own, &self.model)
    }

    pub(super) fn back_up(&mut self, at: usize) -> Result<(), String> {
        if self.joined.contains(&at) {
            self.backups.insert(at, self.world.nodes[at].disk.kept().clone());
            self.world.count("backups");
        }
        Ok(())
    }

    /// A disk is put back from its backup, which knows the charter as it is.
    pub(super) fn restore(&mut self, at: usize) -> Result<(), String> {
        let charters = |store: &Memory| records(store, Table::Charters).len();
        let Some(backup) = self.backups.get(&at).cloned() else { return Ok(()) };
        if charters(&backup) != charters(&self.world.nodes[at].disk.now) || !self.world.running(at) {
            return Ok(());
        }
        // The last edit before it may be on no other disk yet.
        if self.rng.chance(0.5) {
            self.edit(at)?;
        }
        let noticed = self.rng.chance(0.3);
        let line = format!("{} is restored from a backup, noticed: {noticed}", self.world.nodes[at].name);
        self.world.note(&line);
        self.world.power_cut(at, 300);
        let node = &mut self.world.nodes[at];
        let lies = node.disk.lies;
        node.disk = crate::disk::Disk::holding(backup);
        node.disk.lies = lies;
        if noticed {
            node.fingerprint = node.fingerprint.wrapping_add(1);
        }
        self.world.count("restores");
        let held = ops_of(&self.world.nodes[at].disk.now, Table::Ops);
        let gone: BTreeSet<OpName> = self.ledger.difference(&held).copied().collect();
        self.not_here[at].extend(gone);
        self.forget();
        self.wait(400)
    }

    /// Ops that no machine of the group has on its disk any more are not promised any more.
    pub(super) fn forget(&mut self) {
        let mut held = BTreeSet::new();
        for at in self.group() {
            held.extend(ops_of(self.world.nodes[at].disk.kept(), Table::Ops));
        }
        let gone: BTreeSet<OpName> =
            self.ledger.iter().filter(|op| !held.contains(*op) && !self.model.void(op)).copied().collect();
        self.ledger.retain(|op| !gone.contains(op));
        self.world.count_many("edits_forgotten_by_restores", gone.len() as u64);
        self.model.forget(&gone);
    }

    /// Somebody copies a home to another machine, and both run. Silent: nothing tells the copy that it is one.
    pub(super) fn copy(&mut self, at: usize) -> Result<(), String> {
        let made = self.world.nodes.iter().filter(|n| n.name.ends_with('\'')).count();
        let node = &self.world.nodes[at];
        if made >= COPIES_MAX || node.hostile || at == 0 || !self.group().contains(&at) || node.name.ends_with('\'') {
            return Ok(());
        }
        let silent = self.rng.chance(0.5);
        let fingerprint = if silent { node.fingerprint } else { node.fingerprint.wrapping_add(100) };
        let copy = node.copy(&mut self.rng, fingerprint);
        let line = format!("{} is copied, silently: {silent}", node.name);
        self.world.note(&line);
        let copy = self.world.add(copy);
        self.not_here.push(BTreeSet::new());
        self.joined.push(copy);
        self.world.count(if silent { "silent_copies" } else { "copies" });
        self.world.start(copy)
    }

    pub(super) fn skew_clocks(&mut self) {
        for at in 0..self.world.nodes.len() {
            let skew = self.rng.below(2 * SKEW_MS as u64 + 1) as i64 - SKEW_MS;
            self.world.nodes[at].skew_ms = skew;
            self.world.count("clocks_skewed");
        }
    }

    /// A clock jumps, forward or back; the next jump goes home.
    pub(super) fn jump_clock(&mut self, at: usize) -> Result<(), String> {
        let jump = self.rng.below(2 * JUMP_MS as u64 + 1) as i64 - JUMP_MS;
        let node = &mut self.world.nodes[at];
        node.skew_ms = if node.skew_ms.abs() > SKEW_MS { 0 } else { node.skew_ms + jump };
        let line = format!("{}'s clock jumps to {} ms", node.name, node.skew_ms);
        self.far_ms = self.far_ms.max(node.skew_ms.unsigned_abs());
        self.world.note(&line);
        self.world.count("clock_jumps");
        Ok(())
    }

    /// Clocks that had jumped are right again; the others stay as wrong as they were.
    pub(super) fn mend_clocks(&mut self) {
        for node in self.world.nodes.iter_mut().filter(|n| n.skew_ms.abs() > SKEW_MS) {
            node.skew_ms = 0;
        }
    }

    /// How long stamps from clocks that were ahead may have to wait, in milliseconds.
    pub(super) fn future_ms(&self) -> u64 {
        let clocks = if self.troubled(Trouble::Clocks) { self.far_ms + SKEW_MS as u64 + 60_000 } else { 0 };
        let tricks = if self.troubled(Trouble::Hostility) { super::mallory::AHEAD_MS_MAX } else { 0 };
        clocks + tricks
    }

    /// No op of an honest author is still waiting for a clock.
    pub(super) fn nothing_waits(&mut self, group: &[usize]) -> bool {
        let never = self.mallory.as_ref().map_or(0, |m| m.never_due);
        group.iter().all(|at| {
            let answer = self.world.query(*at, Command::Status {});
            answer.and_then(Result::ok).is_some_and(|s| s["spaces"][0]["waiting"].as_u64() <= Some(never))
        })
    }
}
