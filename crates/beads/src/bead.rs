//! A bead as a value: what one line of a beads file says.

use crate::canon::{canonical, comment_key};
use crate::fields::{Rule, field, fields};
use crate::json::integer;
use crate::time::instant_ns;
use crate::unit::Unit;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Longest id of a bead, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// The id of a bead, e.g. `app-x1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BeadId(String);

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeadIdError {
    /// Empty.
    #[error("an empty id")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("an id longer than {ID_BYTES_MAX} bytes")]
    TooLong,
    /// Has a control character.
    #[error("an id with a control character")]
    Control,
}

impl BeadId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id under which a second bead of the same id is shown. Views may be longer than ids.
    pub(crate) fn view(&self, suffix: &str) -> BeadId {
        BeadId(format!("{}~{suffix}", self.0))
    }
}

impl FromStr for BeadId {
    type Err = BeadIdError;
    fn from_str(text: &str) -> Result<Self, BeadIdError> {
        if text.is_empty() {
            return Err(BeadIdError::Empty);
        }
        if text.len() > ID_BYTES_MAX {
            return Err(BeadIdError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BeadIdError::Control);
        }
        Ok(BeadId(text.to_owned()))
    }
}

impl fmt::Display for BeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BeadId({})", self.0)
    }
}

impl Serialize for BeadId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BeadId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A bead: its id and every other field as it was written, known, legacy and unknown ones. Derived fields are not
/// kept, nor the bead's own id inside edges and comments.
///
/// Compare by [`Bead::same`]: two texts of one instant, or two orders of labels, are one value.
#[derive(Clone, Debug)]
pub struct Bead {
    /// The id that the line has.
    pub id: BeadId,
    pub(crate) fields: Map<String, Value>,
}

impl Bead {
    /// A bead without any field.
    pub fn new(id: BeadId) -> Bead {
        Bead { id, fields: Map::new() }
    }

    /// The value of a field as it was written.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The text of a field; empty when it is absent or no text.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// The priority; an absent one is 0.
    pub fn priority(&self) -> i64 {
        self.fields.get("priority").and_then(Value::as_number).and_then(|n| integer(n.as_str())).unwrap_or(0)
    }

    /// Sets a field, or takes it away. Types are checked where the writes are applied. Ids and derived fields
    /// cannot be set; false then.
    pub fn set(&mut self, name: &str, value: Option<Value>) -> bool {
        if matches!(field(name).map(|f| f.rule), Some(Rule::Id | Rule::Derived)) {
            return false;
        }
        match value {
            Some(value) => {
                self.fields.insert(name.to_owned(), value);
            }
            None => {
                self.fields.shift_remove(name);
            }
        }
        true
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.fields.get(name).and_then(Value::as_array).into_iter().flatten()
    }

