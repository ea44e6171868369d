//! Money and limits on the command line.

use super::output::{number, text};
use serde_json::Value;
use types::{Limit, Usage};

/// How much may be used.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LimitArgs {
    /// Tokens, read and written
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// US dollars, like 2.50
    #[arg(long, value_name = "USD", value_parser = micros)]
    money: Option<u64>,
}

impl LimitArgs {
    /// The limit that is meant.
    pub fn limit(self) -> Limit {
        Limit { tokens: self.tokens, money_micros: self.money }
    }
}

/// US dollars with at most six digits behind the point, in millionths.
pub fn micros(given: &str) -> Result<u64, String> {
    let bad = || "US dollars, like 2.50".to_owned();
    let (whole, rest) = given.split_once('.').unwrap_or((given, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || rest.len() > 6 || !digits(whole) || !digits(rest) {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let rest: u64 = format!("{rest:0<6}").parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(rest)).ok_or_else(bad)
}

/// What the API says of usage, for people.
pub fn used(value: &Value) -> Usage {
    Usage {
        tokens_in: number(value, "tokens_in"),
        tokens_out: number(value, "tokens_out"),
        money_micros: number(value, "money_micros"),
    }
}

/// What the API says of a limit, for people.
pub fn limit(value: &Value) -> Limit {
    Limit { tokens: value["tokens"].as_u64(), money_micros: value["money_micros"].as_u64() }
}

/// A name in a table; what has none is shown as a dash.
pub fn name<'a>(value: &'a Value, field: &str) -> &'a str {
    Some(text(value, field)).filter(|name| !name.is_empty()).unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(micros("2.50"), Ok(2_500_000));
        assert_eq!(micros("0.000001"), Ok(1));
        assert_eq!(micros("7"), Ok(7_000_000));
        for bad in ["", ".5", "-1", "1.0000001", "1e3", "1,5", "99999999999999999999", "18446744073709.6"] {
            assert!(micros(bad).is_err(), "{bad:?}");
        }
    }
}
