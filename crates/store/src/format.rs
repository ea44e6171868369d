//! The store's format number: a file `FORMAT` beside the database, so that it can be read before the database is opened.
//!
//! It holds `N`, or `N > M` while the store is being moved from format N to M. Programs that know neither M nor this
//! form refuse the latter, so nobody takes a half-moved store for a whole one.

use crate::StoreError;
use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

/// The first format that there was.
pub(crate) const FIRST: u32 = 1;

const FILE: &str = "FORMAT";

/// Where a new number is written before it takes the old one's place.
const TEMP: &str = "FORMAT.tmp";

/// Longest content that is read.
const BYTES_MAX: u64 = 64;

/// What is known of a store before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// All of it has this format.
    At(u32),
    /// It is being moved.
    Moving { from: u32, to: u32 },
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::At(at) => writeln!(f, "{at}"),
            Format::Moving { from, to } => writeln!(f, "{from} > {to}"),
        }
    }
}

fn parse(text: &str) -> Option<Format> {
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n >= FIRST);
    match text.split_once('>') {
        None => Some(Format::At(number(text)?)),
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            (from < to).then_some(Format::Moving { from, to })
        }
    }
}

impl Format {
    /// The format of the store in a directory; an empty directory gets the present one.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], [`StoreError::UnknownFormat`], [`StoreError::Foreign`] or [`StoreError::Io`].
    pub(crate) fn find(store: &Path, ours: u32) -> Result<Format, StoreError> {
        let path = store.join(FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(err) if err.kind() == ErrorKind::NotFound => return Format::begin(store, ours),
            Err(err) if err.kind() == ErrorKind::InvalidData => return Err(StoreError::UnknownFormat { path }),
            Err(source) => return Err(StoreError::Io { path, source }),
        }
        if text.is_empty() {
            // What a power cut left of the first format's file, which was not written as carefully as now.
            let format = Format::At(FIRST);
            format.write(store)?;
            return Ok(format);
        }
        let found = parse(&text).ok_or(StoreError::UnknownFormat { path })?;
        let (Format::At(newest) | Format::Moving { to: newest, .. }) = found;
        if newest > ours {
            return Err(StoreError::NewerFormat { path: store.to_owned(), found: newest, ours });
        }
        Ok(found)
    }

    fn begin(store: &Path, ours: u32) -> Result<Format, StoreError> {
        let entries = fs::read_dir(store).map_err(|source| StoreError::Io { path: store.to_owned(), source })?;
        // A start that was cut off before there was a store may have left the temporary file.
        if entries.filter_map(Result::ok).any(|entry| entry.file_name() != TEMP) {
            return Err(StoreError::Foreign { path: store.to_owned() });
        }
        let format = Format::At(ours);
        format.write(store)?;
        Ok(format)
    }

    /// Writes the number, synced: afterwards it is the old one or the new one, whatever happens.
    pub(crate) fn write(self, store: &Path) -> Result<(), StoreError> {
        let temp = store.join(TEMP);
        let write = || {
            let mut file = File::create(&temp)?;
            file.write_all(self.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temp, store.join(FILE))?;
            File::open(store)?.sync_all()
        };
        write().map_err(|source| StoreError::Io { path: store.join(FILE), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_nonsense_is_none() {
        for format in [Format::At(1), Format::At(u32::MAX), Format::Moving { from: 1, to: 2 }] {
            assert_eq!(parse(&format.to_string()), Some(format));
        }
        for text in ["", "0", "-1", "1 > 1", "2 > 1", "1 > 2 > 3", "one", "4294967296", ">", "1 >", "0 > 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        // The first programs read the number only: the second form must be none to them.
        assert!(Format::Moving { from: 1, to: 2 }.to_string().trim().parse::<u32>().is_err());
    }

    #[test]
    fn only_an_empty_directory_becomes_a_store() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(TEMP), "cut o").unwrap();
        assert_eq!(Format::find(dir.path(), 7).unwrap(), Format::At(7));
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "7\n");
        let foreign = tempfile::tempdir().unwrap();
        fs::create_dir(foreign.path().join("db")).unwrap();
        let err = Format::find(foreign.path(), 7).unwrap_err();
        assert!(matches!(err, StoreError::Foreign { .. }), "{err}");
        assert!(!foreign.path().join(FILE).exists());
    }

    #[test]
    fn a_newer_or_half_moved_store_is_refused_by_older_programs() {
        let dir = tempfile::tempdir().unwrap();
        for (text, ours, newest) in [("99", 7, Some(99)), ("1 > 3", 2, Some(3)), ("1 > 3", 3, None), ("3", 3, None)] {
            fs::write(dir.path().join(FILE), text).unwrap();
            match Format::find(dir.path(), ours) {
                Ok(_) => assert_eq!(newest, None),
                Err(StoreError::NewerFormat { found, ours: told, .. }) => {
                    assert_eq!((Some(found), told), (newest, ours));
                }
                Err(err) => panic!("{err}"),
            }
        }
        fs::write(dir.path().join(FILE), [0xff; 3]).unwrap();
        assert!(matches!(Format::find(dir.path(), 7), Err(StoreError::UnknownFormat { .. })));
    }
}
