//! What must be shown, judged by a model that shares nothing with the code under test: a list of who wrote what after
//! having been shown what, and of who was cut off after which op.

use crate::disk::OpName;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A host lost the right to write. Ops behind these ends count nowhere.
#[derive(Clone, Debug)]
pub(crate) struct CutOff {
    pub(crate) host: [u8; 32],
    /// Per incarnation the last op that counts; incarnations that are not named have none.
    pub(crate) last: BTreeMap<u64, (u64, [u8; 32])>,
}

impl CutOff {
    fn cuts(&self, op: &OpName) -> bool {
        op.host == self.host
            && match self.last.get(&op.incarnation) {
                None => true,
                Some((seq, id)) => op.seq > *seq || (op.seq == *seq && op.id != *id),
            }
    }
}

/// One edit of a field: every value is unique, so that it can be told apart for ever.
#[derive(Clone, Debug)]
struct Edit {
    value: String,
    /// The value that its author was shown.
    over: Option<String>,
    how: How,
}

/// How much is known of something that was written.
#[derive(Clone, Debug)]
pub(crate) struct How {
    /// Its author was told that it is kept; otherwise the machine died before it answered.
    pub(crate) sure: bool,
    /// The op it is in.
    pub(crate) op: Option<OpName>,
}

/// Somebody deleted a bead after having been shown these values, labels and comments.
#[derive(Clone, Debug)]
struct Delete {
    seen: BTreeSet<String>,
    how: How,
}

/// What users did and were told was kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    edits: BTreeMap<(String, String), Vec<Edit>>,
    beads: BTreeSet<String>,
    /// Per bead and kind (`labels`, `comments`): what was added.
    members: BTreeMap<(String, &'static str), BTreeMap<String, How>>,
    deletes: BTreeMap<String, Vec<Delete>>,
    cut_offs: Vec<CutOff>,
}

impl Model {
    pub(crate) fn created(&mut self, id: &str, title: &str, how: How) {
        self.beads.insert(id.to_owned());
        self.wrote(id, "title", title, None, how);
    }

    /// A field was set to `value` by somebody who was shown `over`.
    pub(crate) fn wrote(&mut self, id: &str, field: &str, value: &str, over: Option<String>, how: How) {
        let at = (id.to_owned(), field.to_owned());
        self.edits.entry(at).or_default().push(Edit { value: value.to_owned(), over, how });
    }

    /// A label (`labels`) or a comment (`comments`) was added.
    pub(crate) fn added(&mut self, id: &str, kind: &'static str, text: &str, how: How) {
        self.members.entry((id.to_owned(), kind)).or_default().insert(text.to_owned(), how);
    }

    /// A bead was deleted by somebody who was given `answer` when it was shown.
    pub(crate) fn deleted(&mut self, id: &str, answer: &Value, how: How) {
        self.deletes.entry(id.to_owned()).or_default().push(Delete { seen: texts(answer), how });
    }

    pub(crate) fn cut_off(&mut self, cut: CutOff) {
        self.cut_offs.push(cut);
    }

    /// Whether a removal took this op's effect.
    pub(crate) fn void(&self, op: &OpName) -> bool {
        self.cut_offs.iter().any(|cut| cut.cuts(op))
    }

    /// Whether this host was removed or lowered.
    pub(crate) fn is_cut_off(&self, host: &[u8; 32]) -> bool {
        self.cut_offs.iter().any(|cut| cut.host == *host)
    }

    /// How many hosts were removed or lowered.
    pub(crate) fn cut_off_count(&self) -> usize {
        self.cut_offs.len()
    }

    pub(crate) fn beads(&self) -> impl Iterator<Item = &String> {
        self.beads.iter()
    }

    pub(crate) fn edit_count(&self) -> usize {
        self.edits.values().map(Vec::len).sum()
    }

    /// The op behind a value of a field.
    pub(crate) fn op_of(&self, id: &str, field: &str, value: &str) -> Option<OpName> {
        let edits = self.edits.get(&(id.to_owned(), field.to_owned()))?;
        edits.iter().find(|e| e.value == value)?.how.op
    }

