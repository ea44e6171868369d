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
    /// Made by a newer program, or on its way to that program's format.
    #[error(
        "{path} has format {found}, and this townmesh knows formats up to {ours}: use the newer townmesh again; to go \
         back to this one, export with the newer one and import here, or restore a backup from before the update",
        path = path.display()
    )]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// The store's format, or the one that it was being moved to.
        found: u32,
        /// The newest that this program knows.
        ours: u32,
    },
    /// The file with the format's number holds none.
    #[error(
        "{path} holds no format number: restore the store from a backup, or move it away and join again",
        path = path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// There is something, and no format number with it.
    #[error(
        "{path} is not empty and has no file FORMAT, so it is not taken for a store of townmesh: restore it whole from \
         a backup, or choose another home (TOWNMESH_HOME)",
        path = path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// The store cannot be moved to the present format. What was done is kept, and the next start goes on there.
    #[error("moving {path} from format {from} to {to} ({step}): {reason}", path = path.display(), to = from + 1)]
    Migration {
        /// The store.
        path: PathBuf,
        /// The format that the step leaves.
        from: u32,
        /// The step's name.
        step: &'static str,
        /// What failed.
        reason: String,
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
