//! What people do: they look at a bead and change it.

use super::{Play, here};
use crate::disk::OpName;
use crate::model::{FIELDS, How};
use engine::{BeadChange, Choice, Command};
use serde_json::{Value, json};

/// What came of a command.
pub(super) enum Outcome {
    /// The user was told that it is kept.
    Told(How),
    /// The machine died before it answered.
    Silence(How),
    /// Refused, or nobody there.
    No,
}

impl Outcome {
    fn how(self) -> Option<How> {
        match self {
            Outcome::Told(how) | Outcome::Silence(how) => Some(how),
            Outcome::No => None,
        }
    }
}

impl Play {
    /// What the machine shows of some bead that it has.
    pub(super) fn some_bead(&mut self, at: usize) -> Option<(String, Value)> {
        let beads: Vec<String> = self.model.beads().cloned().collect();
        let id = self.rng.pick(&beads)?.clone();
        let answer = self.world.query(at, Command::Show { at: here(), id: id.clone() })?.ok()?;
        Some((id, answer))
    }

    fn is_honest(&self, at: usize) -> bool {
        self.mallory.as_ref().is_none_or(|m| m.at != at)
    }

    /// Carries out a command and waits until its group is synced, or the machine dies.
    fn outcome(&mut self, at: usize, command: Command) -> Result<Outcome, String> {
        if !self.world.running(at) || !self.is_honest(at) {
            return Ok(Outcome::No);
        }
        let call = self.world.ask(at, command);
        let made: Vec<OpName> = self.world.nodes[at].made.clone();
        let mut answer = self.world.answer(at, call);
        if answer.is_none() && self.world.running(at) {
            self.wait(6)?;
            answer = self.world.answer(at, call);
        }
        let op = made.first().copied();
        Ok(match answer {
            Some(Ok(_)) if op.is_some() => {
                self.ledger.extend(made);
                Outcome::Told(How { sure: true, op })
            }
            Some(_) => Outcome::No,
            None => {
                self.world.count("never_answered");
                Outcome::Silence(How { sure: false, op })
            }
        })
    }

    pub(super) fn edit(&mut self, at: usize) -> Result<(), String> {
        let Some((id, shown)) = self.some_bead(at) else { return Ok(()) };
        let field = *self.rng.pick(&FIELDS).unwrap_or(&"title");
        let value = self.fresh(field);
        let over = shown["bead"][field].as_str().map(str::to_owned);
        let change = BeadChange { fields: [(field.to_owned(), json!(value))].into(), ..BeadChange::default() };
        if let Some(how) = self.outcome(at, Command::Set { at: here(), id: id.clone(), change })?.how() {
            self.model.wrote(&id, field, &value, over, how);
            self.world.count("edits");
        }
        Ok(())
    }

    pub(super) fn add(&mut self, at: usize) -> Result<(), String> {
        let title = self.fresh("title");
        let id = format!("app-{}", self.uniq);
        let add = Command::Add {
            at: here(),
            title: title.clone(),
            id: Some(id.clone()),
            prefix: None,
            change: BeadChange::default(),
        };
        if let Some(how) = self.outcome(at, add)?.how() {
            self.model.created(&id, &title, how);
            self.world.count("added");
        }
        Ok(())
    }

    pub(super) fn remark(&mut self, at: usize) -> Result<(), String> {
        let Some((id, _)) = self.some_bead(at) else { return Ok(()) };
        let (label, comment) = (self.fresh("l"), self.fresh("comment"));
        let change =
            BeadChange { add_labels: vec![label.clone()], comments: vec![comment.clone()], ..BeadChange::default() };
        if let Some(how) = self.outcome(at, Command::Set { at: here(), id: id.clone(), change })?.how() {
            self.model.added(&id, "labels", &label, how.clone());
            self.model.added(&id, "comments", &comment, how);
            self.world.count("remarks");
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, at: usize) -> Result<(), String> {
        let Some((id, shown)) = self.some_bead(at) else { return Ok(()) };
        let command = Command::Delete { at: here(), ids: vec![id.clone()] };
        if let Some(how) = self.outcome(at, command)?.how() {
            self.model.deleted(&id, &shown, how);
            self.world.count("deleted");
        }
        Ok(())
    }

    /// Somebody looks at a conflict and decides for a new value: everything that they saw is overwritten.
    pub(super) fn settle_conflict(&mut self, at: usize) -> Result<(), String> {
        let Some((id, shown)) = self.some_bead(at) else { return Ok(()) };
        let conflicts = shown["conflicts"].as_array().into_iter().flatten();
        let field = |c: &&Value| c["unit"].as_str().is_some_and(|u| u.starts_with("field:"));
        let Some(conflict) = conflicts.into_iter().find(field).cloned() else { return Ok(()) };
        let unit = conflict["unit"].as_str().unwrap_or_default().to_owned();
        let field = unit.trim_start_matches("field:").to_owned();
        let value = self.fresh(&field);
        let resolve = Command::Resolve {
            at: here(),
            id: Some(id.clone()),
            unit: Some(unit),
            choice: Choice::Value(json!(value)),
            baseline: false,
        };
        if let Some(how) = self.outcome(at, resolve)?.how() {
            for seen in conflict["values"].as_array().into_iter().flatten() {
                self.model.wrote(&id, &field, &value, seen["value"].as_str().map(str::to_owned), how.clone());
            }
            self.world.count("resolved");
        }
        Ok(())
    }
}
