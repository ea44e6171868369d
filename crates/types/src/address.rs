//! Where work and mail go: `<host>:<rig>/<role>/<name>` (Gas Town's own form with the machine in front).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest address in bytes.
pub const ADDRESS_LEN_MAX: usize = 256;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Longer than [`ADDRESS_LEN_MAX`].
    #[error("address longer than {ADDRESS_LEN_MAX} bytes")]
    TooLong,
    /// A part is empty, or has a character outside `A-Z a-z 0-9 . _ -`.
    #[error("\"{0}\" is not a name: use letters, digits, '.', '_' and '-'")]
    Part(String),
}

/// An address. A bare host (`server`) or rig (`server:app`) is a target too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The machine's name in the mesh.
    pub host: String,
    /// `rig`, `role`, `name`: zero to three parts.
    pub path: Vec<String>,
}

fn part(text: &str) -> Result<String, AddressError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.starts_with(['.', '-']) || !text.chars().all(good) {
        return Err(AddressError::Part(text.chars().take(40).collect()));
    }
    Ok(text.to_owned())
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_LEN_MAX {
            return Err(AddressError::TooLong);
        }
        let (host, path) = text.split_once(':').unwrap_or((text, ""));
        let path = match path {
            "" if !text.contains(':') => Vec::new(),
            path => path.split('/').map(part).collect::<Result<Vec<_>, _>>()?,
        };
        if path.len() > 3 {
            return Err(AddressError::Part(path.join("/").chars().take(40).collect()));
        }
        Ok(Address { host: part(host)?, path })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if !self.path.is_empty() {
            write!(f, ":{}", self.path.join("/"))?;
        }
        Ok(())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for text in ["server", "server:app", "server:app/crew/max"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", ":", "server:", "server:a/b/c/d", "../x", "a b", "a\nb", "-x", "server:app//x", "a;b"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        assert_eq!("x".repeat(300).parse::<Address>(), Err(AddressError::TooLong));
    }
}