    /// Everything in these ops is no longer sure: no disk has them.
    pub(crate) fn forget(&mut self, gone: &BTreeSet<OpName>) {
        let hows = self.edits.values_mut().flatten().map(|e| &mut e.how);
        let hows = hows.chain(self.members.values_mut().flat_map(BTreeMap::values_mut));
        let hows = hows.chain(self.deletes.values_mut().flatten().map(|d| &mut d.how));
        for how in hows.filter(|how| how.op.is_some_and(|op| gone.contains(&op))) {
            how.sure = false;
        }
    }

    fn counts(&self, how: &How) -> bool {
        !how.op.is_some_and(|op| self.void(&op))
    }

    /// Compares one bead, as `beads.show` answers (`None`: it is not shown), with everything that was written in it.
    pub(crate) fn check(&self, id: &str, answer: Option<&Value>) -> Result<(), String> {
        match answer {
            Some(answer) => self.check_shown(id, answer),
            None => self.check_hidden(id),
        }
    }

    fn check_shown(&self, id: &str, answer: &Value) -> Result<(), String> {
        for ((_, field), edits) in self.edits_of(id) {
            self.check_field(edits, &field_texts(answer, field)).map_err(|e| format!("{id}.{field}: {e}"))?;
        }
        for kind in ["labels", "comments"] {
            let shown = member_texts(answer, kind);
            for (text, how) in self.members.get(&(id.to_owned(), kind)).into_iter().flatten() {
                let is = shown.contains(text);
                if is && !self.counts(how) {
                    return Err(format!("{id}: {kind} {text:?} has effect although its author was cut off before it"));
                }
                if !is && how.sure && self.counts(how) {
                    return Err(format!("{id}: {kind} {text:?} was accepted and is gone"));
                }
            }
        }
        let live = texts(answer);
        let deletes = self.deletes.get(id).into_iter().flatten();
        match deletes.clone().find(|d| d.how.sure && self.counts(&d.how) && live.is_subset(&d.seen)) {
            Some(delete) => Err(format!("{id} is shown although {:?} deleted it having seen all of it", delete.how.op)),
            None => Ok(()),
        }
    }

    fn check_hidden(&self, id: &str) -> Result<(), String> {
        let nothing = BTreeSet::new();
        let must = self.accepted(id, &nothing);
        let mut deletes = self.deletes.get(id).into_iter().flatten().filter(|d| self.counts(&d.how));
        // What the author of a delete was shown was there, whether its own author was told or not.
        if must.is_empty() || deletes.any(|d| self.accepted(id, &d.seen).iter().all(|text| self.covers(d, id, text))) {
            return Ok(());
        }
        Err(format!("{id} is not shown although {must:?} was accepted and nobody deleted it having seen that"))
    }

    /// Whether a delete covers this: it was shown, or it came in the op that made the bead. A delete covers whole ops,
    /// and something of that one is always shown. (A title that was overwritten when the bead was deleted does not
    /// bring it back when whoever overwrote it is cut off.)
    fn covers(&self, delete: &Delete, id: &str, text: &str) -> bool {
        let made = self.edits.get(&(id.to_owned(), "title".to_owned())).and_then(|edits| edits.first());
        delete.seen.contains(text) || made.is_some_and(|first| first.value == text)
    }

    /// Everything of a bead that must be there when this is.
    fn accepted(&self, id: &str, there: &BTreeSet<String>) -> BTreeSet<String> {
        let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
        let mut must = BTreeSet::new();
        for (_, edits) in self.edits_of(id) {
            must.extend(self.must_and_may(edits, &there).0.into_iter().map(str::to_owned));
        }
        for kind in ["labels", "comments"] {
            let sure = self.members.get(&(id.to_owned(), kind)).into_iter().flatten();
            must.extend(sure.filter(|(_, how)| how.sure && self.counts(how)).map(|(text, _)| text.clone()));
        }
        must
    }

