//! What was edited and what must be there in the end: a record of the harness's own.

use serde_json::Value;
use std::collections::BTreeMap;

/// What an edit says, chosen so that it can be looked for by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// A new bead with this title.
    Bead { id: String, title: String },
    /// A label that no other edit adds.
    Label { id: String, label: String },
    /// A comment that no other edit makes.
    Comment { id: String, text: String },
    /// The notes of a bead whose notes only one writer ever sets, one edit after the other.
    Notes { id: String, value: String },
}

/// One edit.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) claim: Claim,
    /// The node that it was given to.
    pub(super) node: usize,
    /// Whether it was put into the node's file; else the command line was used.
    pub(super) by_file: bool,
    /// Whether it counts as accepted: the command said so, or the file was in its place.
    pub(super) accepted: bool,
}

/// All edits in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    edits: Vec<Edit>,
}

type Beads = BTreeMap<String, Value>;

impl Ledger {
    pub(super) fn add(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    /// How many edits were accepted, how many of those through a file, and how many may or may not have been.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let accepted = self.edits.iter().filter(|edit| edit.accepted);
        let by_file = accepted.clone().filter(|edit| edit.by_file).count();
        let accepted = accepted.count();
        (accepted, by_file, self.edits.len() - accepted)
    }

    /// Accepted edits that `wanted` chooses and that these beads do not have.
    pub(super) fn missing<'a>(&'a self, beads: &Beads, wanted: impl Fn(&Edit) -> bool) -> Vec<&'a Edit> {
        let gone = |(at, edit): &(usize, &Edit)| edit.accepted && wanted(edit) && !self.is_there(*at, edit, beads);
        self.edits.iter().enumerate().filter(gone).map(|(_, edit)| edit).collect()
    }

    fn is_there(&self, at: usize, edit: &Edit, beads: &Beads) -> bool {
        let field = |id: &str, name: &str| beads.get(id).map(|bead| bead[name].clone()).unwrap_or_default();
        let any = |list: Value, is: &dyn Fn(&Value) -> bool| list.as_array().is_some_and(|all| all.iter().any(is));
        match &edit.claim {
            Claim::Bead { id, title } => field(id, "title") == title.as_str(),
            Claim::Label { id, label } => any(field(id, "labels"), &|one| one == label.as_str()),
            Claim::Comment { id, text } => any(field(id, "comments"), &|one| one["text"] == text.as_str()),
            Claim::Notes { id, value } => {
                // This value, or one that the same writer set later, whether it was accepted or not.
                let shown = field(id, "notes");
                shown == value.as_str()
                    || self.edits[at + 1..]
                        .iter()
                        .any(|later| matches!(&later.claim, Claim::Notes { id: i, value } if i == id && shown == value.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edit(claim: Claim, accepted: bool) -> Edit {
        Edit { claim, node: 0, by_file: false, accepted }
    }

    fn notes(value: &str, accepted: bool) -> Edit {
        edit(Claim::Notes { id: "a".into(), value: value.into() }, accepted)
    }

    fn lost(ledger: &Ledger, bead: Value) -> usize {
        ledger.missing(&Beads::from([("a".to_owned(), bead)]), |_| true).len()
    }

    #[test]
    fn each_kind_of_loss_is_noticed() {
        let mut ledger = Ledger::default();
        ledger.add(edit(Claim::Bead { id: "a".into(), title: "t".into() }, true));
        ledger.add(edit(Claim::Label { id: "a".into(), label: "l".into() }, true));
        ledger.add(edit(Claim::Comment { id: "a".into(), text: "c".into() }, true));
        ledger.add(edit(Claim::Label { id: "a".into(), label: "in doubt".into() }, false));
        let whole = json!({"title": "t", "labels": ["x", "l"], "comments": [{"text": "c"}]});
        assert_eq!(lost(&ledger, whole.clone()), 0);
        for field in ["title", "labels", "comments"] {
            let mut less = whole.clone();
            less[field] = json!(null);
            assert_eq!(lost(&ledger, less), 1, "{field}");
        }
        assert_eq!(ledger.missing(&Beads::new(), |_| true).len(), 3);
        assert_eq!(ledger.counts(), (3, 0, 1));
    }

    #[test]
    fn notes_may_be_replaced_by_later_ones_only() {
        let mut ledger = Ledger::default();
        for (value, accepted) in [("1", true), ("2", true), ("3", false)] {
            ledger.add(notes(value, accepted));
        }
        assert_eq!(lost(&ledger, json!({"notes": "3"})), 0);
        assert_eq!(lost(&ledger, json!({"notes": "2"})), 0);
        assert_eq!(lost(&ledger, json!({"notes": "1"})), 1);
        assert_eq!(lost(&ledger, json!({})), 2);
    }
}
