//! A store in memory: what the simulator and tests keep records in.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use types::{Each, Put, Table, View, ViewError};

/// Records in ordered maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    records: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl Memory {
    /// Takes in one input's changes.
    pub fn apply(&mut self, puts: &[Put]) {
        for put in puts {
            let at = (put.table, put.key.clone());
            match &put.value {
                Some(value) => self.records.insert(at, value.clone()),
                None => self.records.remove(&at),
            };
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl View for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.records.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], each: &mut Each<'_>) -> Result<(), ViewError> {
        let start = prefix.max(from).to_vec();
        for ((t, key), value) in self.records.range((table, start)..) {
            if *t != table || !key.starts_with(prefix) || each(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}