    fn edits_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = (&'a (String, String), &'a Vec<Edit>)> {
        self.edits.range((id.to_owned(), String::new())..).take_while(move |((i, _), _)| i == id)
    }

    /// Compares the live values of one field with what was written in it.
    fn check_field(&self, edits: &[Edit], live: &BTreeSet<&str>) -> Result<(), String> {
        let (must, may) = self.must_and_may(edits, live);
        if let Some(lost) = must.iter().find(|value| !live.contains(*value)) {
            return Err(format!("{lost:?} was accepted, nobody overwrote it, and it is gone: live {live:?}"));
        }
        match live.iter().find(|value| !may.contains(*value)) {
            Some(odd) => Err(format!("{odd:?} is live, and should not be: {must:?} should, {may:?} may")),
            None => Ok(()),
        }
    }

    /// The values that must be live, and those that may be, when these are. An edit whose author was never told counts
    /// when it is live. When it is not and somebody overwrote it, then its op is held or is not: what it overwrote
    /// itself may be live or not.
    fn must_and_may<'a>(&self, edits: &'a [Edit], live: &BTreeSet<&str>) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
        let (mut over, mut perhaps_over) = (BTreeSet::new(), BTreeSet::new());
        let mut values = BTreeSet::new();
        // Whoever overwrites was shown what he overwrites, so he comes later in the list.
        for edit in edits.iter().rev().filter(|e| self.counts(&e.how)) {
            let value = edit.value.as_str();
            if edit.how.sure || live.contains(value) {
                over.extend(edit.over.as_deref());
                values.insert(value);
            } else if over.contains(value) || perhaps_over.contains(value) {
                perhaps_over.extend(edit.over.as_deref());
            }
        }
        let may: BTreeSet<&str> = values.into_iter().filter(|value| !over.contains(value)).collect();
        (may.iter().copied().filter(|value| !perhaps_over.contains(value)).collect(), may)
    }
}

fn field_texts<'a>(answer: &'a Value, field: &str) -> BTreeSet<&'a str> {
    let mut live: BTreeSet<&str> = answer["bead"][field].as_str().into_iter().collect();
    for conflict in answer["conflicts"].as_array().into_iter().flatten() {
        if conflict["unit"] == format!("field:{field}").as_str() {
            live.extend(conflict["values"].as_array().into_iter().flatten().filter_map(|v| v["value"].as_str()));
        }
    }
    live
}

fn member_texts(answer: &Value, kind: &str) -> BTreeSet<String> {
    let list = answer["bead"][kind].as_array().into_iter().flatten();
    list.filter_map(|v| if kind == "labels" { v.as_str() } else { v["text"].as_str() }.map(str::to_owned)).collect()
}

/// The fields that people edit here.
pub(crate) const FIELDS: [&str; 4] = ["title", "description", "notes", "design"];

