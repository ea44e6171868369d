//! Every format that a process leaves behind or sends: what is stored, signed, on the wire, or in a file of ours.
//!
//! Each is one entry of [`all`]: bytes in, a description and the bytes that today's program writes for it out. The golden
//! files (`golden/`, read by this crate's tests) hold what programs wrote so far; the fuzzer (`fuzz/`) holds [`probe`]
//! against anything. A new format, and a new version of one, needs an entry here and a golden file.

// Only what asks is real: this crate is for tests and fuzzing, and its panics are their failures.
#![allow(clippy::panic, clippy::expect_used)]

// Compiled from its place in `net`, so that nothing here needs libp2p.
#[allow(dead_code)]
#[path = "../../net/src/frames.rs"]
mod frames;
mod messages;
mod records;
mod signed;
mod texts;

use serde_json::Value;

/// What was read, and what would be written for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// What it says, as JSON: everything that matters, by name.
    pub value: Value,
    /// What today's program writes for that.
    pub bytes: Vec<u8>,
}

/// Reads one format; an error is a text for people.
pub type Read = fn(&[u8]) -> Result<Form, String>;

/// One format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// `group/name`: the group is what the fuzzer runs together.
    pub name: &'static str,
    /// The most bytes that are read; `None` where whoever reads the file, stream or store sets the limit.
    pub bytes_max: Option<usize>,
    /// Reads it.
    pub read: Read,
}

impl Format {
    /// A format without a limit of its own.
    pub const fn new(name: &'static str, read: Read) -> Format {
        Format { name, bytes_max: None, read }
    }

    /// A format that refuses what is longer.
    pub const fn limited(name: &'static str, bytes_max: usize, read: Read) -> Format {
        Format { name, bytes_max: Some(bytes_max), read }
    }

    /// The part of the name before the slash.
    pub fn group(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(group, _)| group)
    }
}

/// Every format, by group.
pub fn all() -> impl Iterator<Item = &'static Format> {
    [messages::FORMATS, signed::FORMATS, texts::FORMATS, records::FORMATS].into_iter().flatten()
}

/// Reads `input` as every format of a group and checks what must hold of whatever is accepted: it is within the limit,
/// and what is written for it reads back as the same and is written the same. Returns how many formats accepted it.
///
/// # Panics
/// When one of that does not hold, and when there is no such group.
pub fn probe(group: &str, input: &[u8]) -> usize {
    let mut formats = all().filter(|format| format.group() == group).peekable();
    assert!(formats.peek().is_some(), "no formats of the group {group:?}");
    formats.filter(|format| accepts(format, input)).count()
}

/// [`probe`] for one format.
///
/// # Panics
/// When something that is accepted does not survive being written and read.
pub fn accepts(format: &Format, input: &[u8]) -> bool {
    let Ok(first) = (format.read)(input) else { return false };
    let name = format.name;
    if let Some(max) = format.bytes_max {
        assert!(input.len() <= max, "{name}: {} bytes accepted where {max} are allowed", input.len());
    }
    let again = (format.read)(&first.bytes).unwrap_or_else(|err| {
        panic!("{name}: what was written cannot be read: {err}: {:?}", String::from_utf8_lossy(&first.bytes))
    });
    assert!(again.value == first.value, "{name}: read {}, then {}", first.value, again.value);
    assert!(again.bytes == first.bytes, "{name}: written differently the second time: {}", first.value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn loses_the_end(bytes: &[u8]) -> Result<Form, String> {
        Ok(Form { value: Value::from(bytes.len()), bytes: bytes[..bytes.len() / 2].to_vec() })
    }

    fn writes_what_it_does_not_read(bytes: &[u8]) -> Result<Form, String> {
        let read = bytes.is_ascii().then(|| Form { value: Value::Null, bytes: vec![0xff] });
        read.ok_or_else(|| "not ascii".to_owned())
    }

    fn takes_anything(bytes: &[u8]) -> Result<Form, String> {
        Ok(Form { value: Value::Null, bytes: bytes.to_vec() })
    }

    #[test]
    fn a_format_that_breaks_a_promise_is_seen() {
        let seen = |format: Format, input: &'static [u8]| catch_unwind(|| accepts(&format, input)).is_err();
        assert!(seen(Format::new("a/loses", loses_the_end), b"four"));
        assert!(seen(Format::new("a/writes", writes_what_it_does_not_read), b"four"));
        assert!(seen(Format::limited("a/takes", 3, takes_anything), b"four"));
        assert!(!seen(Format::limited("a/takes", 4, takes_anything), b"four"));
        assert!(!accepts(&Format::new("a/writes", writes_what_it_does_not_read), b"\xff"));
        assert!(catch_unwind(|| probe("no-such-group", b"")).is_err());
    }
}
