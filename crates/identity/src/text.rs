//! Names that come from others and are shown to people.

/// Longest name in bytes.
pub const LABEL_BYTES_MAX: usize = 200;

/// Whether a text is fit to be shown: not empty, not too long, no control character (a terminal would obey it)
/// and none that changes the reading direction.
pub(crate) fn is_label(text: &str) -> bool {
    let bad = |c: char| {
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    !text.is_empty() && text.len() <= LABEL_BYTES_MAX && !text.contains(bad)
}
