//! The node's records on disk: one RocksDB column family per [`types::Table`], bytes in and bytes out.
//!
//! Every handled input is one [`Store::write`]: atomic, in the write-ahead log, visible at once, not yet synced.
//! [`Store::sync`] makes everything written so far durable; nothing is answered before it. Key layouts and value
//! formats belong to the engine.

mod error;
mod format;
mod lock;
mod mark;
mod migrate;
mod options;

pub use error::StoreError;
pub use lock::HomeLock;
pub use mark::Lost;
pub use options::Options;

use format::Format;
use mark::Mark;
use rocksdb::{
    BottommostLevelCompaction, ColumnFamilyDescriptor, CompactOptions, DB, IteratorMode, WriteBatch, properties,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use types::{Each, Put, Table, View, ViewError};

/// An open store. Dropping it closes it; what was written but not synced survives the process, not a power cut.
pub struct Store {
    db: DB,
    path: PathBuf,
    /// Why the store refuses writes, once one has failed.
    failed: OnceLock<String>,
    fail_after: Option<AtomicU64>,
    sync_delay: Duration,
    writing: Mutex<()>,
    mark: Mark,
    lost: Option<Lost>,
    migrated_from: Option<u32>,
}

impl Store {
    /// Opens the store in a directory, or makes it. A store of an older format is moved to the present one first;
    /// that may be cut off at any point and goes on when the store is opened again.
    ///
    /// # Errors
    /// [`StoreError`]: a newer format, none, another opener, or what RocksDB says.
    pub fn open(path: &Path, options: &Options) -> Result<Store, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
        let found = Format::find(path, options.format())?;
        let db_path = path.join("db");
        let db_options = options.db();
        let mut names: Vec<String> = Table::ALL.iter().map(|t| t.name().to_owned()).collect();
        // Column families of other versions are opened and kept as they are.
        let known = DB::list_cf(&db_options, &db_path).unwrap_or_default();
        names.extend(known.into_iter().filter(|n| n != "default" && Table::ALL.iter().all(|t| t.name() != n)));
        let cache = options.cache();
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.family(&cache)));
        let db =
            DB::open_cf_descriptors(&db_options, &db_path, families).map_err(|e| StoreError::open(&db_path, &e))?;
        let mark = Mark::open(path)?;
        let lost = mark.compare(db.latest_sequence_number());
        let mut store = Store {
            db,
            path: path.to_owned(),
            failed: OnceLock::new(),
            fail_after: options.fail_after_writes.map(AtomicU64::new),
            sync_delay: options.sync_delay,
            writing: Mutex::new(()),
            mark,
            lost,
            migrated_from: None,
        };
        store.migrate(found, options)?;
        Ok(store)
    }

    /// The format that this store had when it was opened, if it was another one than now.
    pub fn migrated_from(&self) -> Option<u32> {
        self.migrated_from
    }

    /// Writes one input's changes, all or none. They are visible at once and durable after [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::Write`], and [`StoreError::ReadOnly`] ever after.
    pub fn write(&self, puts: &[Put]) -> Result<(), StoreError> {
        self.write_batch(self.batch(puts)?)
    }

    fn batch(&self, puts: &[Put]) -> Result<WriteBatch, StoreError> {
        let mut batch = WriteBatch::default();
        for put in puts {
            let family = self.family(put.table)?;
            match &put.value {
                Some(value) => batch.put_cf(family, &put.key, value),
                None => batch.delete_cf(family, &put.key),
            }
        }
        Ok(batch)
    }

    fn write_batch(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.writable()?;
        let _turn = self.writing.lock();
        if let Some(left) = &self.fail_after
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err()
        {
            return Err(self.give_up("the disk is full (injected)".to_owned()));
        }
        self.db.write(batch).map_err(|e| self.give_up(e.into_string()))
    }

    /// Makes everything written so far durable: one fsync of the write-ahead log.
    ///
    /// # Errors
    /// [`StoreError::Write`], and [`StoreError::ReadOnly`] ever after.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.writable()?;
        if !self.sync_delay.is_zero() {
            std::thread::sleep(self.sync_delay);
        }
        let written = self.db.latest_sequence_number();
        self.db.flush_wal(true).map_err(|e| self.give_up(e.into_string()))?;
        self.mark.note(written);
        Ok(())
    }

    /// What had been synced once and was not there when this store was opened: its log was damaged, or its database
    /// is an older copy. Noticed again at every opening until the next [`Store::sync`].
    pub fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Merges every table's files into as few as there can be; reading and writing go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Family`] only: what RocksDB has to say about the merge it says at the next write.
    pub fn compact(&self) -> Result<(), StoreError> {
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        for table in Table::ALL {
            self.db.compact_range_cf_opt(self.family(table)?, None::<&[u8]>, None::<&[u8]>, &options);
        }
        Ok(())
    }

    /// Merges of files that are under way now.
    pub fn compactions_running(&self) -> u64 {
        self.db.property_int_value(properties::NUM_RUNNING_COMPACTIONS).ok().flatten().unwrap_or_default()
    }

    fn writable(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::ReadOnly { reason: reason.clone() }),
        }
    }

    /// The first failure is kept: after it nobody knows what of the log is on disk, so nothing more is written.
    fn give_up(&self, reason: String) -> StoreError {
        let _ = self.failed.set(reason.clone());
        StoreError::Write { path: self.path.clone(), reason }
    }

    fn family(&self, table: Table) -> Result<&rocksdb::ColumnFamily, StoreError> {
        self.db.cf_handle(table.name()).ok_or(StoreError::Family { table })
    }

    /// Bytes on disk: tables and write-ahead log.
    pub fn size_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.path.join("db")).into_iter().flatten();
        files.filter_map(|f| f.ok()?.metadata().ok()).map(|m| m.len()).sum()
    }
}

impl View for Store {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        let failed = |reason: String| ViewError { table, reason };
        let family = self.family(table).map_err(|e| failed(e.to_string()))?;
        self.db.get_cf(family, key).map_err(|e| failed(e.into_string()))
    }

    fn scan(&self, table: Table, prefix: &[u8], from: &[u8], each: &mut Each<'_>) -> Result<(), ViewError> {
        let failed = |reason: String| ViewError { table, reason };
        let family = self.family(table).map_err(|e| failed(e.to_string()))?;
        let start = prefix.max(from);
        let mode = IteratorMode::From(start, rocksdb::Direction::Forward);
        for entry in self.db.iterator_cf(family, mode) {
            let (key, value) = entry.map_err(|e| failed(e.into_string()))?;
            if !key.starts_with(prefix) || each(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
