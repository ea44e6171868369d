//! One line of a beads file: which bead it is about, or why it cannot be read.
//!
//! Only the outside of a line is judged here (JSON object, one usable id). Whether its fields make sense is the bead
//! model's question; a line that the model refuses is still a line that may stay in the file.

use proto::limits::LINE_BYTES_MAX;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The longest id of a bead, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// Why a line cannot be read. A file with such a line is reported but never overwritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than `LINE_BYTES_MAX`.
    #[error("line of {bytes} bytes is longer than {LINE_BYTES_MAX}")]
    TooLong {
        /// The line's length.
        bytes: usize,
    },
    /// A NUL byte: typical for a file that a crash left half on disk.
    #[error("line holds a nul byte")]
    Nul,
    /// Not UTF-8.
    #[error("line is not utf-8 from byte {at} on")]
    NotUtf8 {
        /// The first bad byte, from 0.
        at: usize,
    },
    /// A marker of an unresolved git merge.
    #[error("git conflict marker")]
    ConflictMarker,
    /// Not a JSON object.
    #[error("not a json object: {0}")]
    NotJson(String),
    /// No id.
    #[error("no id")]
    NoId,
    /// Empty, too long, or with control characters.
    #[error("unusable id")]
    BadId,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// A bead with this id.
    Bead(Cow<'a, str>),
    /// A memory, a header or a kind that we do not know: passed through untouched.
    Other,
    /// Nothing but white space.
    Blank,
}

/// Identifies a line's bytes (without its end of line): collisions would hide an edit, so no weak hash.
pub(crate) type LineHash = u128;

/// The hash of a line's bytes: the first half of their SHA-256.
pub(crate) fn hash(line: &[u8]) -> LineHash {
    let full: [u8; 32] = Sha256::digest(line).into();
    full[..16].iter().fold(0, |hash, &byte| hash << 8 | u128::from(byte))
}

/// A table's hash of a line hash: it is one already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AsItIs(u64);

impl std::hash::Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u128(&mut self, hash: u128) {
        // The low half of 128 good bits.
        self.0 = (hash & u128::from(u64::MAX)) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_type")]
    kind: Option<Cow<'a, str>>,
    #[serde(rename = "_schema")]
    schema: Option<serde::de::IgnoredAny>,
}

/// Reads a line's outside. `line` has no end of line.
pub(crate) fn classify(line: &[u8]) -> Result<Kind<'_>, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong { bytes: line.len() });
    }
    if memchr::memchr(0, line).is_some() {
        return Err(LineError::Nul);
    }
    let text = std::str::from_utf8(line).map_err(|e| LineError::NotUtf8 { at: e.valid_up_to() })?;
    if text.trim().is_empty() {
        return Ok(Kind::Blank);
    }
    if is_conflict_marker(text) {
        return Err(LineError::ConflictMarker);
    }
    if !text.trim_start().starts_with('{') {
        return Err(LineError::NotJson("does not begin with a brace".into()));
    }
    let head: Head<'_> = serde_json::from_str(text).map_err(|e| LineError::NotJson(e.to_string()))?;
    if head.schema.is_some() || head.kind.as_deref().is_some_and(|kind| kind != "issue") {
        return Ok(Kind::Other);
    }
    let id = head.id.ok_or(LineError::NoId)?;
    check_id(&id)?;
    Ok(Kind::Bead(id))
}

/// Whether a bead may have this id.
pub(crate) fn check_id(id: &str) -> Result<(), LineError> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(LineError::BadId);
    }
    Ok(())
}

fn is_conflict_marker(text: &str) -> bool {
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"]
        .iter()
        .any(|marker| text.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bead(line: &str) -> Option<String> {
        match classify(line.as_bytes()) {
            Ok(Kind::Bead(id)) => Some(id.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn finds_ids() {
        assert_eq!(bead(r#"{"id":"a-1","title":"x"}"#).as_deref(), Some("a-1"));
        assert_eq!(bead(r#"{"title":"x","z":{"id":"no"},"id":"a-\u0031"}"#).as_deref(), Some("a-1"));
        assert_eq!(bead(r#"{"_type":"issue","id":"a-1"}"#).as_deref(), Some("a-1"));
    }

    #[test]
    fn passes_other_kinds_through() {
        for line in [r#"{"_type":"memory","key":"k","value":"v"}"#, r#"{"_schema":"beads-jsonl/1"}"#] {
            assert_eq!(classify(line.as_bytes()), Ok(Kind::Other));
        }
        assert_eq!(classify(b"  \t"), Ok(Kind::Blank));
    }

    #[test]
    fn refuses_what_cannot_be_read() {
        assert_eq!(classify(&vec![b'a'; LINE_BYTES_MAX + 1]), Err(LineError::TooLong { bytes: LINE_BYTES_MAX + 1 }));
        assert_eq!(classify(b"{\"id\":\"a\0\"}"), Err(LineError::Nul));
        assert_eq!(classify(b"{\"id\":\"\xff\"}"), Err(LineError::NotUtf8 { at: 7 }));
        for marker in ["<<<<<<< HEAD", "=======", ">>>>>>> 12ab", "||||||| base", "<<<<<<<"] {
            assert_eq!(classify(marker.as_bytes()), Err(LineError::ConflictMarker), "{marker}");
        }
        for text in ["[1]", "\"id\"", "{\"id\":\"a\"", "{\"id\":\"a\"} x", "{\"id\":\"a\",\"id\":\"b\"}", "{\"id\":7}"]
        {
            assert!(matches!(classify(text.as_bytes()), Err(LineError::NotJson(_))), "{text}");
        }
        let deep = format!("{{\"id\":\"a\",\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(classify(deep.as_bytes()), Ok(Kind::Bead(_))), "skipped without recursion");
        assert_eq!(classify(b"{}"), Err(LineError::NoId));
        for id in ["", "a\\nb", &"x".repeat(ID_BYTES_MAX + 1)] {
            assert_eq!(classify(format!("{{\"id\":\"{id}\"}}").as_bytes()), Err(LineError::BadId), "{id}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = classify(&bytes);
        }
    }
}
