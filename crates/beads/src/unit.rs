//! What one write is about: the smallest part of a bead that is decided on its own.

use crate::birth::Birth;
use crate::fields::{Rule, field};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Longest label, edge target or field name, in bytes.
pub const UNIT_BYTES_MAX: usize = 1024;

/// A part of a bead that is written and merged on its own. Its serialised form is its text. See `docs/fields.md` for the rule of every field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// That the bead came to be: `{created, title, tombstone?}`.
    Birth,
    /// A field with a register of its own, known or unknown.
    Field(String),
    /// Status and everything that changes with it, as one object.
    Lifecycle,
    /// What bd's compaction did, as one object.
    Compaction,
    /// When the bead was created: the earliest wins.
    CreatedAt,
    /// When it was last changed: the latest wins.
    UpdatedAt,
    /// One label; observed-remove.
    Label(String),
    /// The edge to one target.
    Dep(String),
    /// One comment, by the hash of author, UTC second and text; never removed.
    Comment([u8; 16]),
    /// That the bead is deleted, together with what the deleter saw.
    Delete,
    /// Whether another birth under the same id is the same bead: `"same"` or `"split"`.
    Relation(Birth),
    /// One step of the transcript of slung work (see [`crate::WorkStep`]), by the first half of its event id; never
    /// removed.
    Work([u8; 16]),
}

/// Why a text or a unit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not the text form of a unit.
    #[error("\"{0}\" is not a unit")]
    Unknown(String),
    /// Longer than [`UNIT_BYTES_MAX`].
    #[error("a name longer than {UNIT_BYTES_MAX} bytes")]
    TooLong,
    /// The field is part of another unit, or is derived and never written.
    #[error("field \"{0}\" has no register of its own")]
    NotARegister(String),
}

impl Unit {
    /// Whether the unit's writes say nothing about what the bead is: they neither conflict nor bring a deleted
    /// bead back.
    pub fn is_companion(&self) -> bool {
        matches!(
            self,
            Unit::Birth | Unit::CreatedAt | Unit::UpdatedAt | Unit::Delete | Unit::Relation(_) | Unit::Work(_)
        )
    }

    /// Whether the unit can be seen in a line of a beads file.
    pub fn in_line(&self) -> bool {
        !matches!(self, Unit::Birth | Unit::Delete | Unit::Relation(_) | Unit::Work(_))
    }

    /// The unit that a field of a line belongs to; `None` for ids, derived fields and the sets
    /// (labels, dependencies, comments), whose members are units each.
    pub fn of_field(name: &str) -> Option<Unit> {
        match field(name).map(|f| f.rule) {
            None | Some(Rule::Register) => Some(Unit::Field(name.to_owned())),
            Some(Rule::Lifecycle) => Some(Unit::Lifecycle),
            Some(Rule::Compaction) => Some(Unit::Compaction),
            Some(Rule::Min) => Some(Unit::CreatedAt),
            Some(Rule::Max) => Some(Unit::UpdatedAt),
            Some(Rule::Id | Rule::Derived | Rule::Labels | Rule::Dependencies | Rule::Comments) => None,
        }
    }

    /// Checks lengths and that a field has a register of its own.
    ///
    /// # Errors
    /// [`UnitError`].
    pub fn check(&self) -> Result<(), UnitError> {
        match self {
            Unit::Label(name) | Unit::Dep(name) | Unit::Field(name) if name.len() > UNIT_BYTES_MAX => {
                Err(UnitError::TooLong)
            }
            Unit::Field(name) if Unit::of_field(name).as_ref() != Some(self) => {
                Err(UnitError::NotARegister(name.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Birth => f.write_str("birth"),
            Unit::Field(name) => write!(f, "field:{name}"),
            Unit::Lifecycle => f.write_str("lifecycle"),
            Unit::Compaction => f.write_str("compaction"),
            Unit::CreatedAt => f.write_str("created_at"),
            Unit::UpdatedAt => f.write_str("updated_at"),
            Unit::Label(text) => write!(f, "label:{text}"),
            Unit::Dep(target) => write!(f, "dep:{target}"),
            Unit::Comment(key) => write!(f, "comment:{}", hex::encode(key)),
            Unit::Delete => f.write_str("delete"),
            Unit::Relation(other) => write!(f, "relation:{other}"),
            Unit::Work(key) => write!(f, "work:{}", hex::encode(key)),
        }
    }
}

impl FromStr for Unit {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let unknown = || UnitError::Unknown(text.chars().take(40).collect());
        let unit = match text.split_once(':') {
            None => match text {
                "birth" => Unit::Birth,
                "lifecycle" => Unit::Lifecycle,
                "compaction" => Unit::Compaction,
                "created_at" => Unit::CreatedAt,
                "updated_at" => Unit::UpdatedAt,
                "delete" => Unit::Delete,
                _ => return Err(unknown()),
            },
            Some(("field", name)) => Unit::Field(name.to_owned()),
            Some(("label", name)) => Unit::Label(name.to_owned()),
            Some(("dep", target)) => Unit::Dep(target.to_owned()),
            Some(("comment", key)) => Unit::Comment(half(key).ok_or_else(unknown)?),
            Some(("work", key)) => Unit::Work(half(key).ok_or_else(unknown)?),
            Some(("relation", birth)) => Unit::Relation(birth.parse().map_err(|_| unknown())?),
            Some(_) => return Err(unknown()),
        };
        unit.check()?;
        Ok(unit)
    }
}

/// Half of a hash, in hexadecimal.
fn half(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        let units = [
            Unit::Birth,
            Unit::Field("title".into()),
            Unit::Field("a field: of its own".into()),
            Unit::Lifecycle,
            Unit::Compaction,
            Unit::CreatedAt,
            Unit::UpdatedAt,
            Unit::Label(String::new()),
            Unit::Label("a:b\n".into()),
            Unit::Dep("bd-1".into()),
            Unit::Comment([7; 16]),
            Unit::Delete,
            Unit::Relation(Birth([9; 8])),
            Unit::Work([3; 16]),
        ];
        for unit in units {
            assert_eq!(unit.to_string().parse::<Unit>(), Ok(unit));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "title", "comment:zz", "relation:1", "field", "x:y", "comment:"] {
            assert!(matches!(text.parse::<Unit>(), Err(UnitError::Unknown(_))), "{text}");
        }
        for name in ["status", "updated_at", "labels", "id", "content_hash", "comments", "compaction_level"] {
            let text = format!("field:{name}");
            assert_eq!(text.parse::<Unit>(), Err(UnitError::NotARegister(name.into())), "{text}");
        }
        let long = format!("label:{}", "x".repeat(UNIT_BYTES_MAX + 1));
        assert_eq!(long.parse::<Unit>(), Err(UnitError::TooLong));
    }
}
