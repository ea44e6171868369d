//! RFC 3339 texts as instants. The text is what is kept and shown; the instant is what is compared.

use jiff::Timestamp;

/// Longest text that is read as a time, in bytes.
const TIME_BYTES_MAX: usize = 64;

/// The instant of an RFC 3339 text in nanoseconds since the Unix epoch; `None` when it is no time.
pub fn instant_ns(text: &str) -> Option<i128> {
    if text.len() > TIME_BYTES_MAX {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_nanosecond)
}

/// A whole UTC second as RFC 3339 text (`2026-01-02T03:04:05Z`); `None` outside the years -9999 to 9999.
pub fn instant_text(second: i64) -> Option<String> {
    Some(Timestamp::from_second(second).ok()?.to_string())
}

/// The UTC second in which an instant lies.
pub(crate) fn second(ns: i128) -> i64 {
    // SAFETY of the cast: jiff's instants lie within the years -9999 to 9999.
    ns.div_euclid(1_000_000_000) as i64
}

/// An instant in whole milliseconds since the epoch; earlier ones are 0.
pub(crate) fn millis(ns: i128) -> u64 {
    u64::try_from(ns.div_euclid(1_000_000)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_fractions_are_one_instant() {
        let ns = instant_ns("2025-11-02T21:58:07.295058-08:00");
        assert!(ns.is_some());
        assert_eq!(ns, instant_ns("2025-11-03T05:58:07.295058000Z"));
        assert_eq!(ns.map(second), instant_ns("2025-11-03T05:58:07Z").map(second));
        assert_eq!(instant_ns("1969-12-31T23:59:59.5Z").map(second), Some(-1));
        assert_eq!(instant_ns("1969-12-31T23:59:59.5Z").map(millis), Some(0));
    }

    #[test]
    fn no_times() {
        for text in ["", "yesterday", "2025-13-01T00:00:00Z", "2025-01-01", &"2".repeat(10_000)] {
            assert_eq!(instant_ns(text), None, "{text:.40}");
        }
    }
}
