//! Text from outside, made fit to be shown on one line.

/// One line of at most `chars_max` characters: no control characters, no terminal sequences, no characters that turn
/// the direction of what follows. Lines are joined by " / ", empty ones left out.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for part in text.lines() {
        let part = plain(part);
        let part = part.trim();
        if !part.is_empty() {
            if !line.is_empty() {
                line.push_str(" / ");
            }
            line.push_str(part);
        }
    }
    line.chars().take(chars_max).collect()
}

/// As [`one_line`], but it is the end that is kept.
pub(crate) fn last_line(text: &str, chars_max: usize) -> String {
    let line = one_line(text, usize::MAX);
    let skip = line.chars().count().saturating_sub(chars_max);
    line.chars().skip(skip).collect()
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            // A terminal sequence goes up to its final letter.
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == '\t' {
            out.push(' ');
        } else if !c.is_control() && !turns(c) {
            out.push(c);
        }
    }
    out
}

/// Characters that make what follows look like something else.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{last_line, one_line};

    #[test]
    fn hostile_text_becomes_one_plain_line() {
        assert_eq!(one_line("a\u{1b}[31mred\u{1b}[0m\u{7}\r\n\n  b\tc\0\u{202e}", 500), "ared / b c");
        assert_eq!(one_line("\u{1b}[1;", 500), "");
        assert_eq!(one_line("abc", 2), "ab");
        assert_eq!(last_line("abc\ndef", 5), "/ def");
    }
}