    /// The labels as they are written, repetitions included.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.list("labels").filter_map(Value::as_str)
    }

    /// The edges: target and members.
    pub fn dependencies(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        self.list("dependencies")
            .filter_map(Value::as_object)
            .filter_map(|dep| Some((dep.get("depends_on_id")?.as_str()?, dep)))
    }

    /// The comments.
    pub fn comments(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.list("comments").filter_map(Value::as_object)
    }

    /// Adds a label, or takes it away.
    pub fn set_label(&mut self, label: &str, present: bool) {
        let mut labels: Vec<Value> = self.labels().filter(|l| *l != label).map(Value::from).collect();
        if present {
            labels.push(Value::from(label));
        }
        self.put_list("labels", labels);
    }

    /// Puts an edge to a target in place of any other to it (members such as `type`, `created_at`), or takes it away.
    pub fn set_dependency(&mut self, target: &str, members: Option<Map<String, Value>>) {
        let mut deps: Vec<Value> = self
            .list("dependencies")
            .filter(|d| d.get("depends_on_id").and_then(Value::as_str) != Some(target))
            .cloned()
            .collect();
        if let Some(members) = members {
            deps.push(dependency(target, &members));
        }
        self.put_list("dependencies", deps);
    }

    /// Adds a comment; `created_at` is RFC 3339.
    pub fn add_comment(&mut self, author: &str, text: &str, created_at: &str) {
        let mut comment = Map::new();
        comment.insert("author".into(), Value::from(author));
        comment.insert("text".into(), Value::from(text));
        comment.insert("created_at".into(), Value::from(created_at));
        let mut comments: Vec<Value> = self.list("comments").cloned().collect();
        comments.push(Value::Object(comment));
        self.put_list("comments", comments);
    }

    fn put_list(&mut self, name: &str, list: Vec<Value>) {
        self.set(name, (!list.is_empty()).then_some(Value::Array(list)));
    }

    /// Takes the comment ids of `local`, the same bead as a workspace has it: ids belong to that workspace's
    /// database. Comments that it does not know stay without.
    pub fn adopt_comment_ids(&mut self, local: &Bead) {
        let known: HashMap<[u8; 16], &Value> =
            local.comments().filter_map(|c| Some((comment_key(c)?, c.get("id")?))).collect();
        let Some(Value::Array(comments)) = self.fields.get_mut("comments") else { return };
        for comment in comments.iter_mut().filter_map(Value::as_object_mut) {
            let id = comment_key(comment).and_then(|key| known.get(&key).copied());
            comment.shift_remove("id");
            if let Some(id) = id {
                comment.shift_insert(0, "id".into(), id.clone());
            }
        }
    }

    /// The values of every unit that the bead has, absent ones left out. The priority is always there.
    pub fn units(&self) -> BTreeMap<Unit, Value> {
        let mut out = BTreeMap::new();
        let (mut lifecycle, mut compaction) = (Map::new(), Map::new());
        for (name, value) in &self.fields {
            match Unit::of_field(name) {
                Some(Unit::Lifecycle) => drop(lifecycle.insert(name.clone(), value.clone())),
                Some(Unit::Compaction) => drop(compaction.insert(name.clone(), value.clone())),
                Some(unit) => keep(&mut out, unit, value.clone()),
                None => {}
            }
        }
        keep(&mut out, Unit::Lifecycle, Value::Object(lifecycle));
        keep(&mut out, Unit::Compaction, Value::Object(compaction));
        out.entry(Unit::Field("priority".into())).or_insert_with(|| Value::from(0));
        for label in self.labels() {
            out.insert(Unit::Label(label.to_owned()), Value::Bool(true));
        }
        for (target, dep) in self.dependencies() {
            let mut value = dep.clone();
            value.shift_remove("depends_on_id");
            value.shift_remove("issue_id");
            out.insert(Unit::Dep(target.to_owned()), Value::Object(value));
        }
        for comment in self.comments() {
            if let Some(key) = comment_key(comment) {
                let mut value = comment.clone();
                value.shift_remove("id");
                value.shift_remove("issue_id");
                out.insert(Unit::Comment(key), Value::Object(value));
            }
        }
        out
    }

    /// Whether two beads are equal by value: id and every unit.
    pub fn same(&self, other: &Bead) -> bool {
        let form = |bead: &Bead| -> Vec<_> {
            bead.units().into_iter().map(|(unit, v)| (canonical(&unit, Some(&v)), unit)).collect()
        };
        self.id == other.id && form(self) == form(other)
    }

    /// The bead that has these units.
    pub(crate) fn from_units<'a>(id: BeadId, units: impl Iterator<Item = (&'a Unit, &'a Value)>) -> Bead {
        let mut bead = Bead::new(id);
        let (mut labels, mut deps, mut comments) = (Vec::new(), Vec::new(), Vec::new());
        for (unit, value) in units {
            match (unit, value) {
                (Unit::Field(name), v) => drop(bead.fields.insert(name.clone(), v.clone())),
                (Unit::CreatedAt, v) => drop(bead.fields.insert("created_at".into(), v.clone())),
                (Unit::UpdatedAt, v) => drop(bead.fields.insert("updated_at".into(), v.clone())),
                (Unit::Lifecycle | Unit::Compaction, Value::Object(members)) => {
                    bead.fields.extend(members.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
                (Unit::Label(label), _) => labels.push(Value::from(label.as_str())),
                (Unit::Dep(target), Value::Object(members)) => deps.push(dependency(target, members)),
                (Unit::Comment(key), v) => comments.push((comment_time(v), *key, v)),
                _ => {}
            }
        }
        if !bead.fields.get("priority").is_some_and(Value::is_number) {
            bead.fields.insert("priority".into(), Value::from(0));
        }
        comments.sort_unstable_by_key(|(at, key, _)| (*at, *key));
        bead.put_list("labels", labels);
        bead.put_list("dependencies", deps);
        bead.put_list("comments", comments.into_iter().map(|(_, _, v)| v.clone()).collect());
        bead
    }

    /// The line of a beads file, without a newline: known fields in bd's order, then unknown ones.
    pub fn to_line(&self) -> String {
        let mut out = String::with_capacity(512);
        // SAFETY of the ignored results: writing into a String cannot fail.
        let _ = write!(out, "{{\"id\":{}", Value::from(self.id.as_str()));
        for def in fields() {
            let Some(value) = self.fields.get(def.name) else { continue };
            let _ = match def.rule {
                Rule::Dependencies | Rule::Comments => {
                    write!(out, ",\"{}\":{}", def.name, self.with_issue_id(value, def.rule))
                }
                _ => write!(out, ",\"{}\":{value}", def.name),
            };
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| field(name).is_none()) {
            let _ = write!(out, ",{}:{value}", Value::from(name.as_str()));
        }
        out.push('}');
        out
    }

    /// Edges and comments with the bead's id, where bd has it: first in an edge, after the id in a comment.
    fn with_issue_id(&self, list: &Value, rule: Rule) -> Value {
        let Value::Array(items) = list else { return list.clone() };
        let id = Value::from(self.id.as_str());
        let with = |item: &Value| match item {
            Value::Object(map) => {
                let mut map = map.clone();
                let at = usize::from(rule == Rule::Comments && map.contains_key("id"));
                if at == 1 {
                    let own = map.shift_remove("id").unwrap_or(Value::Null);
                    map.shift_insert(0, "id".into(), own);
                }
                map.shift_insert(at, "issue_id".into(), id.clone());
                Value::Object(map)
            }
            other => other.clone(),
        };
        Value::Array(items.iter().map(with).collect())
    }
}

fn keep(out: &mut BTreeMap<Unit, Value>, unit: Unit, value: Value) {
    if canonical(&unit, Some(&value)).is_some() {
        out.insert(unit, value);
    }
}

fn comment_time(comment: &Value) -> i128 {
    comment.get("created_at").and_then(Value::as_str).and_then(instant_ns).unwrap_or(0)
}

/// An edge as a line has it, apart from `issue_id`: bd's members in bd's order, then the others.
fn dependency(target: &str, members: &Map<String, Value>) -> Value {
    let mut dep = Map::new();
    dep.insert("depends_on_id".into(), Value::from(target));
    for name in ["type", "created_at", "created_by", "metadata", "thread_id"] {
        if let Some(value) = members.get(name) {
            dep.insert(name.into(), value.clone());
        }
    }
    for (name, value) in members {
        if !dep.contains_key(name) && name != "issue_id" {
            dep.insert(name.clone(), value.clone());
        }
    }
    Value::Object(dep)
}
