//! What was signed about slung work, read from a disk by itself: nothing of how the engine reads it is used.

use crate::disk::records;
use engine::Memory;
use identity::Event;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use types::Table;

#[derive(Clone, Debug)]
struct Signed {
    id: String,
    by: String,
    body: Value,
}

impl Signed {
    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    fn fence(&self) -> (u64, u64) {
        let part = |at: usize| self.body["f"][at].as_u64().unwrap_or(0);
        (part(0), part(1))
    }
}

/// Steps by bead.
#[derive(Debug, Default)]
pub(super) struct Books(BTreeMap<String, BTreeMap<String, Signed>>);

impl Books {
    /// Every step in every op that a disk holds. The space is public: ops are readable as they are.
    pub(super) fn read(disk: &Memory) -> Result<Books, String> {
        let mut books = Books::default();
        for (_, json) in records(disk, Table::Ops) {
            let op: Value = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
            let body: Value =
                serde_json::from_str(op["content"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
            for bead in body["b"].as_array().into_iter().flatten() {
                for write in bead["w"].as_array().into_iter().flatten() {
                    let Some(text) = write["x"]["ev"].as_str() else { continue };
                    let event = Event::verify(text.as_bytes()).map_err(|e| format!("a step is not signed: {e}"))?;
                    let body: Value = serde_json::from_str(event.content()).map_err(|e| e.to_string())?;
                    let id = event.id().to_string();
                    let signed = Signed { id: id.clone(), by: event.pubkey().to_string(), body };
                    let of = bead["id"].as_str().unwrap_or_default().to_owned();
                    books.0.entry(of).or_default().insert(id, signed);
                }
            }
        }
        Ok(books)
    }

    fn of<'a>(&'a self, bead: &str, what: &'a str) -> impl Iterator<Item = &'a Signed> {
        self.0.get(bead).into_iter().flat_map(BTreeMap::values).filter(move |step| step.text("s") == what)
    }

    /// The highest fence under which an offer was granted.
    fn highest(&self, bead: &str, offer: &str) -> (u64, u64) {
        self.of(bead, "grant").filter(|g| g.text("o") == offer).map(Signed::fence).max().unwrap_or_default()
    }

    /// Grants with a good verdict by who granted.
    fn good<'a>(&'a self, bead: &'a str, offer: &'a str) -> Vec<&'a Signed> {
        let verdict = |grant: &Signed| {
            self.of(bead, "verdict").any(|v| v.text("g") == grant.id && v.body["ok"] == true && v.by == grant.by)
        };
        self.of(bead, "grant").filter(|g| g.text("o") == offer && verdict(g)).collect()
    }

    /// Whether the result of a bead's work was accepted, under the fence that counts.
    pub(super) fn accepted(&self, bead: &str) -> bool {
        self.of(bead, "offer")
            .any(|offer| self.good(bead, &offer.id).iter().any(|grant| grant.fence() == self.highest(bead, &offer.id)))
    }

    /// Promise 2, over everything that was signed. `forced`: the coordinator was moved while it was cut off, so it may
    /// have accepted what no longer counts.
    pub(super) fn check(&self, forced: bool) -> Result<(), String> {
        for bead in self.0.keys() {
            let mut fences = BTreeSet::new();
            for grant in self.of(bead, "grant") {
                if !fences.insert(grant.fence()) {
                    return Err(format!("{bead} was granted twice under fence {:?}", grant.fence()));
                }
            }
            for answer in ["accept", "result"] {
                let mut seen = BTreeMap::new();
                for step in self.of(bead, answer) {
                    let Some(grant) = self.of(bead, "grant").find(|g| g.id == step.text("g")) else {
                        return Err(format!("{bead}: {answer} of a grant that nobody knows"));
                    };
                    if grant.text("w") != step.by {
                        return Err(format!("{bead}: {answer} by somebody else than the worker"));
                    }
                    if answer == "result" && seen.insert(grant.id.clone(), step.id.clone()).is_some() {
                        return Err(format!("{bead}: two results under fence {:?}", grant.fence()));
                    }
                }
            }
            for offer in self.of(bead, "offer") {
                let good = self.good(bead, &offer.id);
                let counted = good.iter().filter(|g| g.fence() == self.highest(bead, &offer.id)).count();
                if counted > 1 || (good.len() > 1 && !forced) {
                    return Err(format!("{bead}: {} results of one offer were accepted", good.len()));
                }
            }
            for verdict in self.of(bead, "verdict").filter(|v| v.body["ok"] == true) {
                let result = self.of(bead, "result").find(|r| r.id == verdict.text("of"));
                if result.is_none_or(|r| r.text("g") != verdict.text("g") || r.text("out") != "done") {
                    return Err(format!("{bead}: accepted what is no good result of that grant"));
                }
            }
        }
        Ok(())
    }

    /// How much of what there is.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut out = BTreeMap::new();
        let kinds = [
            ("offer", "offers"),
            ("grant", "grants"),
            ("accept", "accepts"),
            ("decline", "declines"),
            ("result", "results"),
            ("verdict", "verdicts"),
            ("cancel", "cancels"),
        ];
        for (kind, name) in kinds {
            let n = self.0.keys().map(|bead| self.of(bead, kind).count() as u64).sum();
            out.insert(name, n);
        }
        out.insert("done", self.0.keys().filter(|bead| self.accepted(bead)).count() as u64);
        out
    }
}
