//! What commands are made of.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::Limit;

/// Which space a command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpaceRef {
    /// A space's name or id; given with `--space`.
    pub space: Option<String>,
    /// The caller's directory: an attached workspace implies its space.
    pub cwd: Option<String>,
}

/// A field's new value in `beads set`: JSON, or `null` to clear it.
pub type FieldValue = serde_json::Value;

/// Changes to one bead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BeadChange {
    /// Fields to set; `null` clears.
    pub fields: BTreeMap<String, FieldValue>,
    /// Labels to add.
    pub add_labels: Vec<String>,
    /// Labels to remove.
    pub remove_labels: Vec<String>,
    /// Dependencies to add or retype: target, type.
    pub add_deps: Vec<(String, String)>,
    /// Dependencies to remove: targets.
    pub remove_deps: Vec<String>,
    /// Comments to add.
    pub comments: Vec<String>,
}

/// A change of the bead that is shown under an id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BeadEdit {
    /// Its shown id.
    pub id: String,
    /// What to change.
    #[serde(flatten)]
    pub change: BeadChange,
}

/// What is slung, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlingOrder {
    /// Which space.
    pub at: SpaceRef,
    /// The bead's shown id.
    pub id: String,
    /// `any` (the default), `HOST`, `HOST:RIG` or `HOST:RIG/ROLE/NAME`.
    pub target: Option<String>,
    /// The commit to begin at, a whole id.
    pub base: Option<String>,
    /// How long the worker may be silent, in milliseconds; 90 s by default.
    pub lease_ms: Option<u64>,
    /// Offers with one key by one host are one offer.
    pub key: Option<String>,
    /// How much may be used for it, in all attempts.
    pub cap: Limit,
    /// The convoy that it is part of: a bead's id.
    pub convoy: Option<String>,
    /// Answer when a result was accepted or nothing came of it, telling how far it is meanwhile.
    pub wait: bool,
}

/// What a person makes of a result that waits for review.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JudgeOrder {
    /// Which space.
    pub at: SpaceRef,
    /// The bead's shown id.
    pub id: String,
    /// Which attempt, if several wait.
    pub attempt: Option<u64>,
    /// Taken: the bead is closed, if it is open.
    pub good: bool,
    /// Why.
    pub reason: Option<String>,
}

/// How costs are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostsBy {
    /// By bead.
    Bead,
    /// By host and runner.
    Agent,
    /// By host.
    Host,
    /// By day (UTC).
    #[default]
    Day,
    /// By rig.
    Rig,
    /// By convoy.
    Convoy,
}

/// Changes in one `beads.batch`.
pub const BATCH_MAX: usize = 1_000;

/// Which of several live values a resolution keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The one that is shown.
    Shown,
    /// The nth of the list that `beads conflicts` prints, from 1.
    Nth(usize),
    /// A new value.
    Value(FieldValue),
}
