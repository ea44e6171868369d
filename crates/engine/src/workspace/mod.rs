//! Beads files in directories: what changed in them becomes ops, what changed in the mesh becomes lines.
//!
//! A file shows one value of several, so an edit in it is measured against what that line last showed (its shadow)
//! and replaces only that. The bridge owns bytes; here is the meaning.

mod apply;
mod attach;
mod baseline;
mod intent;
mod snapshot;

use crate::engine::Engine;
use crate::input::{Generation, WorkspaceId, WorkspaceKind};
use crate::records::shadow::ShadowRecord;
use crate::records::workspace::{WorkspaceRecord, Young};
use beads::{Bead, canonical_hash};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use types::{SpaceId, UnixMs};

pub(crate) use baseline::{Ancestors, Imported};

/// How long to leave a directory alone after writing it failed, in milliseconds.
pub(crate) const RETRY_MS: u64 = 5_000;

/// Longest rest after writing a directory's file, in milliseconds.
pub(crate) const REST_MS_MAX: u64 = 2_000;

/// How long a line that we wrote may be unknown to a tool that read the file before, in milliseconds.
const YOUNG_MS: u64 = 5_000;

/// How long a restart may take for a line to be as young after it, in milliseconds.
const YOUNG_AT_BOOT_MS: u64 = 30_000;

/// A coupled directory as it lives in memory.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) id: WorkspaceId,
    pub(crate) space: SpaceId,
    pub(crate) record: WorkspaceRecord,
    pub(crate) kind: WorkspaceKind,
    /// The generation that the file has, once it was looked at.
    pub(crate) base: Option<Generation>,
    /// Ids whose state changed since their lines were last compared.
    pub(crate) dirty: BTreeSet<String>,
    /// Lines that must be written even though their shadow is right: the file shows something older.
    pub(crate) forced: BTreeSet<String>,
    pub(crate) flight: Option<Flight>,
    pub(crate) attempts: u64,
    /// Not written before: writing a large file over and over takes at most half of a core.
    pub(crate) rest_until: UnixMs,
    /// Lines that repeat an id: all but the first are only looked at when the directory is attached.
    pub(crate) repeated: usize,
    /// Lines that cannot be read: the file is left alone until they are mended.
    pub(crate) broken: Vec<(u32, String)>,
    /// Why it cannot be read, and since when.
    pub(crate) failed: Option<(String, UnixMs)>,
    /// Why it could not be written, and when that was tried last.
    pub(crate) unwritten: Option<(String, UnixMs)>,
    /// Values of earlier versions, given when the directory was attached.
    pub(crate) ancestors: BTreeMap<String, Ancestors>,
    /// Lines that we wrote a moment ago, and when.
    young: BTreeMap<String, UnixMs>,
}

/// A new version of the file on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) attempt: u64,
    pub(crate) begun: UnixMs,
    /// Ids of the states that it takes in, to be compared again when it fails.
    pub(crate) states: BTreeSet<String>,
    pub(crate) shadows: Vec<(String, Option<ShadowRecord>)>,
}

impl Workspace {
    /// `young`: lines that were written right before the last end, if that was a moment ago.
    pub(crate) fn new(
        id: WorkspaceId,
        record: WorkspaceRecord,
        kind: WorkspaceKind,
        young: &Young,
        now: UnixMs,
    ) -> Workspace {
        let still = young.iter().filter(|(_, at)| now.since_ms(UnixMs(*at)) < YOUNG_AT_BOOT_MS);
        Workspace {
            id,
            space: SpaceId(record.space),
            record,
            kind,
            base: None,
            dirty: BTreeSet::new(),
            forced: BTreeSet::new(),
            flight: None,
            attempts: 0,
            rest_until: UnixMs(0),
            repeated: 0,
            broken: Vec::new(),
            failed: None,
            unwritten: None,
            ancestors: BTreeMap::new(),
            young: still.map(|(line_id, _)| (line_id.clone(), now)).collect(),
        }
    }

    /// Lines are in the file as we wrote them; the record of all that are young now.
    pub(crate) fn written(&mut self, lines: impl Iterator<Item = String>, now: UnixMs) -> Young {
        self.young.retain(|_, at| now.since_ms(*at) < YOUNG_MS);
        self.young.extend(lines.map(|line_id| (line_id, now)));
        self.young.iter().map(|(line_id, at)| (line_id.clone(), at.0)).collect()
    }

    /// Why it is not what it should be, for people.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.failed.as_ref().or(self.unwritten.as_ref()).map(|(why, _)| why.as_str())
    }

    /// Whether something went wrong so shortly ago that it is not tried again yet.
    pub(crate) fn backs_off(&self, now: UnixMs) -> bool {
        [&self.failed, &self.unwritten].into_iter().flatten().any(|(_, at)| now.since_ms(*at) < RETRY_MS)
    }

    /// Whether a line was written so shortly ago that whoever writes another one may never have seen it. Whoever
    /// changes a database sees it as it is.
    pub(crate) fn is_young(&self, line_id: &str, now: UnixMs) -> bool {
        self.kind == WorkspaceKind::File && self.young.get(line_id).is_some_and(|at| now.since_ms(*at) < YOUNG_MS)
    }
}

impl Engine {
    pub(crate) fn mark_dirty(&mut self, touched: &BTreeSet<(SpaceId, String)>) {
        for workspace in self.workspaces.values_mut() {
            let ids = touched.iter().filter(|(space, _)| *space == workspace.space).map(|(_, id)| id.clone());
            workspace.dirty.extend(ids);
        }
    }
}

/// The id under which a line's state is kept: `id~ab12` shows another birth of `id`.
pub(crate) fn state_id(line_id: &str) -> &str {
    match line_id.rsplit_once('~') {
        Some((id, birth)) if birth.len() == 4 && birth.bytes().all(|b| b.is_ascii_hexdigit()) => id,
        _ => line_id,
    }
}

/// A hash of everything that a line says, whatever its text.
pub(crate) fn line_hash(bead: &Bead) -> u64 {
    let mut hash = Sha256::new();
    for (unit, value) in bead.units() {
        hash.update(unit.to_string().as_bytes());
        hash.update([0]);
        hash.update(canonical_hash(&unit, Some(&value)).to_be_bytes());
    }
    let hash = hash.finalize();
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_births_belong_to_the_same_state() {
        assert_eq!(state_id("bd-1~ab12"), "bd-1");
        assert_eq!(state_id("bd-1"), "bd-1");
        assert_eq!(state_id("bd-1~xyz"), "bd-1~xyz");
    }

    #[test]
    fn equal_values_hash_equally_whatever_their_text() {
        let bead = |line: &str| match beads::parse_line(line).unwrap() {
            beads::Parsed::Issue(bead) => bead,
            other => panic!("{other:?}"),
        };
        let a = bead(r#"{"id":"a","title":"t","updated_at":"2026-01-01T10:00:00Z","labels":["x","y"]}"#);
        let b =
            bead(r#"{"labels":["y","x"],"updated_at":"2026-01-01T02:00:00-08:00","id":"a","title":"t","notes":""}"#);
        let c = bead(r#"{"id":"a","title":"u","updated_at":"2026-01-01T10:00:00Z","labels":["x","y"]}"#);
        assert_eq!(line_hash(&a), line_hash(&b));
        assert_ne!(line_hash(&a), line_hash(&c));
    }
}
