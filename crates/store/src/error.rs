//! What can go wrong with the store.

use std::path::{Path, PathBuf};
use types::Table;

/// Why the store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Made by a newer program.
    #[error(
        "the store has format {found}, this program knows {ours}: install the newer townmesh again, or restore a backup"
    )]
    NewerFormat {
        /// The store's format.
        found: u32,
        /// The newest that this program knows.
        ours: u32,
    },
    /// The file with the format's number holds none.
    #[error("{path} holds no format number", path = path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// Another process has this home open.
    #[error("{path} is in use by another townmesh{by}", path = path.display(), by = by_pid(*.pid))]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Its process, if it left its number.
        pid: Option<u32>,
    },
    /// RocksDB cannot open it.
    #[error("opening {path}: {reason}", path = path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
    /// A write or a sync failed; the store only reads from now on.
    #[error("writing {path}: {reason}", path = path.display())]
    Write {
        /// The store.
        path: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
    /// An earlier write failed.
    #[error("the store only reads since a write failed: {reason}")]
    ReadOnly {
        /// What the first failure said.
        reason: String,
    },
    /// A table has no column family, which opening would have made.
    #[error("no column family for {table:?}")]
    Family {
        /// The table.
        table: Table,
    },
}

fn by_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl StoreError {
    pub(crate) fn open(path: &Path, err: &rocksdb::Error) -> StoreError {
        StoreError::Open { path: path.to_owned(), reason: err.to_string() }
    }
}
