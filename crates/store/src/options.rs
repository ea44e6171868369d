//! How RocksDB is set: small memory, bounded disk.

use crate::format::FIRST;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, Options as Db};
use std::time::Duration;
use types::Step;

/// What can be chosen when a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cache for blocks of table files, in bytes.
    pub cache_bytes: usize,
    /// Memory for not yet written tables, all column families together, in bytes.
    pub write_buffer_bytes: usize,
    /// Fault injection for tests: this many writes succeed, then the disk counts as full.
    pub fail_after_writes: Option<u64>,
    /// Fault injection for tests: every sync takes this much longer, as on a slow disk.
    pub sync_delay: Duration,
    /// The steps from the first format to the present one, oldest first. Their number decides which format that is.
    pub steps: &'static [Step],
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cache_bytes: 8 << 20,
            write_buffer_bytes: 16 << 20,
            fail_after_writes: None,
            sync_delay: Duration::ZERO,
            steps: &[],
        }
    }
}

/// All write-ahead logs together are at most this large before tables are written, in bytes.
const WAL_BYTES_MAX: u64 = 64 << 20;

impl Options {
    /// The format that a store has after it was opened.
    pub fn format(&self) -> u32 {
        FIRST + self.steps.len() as u32
    }

    pub(crate) fn db(&self) -> Db {
        let mut db = Db::default();
        db.create_if_missing(true);
        db.create_missing_column_families(true);
        db.set_db_write_buffer_size(self.write_buffer_bytes);
        db.set_max_total_wal_size(WAL_BYTES_MAX);
        db.set_max_open_files(128);
        db.set_max_background_jobs(2);
        db.set_keep_log_file_num(2);
        db.set_max_log_file_size(1 << 20);
        db.set_recycle_log_file_num(0);
        db
    }

    pub(crate) fn family(&self, cache: &Cache) -> Db {
        let mut family = Db::default();
        family.set_compression_type(DBCompressionType::Lz4);
        family.set_write_buffer_size(self.write_buffer_bytes / 2);
        family.set_max_write_buffer_number(2);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(10.0, false);
        table.set_cache_index_and_filter_blocks(true);
        family.set_block_based_table_factory(&table);
        family
    }

    /// One cache for all column families.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new_lru_cache(self.cache_bytes)
    }
}
