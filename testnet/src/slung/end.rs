//! The end of a run of kills: every bead is done or given up, on every node, and the programs' journal agrees.

use super::journal::Run;
use super::judge::{self, End};
use super::{END, Story};
use crate::node::Node;
use crate::wait::wait_until;
use anyhow::Result;
use serde_json::Value;

impl Story {
    pub(super) fn end(&mut self) -> Result<()> {
        for at in 0..self.beads.len() {
            if !self.beads[at].answered {
                // With the same key: slung once more, or for the first time.
                self.beads[at].answered = self.ask(&self.beads[at].id, self.beads[at].from)?;
            }
        }
        wait_until("everything that was slung is over on every node", END, || {
            self.net.converged()?;
            for node in self.net.nodes() {
                let open = node.json(&["work", "ls"])?;
                if open != Value::Array(Vec::new()) {
                    return Ok(Err(format!("{}: {open}", node.name)));
                }
            }
            Ok(Ok(()))
        })?;
        let runs = self.journal.runs()?;
        self.report.runs = runs.len();
        self.report.complete = runs.iter().filter(|run| run.ended).count();
        self.report.slung = self.beads.len();
        for bead in &self.beads {
            let of_bead: Vec<&Run> = runs.iter().filter(|run| run.bead == bead.id).collect();
            let (mut ends, mut wrong) = (Vec::new(), Vec::new());
            for node in self.net.nodes() {
                match look(node, &bead.id, &of_bead)? {
                    Ok((end, grants)) => ends.push((end, grants)),
                    Err(what) => wrong.push(format!("{}: {}: {what}", node.name, bead.id)),
                }
            }
            match judge::overlaps(&of_bead, &self.downs) {
                Ok(excused) => self.report.overlaps += excused,
                Err(what) => wrong.push(format!("{}: {what}", bead.id)),
            }
            match ends.split_first() {
                Some((first, rest)) if wrong.is_empty() && rest.iter().all(|other| other == first) => {
                    self.report.grants += first.1;
                    match &first.0 {
                        End::Done(_) => self.report.done += 1,
                        End::GivenUp(why) => self.report.given_up.push(format!("{}: {why}", bead.id)),
                    }
                }
                _ if wrong.is_empty() => wrong.push(format!("{}: nodes differ: {ends:?}", bead.id)),
                _ => {}
            }
            self.report.wrong.extend(wrong);
        }
        for node in self.net.nodes() {
            let kept = node.json(&["evidence", "ls"])?;
            if kept != Value::Array(Vec::new()) {
                self.report.wrong.push(format!("{}: evidence: {kept}", node.name));
            }
        }
        Ok(())
    }
}

/// What a node says of a bead, judged; with the number of its grants.
fn look(node: &Node, id: &str, of_bead: &[&Run]) -> Result<Result<(End, usize), String>> {
    let work = node.json(&["work", "show", id])?;
    let shown = node.json(&["beads", "show", id])?;
    let grants = work["grants"].as_array().map_or(0, Vec::len);
    Ok(judge::bead(&work, &shown).and_then(|end| judge::runs(&work, of_bead).map(|()| (end, grants))))
}
