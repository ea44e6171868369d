//! Everything that one input changes, readable at once and handed over whole.

use crate::records::{self, bead, totals::Totals};
use beads::{BeadId, BeadState, Contribution};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use types::{Dot, Each, Put, SpaceId, Table, View, ViewError};

/// Beads that a transaction holds decoded at once before it writes them back.
const CACHED_BEADS_MAX: usize = 20_000;

/// A stored record: its key and its value.
pub(crate) type KeyValue = (Vec<u8>, Vec<u8>);

struct Cached {
    state: BeadState,
    /// What it added to the totals before the first change; `None` while it is unchanged.
    before: Option<Contribution>,
}

/// A view with changes on top.
pub(crate) struct Txn<'a> {
    view: &'a dyn View,
    puts: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    beads: HashMap<(SpaceId, BeadId), Cached>,
    totals: HashMap<SpaceId, Totals>,
    touched: BTreeSet<(SpaceId, String)>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(view: &'a dyn View) -> Txn<'a> {
        Txn { view, puts: BTreeMap::new(), beads: HashMap::new(), totals: HashMap::new(), touched: BTreeSet::new() }
    }

    /// A typed record.
    pub(crate) fn record<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, ViewError> {
        self.get(table, key)?.map(|bytes| records::unpack(table, &bytes)).transpose()
    }

    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.puts.insert((table, key), Some(value));
    }

    /// Keeps a typed record.
    pub(crate) fn put_record<T: Serialize>(&mut self, table: Table, key: Vec<u8>, value: &T) {
        self.put(table, key, records::pack(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.puts.insert((table, key), None);
    }

    /// Deletes all records of `table` under `prefix`.
    pub(crate) fn delete_all(&mut self, table: Table, prefix: &[u8]) -> Result<(), ViewError> {
        let mut gone = Vec::new();
        self.scan(table, prefix, prefix, &mut |key, _| {
            gone.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        gone.into_iter().for_each(|key| self.delete(table, key));
        Ok(())
    }

    /// Whether there is a record of `table` with exactly this key.
    pub(crate) fn has(&self, table: Table, key: &[u8]) -> Result<bool, ViewError> {
        Ok(self.get(table, key)?.is_some())
    }

    /// Whether any record of `table` begins with `prefix`. [`Txn::has`] costs less where the whole key is known.
    pub(crate) fn any(&self, table: Table, prefix: &[u8]) -> Result<bool, ViewError> {
        let mut found = false;
        self.scan(table, prefix, prefix, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// All records of `table` under `prefix`.
    pub(crate) fn collect(&self, table: Table, prefix: &[u8]) -> Result<Vec<KeyValue>, ViewError> {
        let mut all = Vec::new();
        self.scan(table, prefix, prefix, &mut |k, v| {
            all.push((k.to_vec(), v.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// The sums of a space.
    pub(crate) fn totals(&self, space: &SpaceId) -> Result<Totals, ViewError> {
        match self.totals.get(space) {
            Some(totals) => Ok(*totals),
            None => Ok(self.record(Table::Totals, &space.0)?.unwrap_or_default()),
        }
    }

    fn totals_mut(&mut self, space: &SpaceId) -> Result<&mut Totals, ViewError> {
        let now = self.totals(space)?;
        Ok(self.totals.entry(*space).or_insert(now))
    }

    /// Counts one applied op.
    pub(crate) fn count_op(&mut self, space: &SpaceId) -> Result<(), ViewError> {
        self.totals_mut(space)?.ops += 1;
        Ok(())
    }

    /// An op that was counted no longer counts.
    pub(crate) fn uncount_op(&mut self, space: &SpaceId) -> Result<(), ViewError> {
        let totals = self.totals_mut(space)?;
        totals.ops = totals.ops.saturating_sub(1);
        Ok(())
    }

    fn load(&self, space: &SpaceId, id: &BeadId) -> Result<BeadState, ViewError> {
        match self.get(Table::Beads, &bead::key(space, id.as_str()))? {
            Some(bytes) => BeadState::decode(&bytes)
                .map_err(|e| ViewError { table: Table::Beads, reason: format!("bead {id}: {e}") }),
            None => Ok(BeadState::new(id.clone())),
        }
    }

    /// A bead's state as of now.
    pub(crate) fn bead(&self, space: &SpaceId, id: &BeadId) -> Result<BeadState, ViewError> {
        match self.beads.get(&(*space, id.clone())) {
            Some(cached) => Ok(cached.state.clone()),
            None => self.load(space, id),
        }
    }

    /// A bead that is likely to be changed next: kept decoded.
    pub(crate) fn bead_to_change(&mut self, space: &SpaceId, id: &BeadId) -> Result<&BeadState, ViewError> {
        let at = (*space, id.clone());
        let cached = self.take_bead(&at)?;
        self.keep_bead(at, cached)
    }

    /// Changes a bead's state.
    pub(crate) fn change_bead<R>(
        &mut self,
        space: &SpaceId,
        id: &BeadId,
        change: impl FnOnce(&mut BeadState, &Txn<'a>) -> R,
    ) -> Result<R, ViewError> {
        let at = (*space, id.clone());
        let mut cached = self.take_bead(&at)?;
        cached.before.get_or_insert_with(|| cached.state.contribution());
        let result = change(&mut cached.state, self);
        self.keep_bead(at, cached)?;
        self.touched.insert((*space, id.to_string()));
        Ok(result)
    }

    fn take_bead(&mut self, at: &(SpaceId, BeadId)) -> Result<Cached, ViewError> {
        match self.beads.remove(at) {
            Some(cached) => Ok(cached),
            None => Ok(Cached { state: self.load(&at.0, &at.1)?, before: None }),
        }
    }

    fn keep_bead(&mut self, at: (SpaceId, BeadId), cached: Cached) -> Result<&BeadState, ViewError> {
        if self.beads.len() >= CACHED_BEADS_MAX {
            self.write_back()?;
        }
        Ok(&self.beads.entry(at).insert_entry(cached).into_mut().state)
    }

    /// Takes a bead's folded state back to this one (or to nothing), so that it can be folded again from other ops.
    pub(crate) fn reset_bead(&mut self, space: &SpaceId, id: &BeadId, to: Option<BeadState>) -> Result<(), ViewError> {
        let fresh = to.unwrap_or_else(|| BeadState::new(id.clone()));
        self.change_bead(space, id, move |state, _| *state = fresh)
    }

    /// Puts a bead's kept form in its place, past the totals. No bead is held decoded now ([`Txn::write_back`]).
    pub(crate) fn put_bead(&mut self, space: &SpaceId, id: &BeadId, bytes: Vec<u8>) {
        self.put(Table::Beads, bead::key(space, id.as_str()), bytes);
        self.touched.insert((*space, id.to_string()));
    }

    /// Takes a bead away, past the totals, like [`Txn::put_bead`].
    pub(crate) fn drop_bead(&mut self, space: &SpaceId, id: &BeadId) {
        self.delete(Table::Beads, bead::key(space, id.as_str()));
        self.touched.insert((*space, id.to_string()));
    }

    /// Sets the sums of a space.
    pub(crate) fn set_totals(&mut self, space: &SpaceId, totals: Totals) {
        self.totals.insert(*space, totals);
    }

    /// Ids changed so far; empties the list.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<(SpaceId, String)> {
        std::mem::take(&mut self.touched)
    }

    /// Whether an op with this dot was applied.
    pub(crate) fn has_dot(&self, space: &SpaceId, dot: &Dot) -> bool {
        self.any(Table::Ops, &records::op::dot_prefix(space, dot)).unwrap_or(false)
    }

    /// Turns decoded beads into records.
    pub(crate) fn write_back(&mut self) -> Result<(), ViewError> {
        for ((space, id), cached) in std::mem::take(&mut self.beads) {
            let Some(before) = cached.before else { continue };
            let after = cached.state.contribution();
            self.totals_mut(&space)?.replace(&before, &after);
            let key = bead::key(&space, id.as_str());
            if cached.state.is_empty() {
                self.delete(Table::Beads, key);
            } else {
                self.put(Table::Beads, key, cached.state.encode());
            }
        }
        Ok(())
    }

    /// All changes.
    pub(crate) fn finish(mut self) -> Result<Vec<Put>, ViewError> {
        self.write_back()?;
        for (space, totals) in std::mem::take(&mut self.totals) {
            self.put_record(Table::Totals, space.0.to_vec(), &totals);
        }
        Ok(self.puts.into_iter().map(|((table, key), value)| Put { table, key, value }).collect())
    }
}

impl View for Txn<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        if !self.puts.is_empty()
            && let Some(value) = self.puts.get(&(table, key.to_vec()))
        {
            return Ok(value.clone());
        }
        self.view.get(table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], each: &mut Each<'_>) -> Result<(), ViewError> {
        let start = prefix.max(from).to_vec();
        let mut over = self
            .puts
            .range((table, start)..)
            .take_while(|((t, key), _)| *t == table && key.starts_with(prefix))
            .map(|((_, key), value)| (key.as_slice(), value.as_deref()))
            .peekable();
        let mut stopped = false;
        self.view.scan(table, prefix, from, &mut |key, value| {
            while let Some((over_key, over_value)) = over.next_if(|(k, _)| *k < key) {
                if let Some(v) = over_value
                    && each(over_key, v).is_break()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let flow = match over.next_if(|(k, _)| *k == key) {
                Some((_, Some(newer))) => each(key, newer),
                Some((_, None)) => ControlFlow::Continue(()),
                None => each(key, value),
            };
            stopped = flow.is_break();
            flow
        })?;
        if !stopped {
            for (key, value) in over {
                if let Some(v) = value
                    && each(key, v).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn a_scan_sees_changes_in_order() {
        let mut store = Memory::default();
        let put =
            |k: &[u8], v: Option<&[u8]>| Put { table: Table::Meta, key: k.to_vec(), value: v.map(<[u8]>::to_vec) };
        store.apply(&[put(b"a1", Some(b"x")), put(b"a3", Some(b"x")), put(b"b", Some(b"x"))]);
        let mut txn = Txn::new(&store);
        txn.put(Table::Meta, b"a2".to_vec(), b"new".to_vec());
        txn.put(Table::Meta, b"a4".to_vec(), b"new".to_vec());
        txn.put(Table::Meta, b"a1".to_vec(), b"changed".to_vec());
        txn.delete(Table::Meta, b"a3".to_vec());
        let seen: Vec<_> = txn.collect(Table::Meta, b"a").unwrap();
        assert_eq!(
            seen,
            [
                (b"a1".to_vec(), b"changed".to_vec()),
                (b"a2".to_vec(), b"new".to_vec()),
                (b"a4".to_vec(), b"new".to_vec())
            ]
        );
        assert!(txn.any(Table::Meta, b"b").unwrap() && !txn.any(Table::Meta, b"a3").unwrap());
    }
}
