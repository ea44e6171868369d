//! What work uses, and how much it may use.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Millionths of a US dollar in one.
const MICROS: u64 = 1_000_000;

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens that a model read.
    pub tokens_in: u64,
    /// Tokens that it wrote.
    pub tokens_out: u64,
    /// Millionths of a US dollar.
    pub money_micros: u64,
}

impl Usage {
    /// Tokens, read and written.
    pub fn tokens(&self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        self.with(other, u64::saturating_add)
    }

    /// What is left of it without the other; never below nothing.
    #[must_use]
    pub fn minus(self, other: Usage) -> Usage {
        self.with(other, u64::saturating_sub)
    }

    /// Of each number the larger: two reports that count from one beginning, in any order.
    #[must_use]
    pub fn most(self, other: Usage) -> Usage {
        self.with(other, u64::max)
    }

    /// Nothing was used.
    pub fn is_nothing(&self) -> bool {
        *self == Usage::default()
    }

    fn with(self, other: Usage, f: impl Fn(u64, u64) -> u64) -> Usage {
        Usage {
            tokens_in: f(self.tokens_in, other.tokens_in),
            tokens_out: f(self.tokens_out, other.tokens_out),
            money_micros: f(self.money_micros, other.money_micros),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens, {}", self.tokens(), Money(self.money_micros))
    }
}

/// How much may be used; what is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub money_micros: Option<u64>,
}

impl Limit {
    /// There is none.
    pub fn is_none(&self) -> bool {
        *self == Limit::default()
    }

    /// Whether nothing more may be used.
    pub fn reached_by(&self, used: &Usage) -> bool {
        self.tokens.is_some_and(|max| used.tokens() >= max)
            || self.money_micros.is_some_and(|max| used.money_micros >= max)
    }

    /// What may still be used.
    #[must_use]
    pub fn rest(&self, used: &Usage) -> Limit {
        Limit {
            tokens: self.tokens.map(|max| max.saturating_sub(used.tokens())),
            money_micros: self.money_micros.map(|max| max.saturating_sub(used.money_micros)),
        }
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Limit) -> Limit {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Limit { tokens: least(self.tokens, other.tokens), money_micros: least(self.money_micros, other.money_micros) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tokens, self.money_micros) {
            (None, None) => f.write_str("no limit"),
            (Some(tokens), None) => write!(f, "{tokens} tokens"),
            (None, Some(money)) => write!(f, "{}", Money(money)),
            (Some(tokens), Some(money)) => write!(f, "{tokens} tokens or {}", Money(money)),
        }
    }
}

/// Millionths of a US dollar, for people.
struct Money(u64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MICROS, self.0 % MICROS);
        let digits = format!("{rest:06}");
        let digits = digits.trim_end_matches('0');
        write!(f, "{whole}.{digits:0<2} USD")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(tokens_in: u64, tokens_out: u64, money_micros: u64) -> Usage {
        Usage { tokens_in, tokens_out, money_micros }
    }

    #[test]
    fn limits_are_reached_and_combined() {
        let limit = Limit { tokens: Some(100), money_micros: Some(2_000_000) };
        assert!(!limit.reached_by(&used(50, 49, 1_999_999)));
        assert!(limit.reached_by(&used(50, 50, 0)) && limit.reached_by(&used(0, 0, 2_000_000)));
        assert!(!Limit::default().reached_by(&used(u64::MAX, u64::MAX, u64::MAX)));
        let rest = limit.rest(&used(90, 20, 500_000));
        assert_eq!(rest, Limit { tokens: Some(0), money_micros: Some(1_500_000) });
        assert!(rest.reached_by(&Usage::default()), "nothing may be begun");
        let other = Limit { tokens: Some(7), money_micros: None };
        assert_eq!(limit.and(other), Limit { tokens: Some(7), money_micros: Some(2_000_000) });
        assert_eq!(used(5, 0, 9).most(used(3, 4, 1)), used(5, 4, 9));
        assert_eq!(used(5, 0, 9).minus(used(6, 0, 1)), used(0, 0, 8));
    }

    #[test]
    fn people_read_dollars() {
        let money = |micros| Limit { tokens: None, money_micros: Some(micros) }.to_string();
        assert_eq!(money(2_500_000), "2.50 USD");
        assert_eq!(money(1), "0.000001 USD");
        assert_eq!(money(3_000_000), "3.00 USD");
        assert_eq!(Limit { tokens: Some(9), money_micros: Some(10_000) }.to_string(), "9 tokens or 0.01 USD");
        assert_eq!(used(1, 2, 120_000).to_string(), "3 tokens, 0.12 USD");
    }
}
