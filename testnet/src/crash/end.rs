//! The end of a crash run: all nodes run, agree, and have everything.

use super::Story;
use super::ledger::{Claim, Edit};
use crate::compare::difference;
use crate::node::{Node, PATIENCE};
use crate::wait::wait_until;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::Path;

impl Story {
    pub(super) fn end(&mut self) -> Result<()> {
        self.revive()?;
        // What is in files is taken in when it is seen; until then nodes may agree without it.
        let late = |ledger: &super::ledger::Ledger, node: &Node| -> Result<Vec<String>> {
            let missing = ledger.missing(&node.export()?, |edit| edit.by_file).into_iter().map(|e| format!("{e:?}"));
            Ok(missing.collect())
        };
        let taken_in = wait_until("edits in files are everywhere", PATIENCE, || {
            for node in self.net.nodes() {
                let missing = late(&self.ledger, node)?;
                if !missing.is_empty() {
                    return Ok(Err(format!("{} lacks {}", node.name, missing.join(", "))));
                }
            }
            Ok(Ok(()))
        });
        self.net.converged()?;
        self.count_lost()?;
        if self.report.lost.is_empty() {
            // Otherwise they are told one by one.
            taken_in.or_else(|err| if self.report.as_conflict > 0 { Ok(()) } else { Err(err) })?;
        }
        self.net.files_equal()?;
        for at in 0..self.net.nodes().len() {
            self.check_node(at)?;
        }
        Ok(())
    }

    fn count_lost(&mut self) -> Result<()> {
        for node in self.net.nodes() {
            let beads = node.export()?;
            let conflicts = node.json(&["beads", "conflicts"])?;
            for edit in self.ledger.missing(&beads, |_| true) {
                if is_listed(edit, &conflicts) {
                    self.report.as_conflict += 1;
                } else {
                    self.report.lost.push(format!("in the end on {}: {edit:?}", node.name));
                }
            }
        }
        let (accepted, by_file, in_doubt) = self.ledger.counts();
        (self.report.accepted, self.report.by_file, self.report.in_doubt) = (accepted, by_file, in_doubt);
        Ok(())
    }

    fn check_node(&self, at: usize) -> Result<()> {
        let node = &self.net[at];
        let shown = node.export()?;
        wait_until(&format!("{}: the file says what the export says", node.name), PATIENCE, || {
            let Ok(file) = node.file_beads() else { return Ok(Err("a file half written".to_owned())) };
            Ok(difference(&file, &shown).map_or(Ok(()), Err))
        })?;
        wait_until(&format!("{}: no temporary files", node.name), PATIENCE, || {
            let left = [leftovers(&node.work.join(".beads"))?, leftovers(&node.home)?].concat();
            Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
        })?;
        let status = node.json(&["status"])?;
        let counters = &status["counters"];
        ensure!(counters["fork"].is_null(), "{} saw a fork: {counters}", node.name);
        let was = self.incarnations.get(at).context("incarnation")?;
        ensure!(status["incarnation"] == was.as_str(), "{} has a new incarnation: {status}", node.name);
        ensure!(status["read_only"].is_null(), "{} only reads: {status}", node.name);
        ensure!(status["records_lost"].is_null(), "{} lost records: {status}", node.name);
        Ok(())
    }
}

/// Whether a node lists an edit's value as one of several.
fn is_listed(edit: &Edit, conflicts: &Value) -> bool {
    let Claim::Notes { id, value } = &edit.claim else { return false };
    let about = |conflict: &&Value| conflict["id"] == id.as_str() && conflict["unit"] == "notes";
    let mut values = conflicts["conflicts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(about)
        .flat_map(|conflict| conflict["values"].as_array().cloned().unwrap_or_default());
    values.any(|one| one["value"] == value.as_str())
}

/// Files that nobody needs any more, or that were put aside.
fn leftovers(dir: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if [".townmesh.", ".rescued-", ".tmp", ".part", ".new"].iter().any(|mark| name.contains(mark)) {
            left.push(name);
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_of_several_is_not_lost() {
        let claim = Claim::Notes { id: "a".into(), value: "1".into() };
        let edit = Edit { claim, node: 0, by_file: true, accepted: true };
        let listed = |id: &str, unit: &str, value: &str| json!({"conflicts": [{"id": id, "unit": unit, "values": [{"value": "2"}, {"value": value}]}]});
        assert!(is_listed(&edit, &listed("a", "notes", "1")));
        for (id, unit, value) in [("b", "notes", "1"), ("a", "title", "1"), ("a", "notes", "3")] {
            assert!(!is_listed(&edit, &listed(id, unit, value)));
        }
    }

    #[test]
    fn leftovers_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        assert!(leftovers(dir.path()).unwrap().is_empty());
        for name in [".issues.jsonl.townmesh.ab.cd.1-0", "issues.jsonl.rescued-ab", "issues.jsonl"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(leftovers(dir.path()).unwrap().len(), 2);
    }
}
