//! What holds of every scan, for fuzzing and property tests.

use super::scan::{Known, LINES_MAX, scan};

/// Takes arbitrary bytes apart as a beads file; says what contradicts itself, if anything does.
pub fn contradiction(content: &[u8]) -> Option<String> {
    let found = scan(content, [1; 20], &Known::default()).ok()?;
    let mut at = 0;
    for span in &found.spans {
        if span.whole.start != at || span.text.start < span.whole.start || span.text.end > span.whole.end {
            return Some(format!("a line at {:?} where {at} was next", span.whole));
        }
        at = span.whole.end;
    }
    if at != content.len() || found.spans.len() > LINES_MAX {
        return Some(format!("{at} of {} bytes in {} lines", content.len(), found.spans.len()));
    }
    let named = found.snapshot.beads_total as usize;
    if found.beads().len() != named || found.snapshot.changed.len() != named {
        return Some(format!("{named} beads, {} new, {} found", found.snapshot.changed.len(), found.beads().len()));
    }
    let again = scan(content, [1; 20], &found.known).ok()?;
    if !again.snapshot.changed.is_empty() || !again.snapshot.missing.is_empty() {
        return Some(format!("a second look at the same bytes sees {:?}", again.snapshot));
    }
    (again.snapshot.broken_total != found.snapshot.broken_total).then(|| "other broken lines".to_owned())
}

#[cfg(test)]
mod tests {
    use super::contradiction;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_files_do_not_contradict_themselves(
            lines in proptest::collection::vec("(\\{\"id\":\"[ab]{0,2}\"(,\"title\":[\"x1])?\\}?|[ -~]{0,12})\r?", 0..12),
            ends in any::<bool>(),
        ) {
            let text = lines.join("\n") + if ends { "\n" } else { "" };
            prop_assert_eq!(contradiction(text.as_bytes()), None, "{:?}", text);
        }
    }
}