/// Everything of a bead that the model knows of. Who made it stands for what only the op that made it has written: edits
/// may be here before that op is (its author's clock may be ahead).
fn texts(answer: &Value) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ["labels", "comments"].iter().flat_map(|kind| member_texts(answer, kind)).collect();
    all.extend(answer["bead"]["created_by"].as_str().map(|who| format!("made by {who}")));
    all.extend(FIELDS.iter().flat_map(|field| field_texts(answer, field)).map(str::to_owned));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SURE: How = How { sure: true, op: None };

    fn by(host: u8, seq: u64) -> How {
        How { sure: true, op: Some(OpName { host: [host; 32], incarnation: 1, seq, id: [seq as u8; 32] }) }
    }

    fn over(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[test]
    fn a_delete_that_came_before_the_op_that_made_the_bead_need_not_hide_it() {
        let mut model = Model::default();
        model.created("a", "t1", SURE);
        model.wrote("a", "title", "t2", over("t1"), SURE);
        let early = json!({"bead": {"title": "t2"}});
        let whole = json!({"bead": {"title": "t2", "created_by": "host1"}});
        model.deleted("a", &early, SURE);
        assert_eq!(model.check("a", Some(&whole)), Ok(()));
        model.deleted("a", &whole, SURE);
        assert!(model.check("a", Some(&whole)).unwrap_err().contains("having seen all of it"));
    }

    #[test]
    fn a_lost_edit_is_noticed() {
        let mut model = Model::default();
        model.created("a", "t1", SURE);
        model.wrote("a", "title", "t2", over("t1"), SURE);
        model.wrote("a", "title", "t3", over("t1"), SURE);
        let conflict = json!([{"unit": "field:title", "values": [{"value": "t2"}, {"value": "t3"}]}]);
        assert_eq!(model.check("a", Some(&json!({"bead": {"title": "t3"}, "conflicts": conflict}))), Ok(()));
        assert!(model.check("a", Some(&json!({"bead": {"title": "t3"}, "conflicts": []}))).is_err());
        assert!(model.check("a", Some(&json!({"bead": {"title": "t1"}, "conflicts": conflict}))).is_err());
        assert!(model.check("a", None).is_err());
    }

    #[test]
    fn an_edit_that_nobody_was_told_of_may_be_there_or_not() {
        let mut model = Model::default();
        model.created("a", "t1", SURE);
        model.wrote("a", "title", "t2", over("t1"), How { sure: false, op: None });
        model.wrote("a", "title", "t3", over("t2"), How { sure: false, op: None });
        for (shown, good) in [("t1", true), ("t2", true), ("t3", true), ("t4", false)] {
            assert_eq!(model.check("a", Some(&json!({"bead": {"title": shown}}))).is_ok(), good, "{shown}");
        }
    }

    #[test]
    fn what_was_cut_off_has_no_effect_and_what_it_overwrote_lives_again() {
        let mut model = Model::default();
        model.created("a", "t1", by(1, 1));
        model.wrote("a", "title", "t2", over("t1"), by(2, 5));
        model.added("a", "labels", "l", by(2, 6));
        model.cut_off(CutOff { host: [2; 32], last: [(1, (5, [5; 32]))].into() });
        assert_eq!(model.check("a", Some(&json!({"bead": {"title": "t2"}}))), Ok(()));
        assert!(model.check("a", Some(&json!({"bead": {"title": "t2", "labels": ["l"]}}))).is_err());
        model.cut_off(CutOff { host: [2; 32], last: [(1, (4, [4; 32]))].into() });
        assert!(model.check("a", Some(&json!({"bead": {"title": "t2"}}))).is_err());
        assert_eq!(model.check("a", Some(&json!({"bead": {"title": "t1"}}))), Ok(()));
    }

    #[test]
    fn a_delete_covers_the_op_that_made_the_bead_even_when_its_title_was_overwritten() {
        let mut model = Model::default();
        model.created("a", "t1", by(1, 1));
        model.wrote("a", "title", "evil", over("t1"), by(2, 5));
        model.deleted("a", &json!({"bead": {"title": "evil"}}), SURE);
        model.cut_off(CutOff { host: [2; 32], last: BTreeMap::new() });
        assert_eq!(model.check("a", None), Ok(()));
        model.wrote("a", "title", "t2", over("t1"), by(1, 2));
        assert!(model.check("a", None).is_err());
    }

    #[test]
    fn a_bead_is_hidden_only_by_a_delete_that_saw_all_of_it() {
        let mut model = Model::default();
        model.created("a", "t1", SURE);
        let seen = json!({"bead": {"title": "t1"}});
        model.deleted("a", &seen, SURE);
        assert_eq!(model.check("a", None), Ok(()));
        assert!(model.check("a", Some(&seen)).is_err());
        model.added("a", "comments", "c", SURE);
        assert!(model.check("a", None).is_err());
        assert_eq!(model.check("a", Some(&json!({"bead": {"title": "t1", "comments": [{"text": "c"}]}}))), Ok(()));
    }
}
