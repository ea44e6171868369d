//! How far the log had been synced, noted beside the database.
//!
//! A damaged log opens as the store it was before the damage: nothing in the database says that there was more. So
//! every sync notes the database's sequence number in a file of its own, after the fact and without a sync of its own:
//! the file may lag behind, but what it says was on disk.

use crate::StoreError;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The file: twenty decimal digits and a newline, always written in place.
const MARK_FILE: &str = "SYNCED";

/// Longest content that is read.
const MARK_BYTES_MAX: u64 = 64;

/// Records that had been synced and are gone. Numbers are RocksDB's: they grow by one with every put or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The last record that had been synced.
    pub synced: u64,
    /// The last record that is there.
    pub found: u64,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    /// What it said when it was opened; `None`: it is new, or holds nonsense.
    synced: Option<u64>,
}

impl Mark {
    pub(crate) fn open(store: &Path) -> Result<Mark, StoreError> {
        let path = store.join(MARK_FILE);
        let io = |source| StoreError::Io { path: path.clone(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let mut text = Vec::new();
        (&mut file).take(MARK_BYTES_MAX).read_to_end(&mut text).map_err(io)?;
        let number = String::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
        Ok(Mark { file, synced: number })
    }

    pub(crate) fn compare(&self, found: u64) -> Option<Lost> {
        self.synced.filter(|synced| *synced > found).map(|synced| Lost { synced, found })
    }

    /// Notes what is synced now. A failure costs the notice, not a record.
    pub(crate) fn note(&self, synced: u64) {
        let _unnoticed = self.file.write_all_at(format!("{synced:020}\n").as_bytes(), 0);
    }
}
