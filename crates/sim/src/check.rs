//! What must hold, judged by a model that shares nothing with the code under test: a list of who wrote what after
//! having been shown what.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What went wrong.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// One accepted edit: every value is unique, so that it can be told apart for ever.
#[derive(Debug, Clone)]
struct Edit {
    value: String,
    /// The value that its author was shown.
    over: Option<String>,
    /// Its author was told that it is kept; otherwise the machine died before it answered.
    sure: bool,
}

/// What users did and were told was kept.
#[derive(Debug, Default)]
pub(crate) struct Model {
    edits: BTreeMap<(String, String), Vec<Edit>>,
    beads: BTreeSet<String>,
    labels: BTreeMap<String, BTreeSet<String>>,
    comments: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    pub(crate) fn created(&mut self, id: &str, title: &str) {
        self.beads.insert(id.to_owned());
        self.wrote(id, "title", title, None, true);
    }

    /// A field was set to `value` by somebody who was shown `over`; `sure` if they were told that it is kept.
    pub(crate) fn wrote(&mut self, id: &str, field: &str, value: &str, over: Option<String>, sure: bool) {
        let at = (id.to_owned(), field.to_owned());
        self.edits.entry(at).or_default().push(Edit { value: value.to_owned(), over, sure });
    }

    pub(crate) fn labelled(&mut self, id: &str, label: &str) {
        self.labels.entry(id.to_owned()).or_default().insert(label.to_owned());
    }

    pub(crate) fn commented(&mut self, id: &str, text: &str) {
        self.comments.entry(id.to_owned()).or_default().insert(text.to_owned());
    }

    pub(crate) fn beads(&self) -> impl Iterator<Item = &String> {
        self.beads.iter()
    }

    pub(crate) fn edit_count(&self) -> usize {
        self.edits.values().map(Vec::len).sum()
    }

    /// Compares one bead, as `beads.show` answers, with everything that was accepted about it.
    pub(crate) fn check(&self, id: &str, answer: &Value) -> Result<(), String> {
        let bead = &answer["bead"];
        for ((_, field), edits) in self.edits.range((id.to_owned(), String::new())..).take_while(|((i, _), _)| i == id)
        {
            let mut live: BTreeSet<&str> = bead[field].as_str().into_iter().collect();
            for conflict in answer["conflicts"].as_array().into_iter().flatten() {
                if conflict["unit"] == format!("field:{field}").as_str() {
                    live.extend(
                        conflict["values"].as_array().into_iter().flatten().filter_map(|v| v["value"].as_str()),
                    );
                }
            }
            // An edit whose author was never told counts if somebody saw it.
            let seen = |e: &&Edit| {
                e.sure || live.contains(e.value.as_str()) || edits.iter().any(|o| o.over.as_ref() == Some(&e.value))
            };
            let overwritten: BTreeSet<&str> = edits.iter().filter(seen).filter_map(|e| e.over.as_deref()).collect();
            let must: BTreeSet<&str> =
                edits.iter().filter(seen).map(|e| e.value.as_str()).filter(|v| !overwritten.contains(v)).collect();
            if must != live {
                return Err(format!("{id}.{field}: accepted and not overwritten {must:?}, but live {live:?}"));
            }
        }
        let texts = |name: &str, member: &str| -> BTreeSet<String> {
            let list = bead[name].as_array().into_iter().flatten();
            list.filter_map(|v| if member.is_empty() { v.as_str() } else { v[member].as_str() }.map(str::to_owned))
                .collect()
        };
        let labels = texts("labels", "");
        let comments = texts("comments", "text");
        for (what, must, is) in [("label", self.labels.get(id), labels), ("comment", self.comments.get(id), comments)] {
            for text in must.into_iter().flatten() {
                if !is.contains(text) {
                    return Err(format!("{id}: {what} {text:?} was accepted and is gone"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lost_edit_is_noticed() {
        let mut model = Model::default();
        model.created("a", "t1");
        model.wrote("a", "title", "t2", Some("t1".to_owned()), true);
        model.wrote("a", "title", "t3", Some("t1".to_owned()), true);
        let conflict = json!([{"unit": "field:title", "values": [{"value": "t2"}, {"value": "t3"}]}]);
        assert_eq!(model.check("a", &json!({"bead": {"title": "t3"}, "conflicts": conflict})), Ok(()));
        assert!(model.check("a", &json!({"bead": {"title": "t3"}, "conflicts": []})).is_err());
        assert!(model.check("a", &json!({"bead": {"title": "t1"}, "conflicts": conflict})).is_err());
    }
}
