//! Whether anything may have changed in a database, without asking bd.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where bd keeps databases, under `.beads`: embedded, and of the server that it starts itself.
const ROOTS: [&str; 2] = ["embeddeddolt", "dolt"];

/// Databases that are looked at.
const DATABASES_MAX: usize = 64;

/// How much of a manifest is looked at, in bytes; it is some hundreds long.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Dolt's journal, which grows with every write.
const JOURNAL: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

/// Per database: its manifest, which names the root of everything, and the length of its journal. Times say nothing:
/// bd touches these files when it only reads.
pub(crate) type Stamp = Vec<(Vec<u8>, u64)>;

/// The present stamp; `None` if there are no such files here (the server is elsewhere).
pub(crate) fn stamp(dir: &Path) -> Option<Stamp> {
    let mut stamp = Stamp::new();
    for root in ROOTS {
        let Ok(databases) = std::fs::read_dir(dir.join(".beads").join(root)) else { continue };
        let mut databases: Vec<_> = databases.flatten().take(DATABASES_MAX).map(|entry| entry.path()).collect();
        databases.sort_unstable();
        for noms in databases.iter().map(|path| path.join(".dolt/noms")) {
            let Ok(manifest) = File::open(noms.join("manifest")) else { continue };
            let mut bytes = Vec::new();
            if manifest.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).is_ok() {
                let journal = std::fs::metadata(noms.join(JOURNAL)).map_or(0, |meta| meta.len());
                stamp.push((bytes, journal));
            }
        }
    }
    (!stamp.is_empty()).then_some(stamp)
}

/// What bd writes beside every database, wherever the server is.
const METADATA: &str = "metadata.json";

/// Whether a directory has a database of bd, here or with a server, as far as can be told without asking bd.
pub fn has_database(dir: &Path) -> bool {
    let beads = dir.join(".beads");
    beads.join(METADATA).is_file() || ROOTS.iter().any(|root| beads.join(root).is_dir())
}
