//! A machine's disk: what was written is readable at once and survives a power cut only when it was synced.

use crate::rng::Rng;
use engine::Memory;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use types::{Put, Table, View};

/// Names one op, as the key of its record does behind the space: host, incarnation, number, event id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpName {
    pub(crate) host: [u8; 32],
    pub(crate) incarnation: u64,
    pub(crate) seq: u64,
    pub(crate) id: [u8; 32],
}

impl std::fmt::Debug for OpName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |b: &[u8; 32]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        let (host, id) = (short(&self.host), short(&self.id));
        write!(f, "op {host:08x}/{:016x}/{} {id:08x}", self.incarnation, self.seq)
    }
}

impl OpName {
    /// Reads a record's key: space (32) ‖ host (32) ‖ incarnation (8) ‖ number (8) ‖ event id (32).
    pub(crate) fn of_key(key: &[u8]) -> Option<OpName> {
        let be64 = |at: usize| key.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        Some(OpName {
            host: key.get(32..64)?.try_into().ok()?,
            incarnation: be64(64)?,
            seq: be64(72)?,
            id: key.get(80..112)?.try_into().ok()?,
        })
    }
}

/// The ops that a store holds.
pub(crate) fn ops_of(store: &Memory, table: Table) -> BTreeSet<OpName> {
    records(store, table).iter().filter_map(|(key, _)| OpName::of_key(key)).collect()
}

/// All records of a table.
pub(crate) fn records(store: &Memory, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    // A store in memory always reads.
    let _ = store.scan(table, &[], &[], &mut |key, value| {
        all.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    all
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What a running program reads.
    pub(crate) now: Memory,
    kept: Memory,
    pending: Vec<Vec<Put>>,
    /// Broken on purpose: a sync keeps nothing.
    pub(crate) lies: bool,
}

impl Disk {
    /// A disk that holds this.
    pub(crate) fn holding(store: Memory) -> Disk {
        Disk { now: store.clone(), kept: store, pending: Vec::new(), lies: false }
    }

    pub(crate) fn write(&mut self, puts: Vec<Put>) {
        self.now.apply(&puts);
        self.pending.push(puts);
    }

    pub(crate) fn sync(&mut self) {
        if self.lies {
            return;
        }
        for puts in std::mem::take(&mut self.pending) {
            self.kept.apply(&puts);
        }
    }

    /// What a power cut would leave at least.
    pub(crate) fn kept(&self) -> &Memory {
        &self.kept
    }

    /// The power is cut: of the batches that were not synced, the first few may have made it. Returns how many did not.
    pub(crate) fn power_cut(&mut self, rng: &mut Rng) -> usize {
        let pending = std::mem::take(&mut self.pending);
        let made_it = if self.lies { 0 } else { rng.below(pending.len() as u64 + 1) as usize };
        for puts in &pending[..made_it] {
            self.kept.apply(puts);
        }
        self.now = self.kept.clone();
        pending.len() - made_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_takes_only_what_was_not_synced() {
        let put = |k: u8| vec![Put { table: Table::Meta, key: vec![k], value: Some(vec![k]) }];
        let mut lost = BTreeSet::new();
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.write(put(1));
            disk.sync();
            disk.write(put(2));
            disk.write(put(3));
            assert_eq!(disk.now.len(), 3);
            let gone = disk.power_cut(&mut Rng::new(seed));
            assert_eq!(disk.now.len(), 3 - gone);
            assert_eq!(disk.now.get(Table::Meta, &[1]).unwrap(), Some(vec![1]));
            assert!(gone != 1 || disk.now.get(Table::Meta, &[2]).unwrap().is_some(), "the first goes last");
            lost.insert(gone);
        }
        assert_eq!(lost, BTreeSet::from([0, 1, 2]));
    }
}
