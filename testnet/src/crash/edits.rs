//! Edits as people and tools make them: commands and files.

use super::Story;
use super::ledger::{Claim, Edit};
use crate::fixture;
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Shared beads: labels and comments of everybody.
const SHARED: usize = 10;

/// Beads whose notes one node sets by command, and as many that one node edits in its file.
const OWN: usize = 3;

/// Beads that a run needs.
pub(super) fn beads_needed(nodes: usize) -> usize {
    SHARED + 2 * OWN * nodes
}

impl Story {
    /// One random edit of a node that is up, or in the file of any node.
    pub(super) fn edit_somewhere(&mut self) -> Result<()> {
        let node = self.random.below(self.net.nodes().len());
        match self.random.below(8) {
            0 | 1 => self.edit_file(node),
            2 => self.burst(node),
            _ => {
                let edit = self.draw(node);
                self.command(edit)
            }
        }
    }

    /// Something to be said by command.
    fn draw(&mut self, node: usize) -> Edit {
        self.serial += 1;
        let n = self.serial;
        let shared = fixture::id(self.random.below(SHARED));
        let claim = match self.random.below(4) {
            0 => Claim::Bead { id: format!("crash-{n}"), title: format!("made by edit {n}") },
            1 => Claim::Label { id: shared, label: format!("l{n}") },
            2 => Claim::Comment { id: shared, text: format!("comment {n}") },
            _ => {
                let id = fixture::id(SHARED + node * OWN + self.random.below(OWN));
                Claim::Notes { id, value: format!("notes {n}") }
            }
        };
        Edit { claim, node, by_file: false, accepted: false }
    }

    /// Carries an edit out by command and notes what came of it.
    fn command(&mut self, mut edit: Edit) -> Result<()> {
        let answer = self.net[edit.node].cli(&args(&edit.claim).iter().map(String::as_str).collect::<Vec<_>>())?;
        self.note(&mut edit, answer.exit, &answer.stderr)
    }

    /// Several edits at once, so that one group of the node has more than one of them.
    fn burst(&mut self, node: usize) -> Result<()> {
        let mut edits: Vec<Edit> = (0..4).map(|_| self.draw(node)).collect();
        // Notes have one writer that waits for its answer: their order is known.
        edits.retain(|edit| !matches!(edit.claim, Claim::Notes { .. }));
        let node = &self.net[node];
        let answers: Vec<_> = std::thread::scope(|scope| {
            let run = |edit: &Edit| {
                let args = args(&edit.claim);
                scope.spawn(move || node.cli(&args.iter().map(String::as_str).collect::<Vec<_>>()))
            };
            let running: Vec<_> = edits.iter().map(run).collect();
            running.into_iter().map(|thread| thread.join()).collect()
        });
        for (mut edit, answer) in edits.into_iter().zip(answers) {
            let Ok(answer) = answer else { bail!("a command's thread panicked") };
            let answer = answer?;
            self.note(&mut edit, answer.exit, &answer.stderr)?;
        }
        Ok(())
    }

    fn note(&mut self, edit: &mut Edit, exit: i32, stderr: &str) -> Result<()> {
        // A node that is dead, or dies meanwhile, owes no answer; everybody else has to accept.
        let may_be_dead = self.mortal == Some(edit.node);
        match exit {
            0 => edit.accepted = true,
            3 if may_be_dead => {}
            _ => bail!("{}: {:?} was refused: exit {exit}: {stderr}", self.net[edit.node].name, edit.claim),
        }
        self.ledger.add(edit.clone());
        Ok(())
    }

    /// An edit in a node's file, whether the node runs or not.
    fn edit_file(&mut self, node: usize) -> Result<()> {
        self.serial += 1;
        let n = self.serial;
        let own = SHARED + (self.net.nodes().len() + node) * OWN;
        let claim = if self.random.below(4) == 0 {
            Claim::Bead { id: format!("filed-{n}"), title: format!("filed by edit {n}") }
        } else {
            Claim::Notes { id: fixture::id(own + self.random.below(OWN)), value: format!("notes {n}") }
        };
        let now = jiff::Timestamp::now().to_string();
        match &claim {
            Claim::Notes { id, value } => self.net[node].edit_line(id, |bead| {
                bead["notes"] = value.as_str().into();
                bead["updated_at"] = now.as_str().into();
            })?,
            Claim::Bead { id, title } => {
                let mut text = std::fs::read_to_string(self.net[node].file())?;
                let line: Value = json!({"id": id, "title": title, "status": "open", "priority": 2,
                    "issue_type": "task", "created_at": now, "updated_at": now});
                text.push_str(&format!("{line}\n"));
                self.net[node].write_file(text.as_bytes())?;
            }
            Claim::Label { .. } | Claim::Comment { .. } => {}
        }
        self.ledger.add(Edit { claim, node, by_file: true, accepted: true });
        Ok(())
    }
}

/// The command for a claim.
fn args(claim: &Claim) -> Vec<String> {
    let own = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
    match claim {
        Claim::Bead { id, title } => own(&["beads", "add", title, "--id", id]),
        Claim::Label { id, label } => own(&["beads", "set", id, "--label", label]),
        Claim::Comment { id, text } => own(&["beads", "set", id, "--comment", text]),
        Claim::Notes { id, value } => own(&["beads", "set", id, &format!("notes={value}")]),
    }
}
