//! Random commands on both machines, cut off from each other half of the time.

use super::{Mode, alike, all, at, create_at, still, towns};
use crate::random::Random;
use crate::{Net, Node};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// After so many commands the second machine goes away, or comes back.
const AWAY_EVERY: usize = 15;

/// What a storm came to.
#[derive(Debug, Default)]
pub struct Storm {
    /// Commands of each kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Issues that both databases have in the end.
    pub issues: usize,
    /// Labels and comments of which each was looked for and found.
    pub marks: (usize, usize),
    /// Times that the second machine was away.
    pub away: u64,
}

impl Storm {
    /// As one JSON document.
    pub fn to_json(&self) -> Value {
        json!({"commands": self.commands, "issues": self.issues, "labels": self.marks.0, "comments": self.marks.1,
            "away": self.away})
    }
}

/// What must be there in the end, as the harness knows it.
#[derive(Default)]
struct Marks {
    labels: BTreeSet<(String, String)>,
    comments: BTreeSet<(String, String)>,
    issues: BTreeSet<String>,
    /// bd does not take a child whose parent is gone: who has children is not deleted or renamed, and who was deleted or
    /// renamed anywhere gets none.
    parents: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl Marks {
    /// `id` is deleted by somebody to whom bd shows `bead`, or gets the name `to`: what was seen goes with it. What was
    /// not seen brings the issue back.
    fn left(&mut self, id: &str, bead: &Value, to: Option<&str>) {
        self.issues.remove(id);
        self.gone.insert(id.to_owned());
        self.issues.extend(to.map(str::to_owned));
        for (marks, shown) in [(&mut self.labels, labels(bead)), (&mut self.comments, comments(bead))] {
            for mark in shown {
                if marks.remove(&(id.to_owned(), mark.clone()))
                    && let Some(to) = to
                {
                    marks.insert((to.to_owned(), mark));
                }
            }
        }
    }

    fn check(&self, end: &BTreeMap<String, Value>) -> Result<()> {
        for id in &self.issues {
            ensure!(end.contains_key(id), "{id} is lost");
        }
        for (what, marks, shown) in
            [("label", &self.labels, labels as fn(&Value) -> _), ("comment", &self.comments, comments)]
        {
            for (id, mark) in marks {
                let there = end.get(id).is_some_and(|bead| shown(bead).contains(mark));
                ensure!(there, "{what} {mark} of {id} is lost: {:?}", end.get(id));
            }
        }
        Ok(())
    }
}

fn labels(bead: &Value) -> BTreeSet<String> {
    bead["labels"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn comments(bead: &Value) -> BTreeSet<String> {
    bead["comments"].as_array().into_iter().flatten().filter_map(|v| v["text"].as_str().map(str::to_owned)).collect()
}

/// One command; what kind it was.
fn act(node: &Node, number: usize, random: &mut Random, marks: &mut Marks) -> Result<&'static str> {
    let here = all(node)?;
    let ids: Vec<&String> = here.keys().filter(|id| marks.issues.contains(*id)).collect();
    let pick = |random: &mut Random| ids.get(random.below(ids.len().max(1))).map(|id| (*id).clone());
    let mark = format!("m{number}");
    let Some(id) = pick(random).filter(|_| random.below(5) > 0) else {
        marks.issues.insert(create_at(node, &format!("issue {number}"))?);
        return Ok("create");
    };
    let bare = !marks.parents.contains(&id);
    Ok(match random.below(12) {
        0 => at(node, &["update", &id, "--title", &format!("title {number}")]).map(|_| "update")?,
        1 => {
            let priority = (number % 5).to_string();
            at(node, &["update", &id, "--priority", &priority, "--notes", &mark]).map(|_| "update")?
        }
        2 | 3 => {
            at(node, &["label", "add", &id, &mark])?;
            marks.labels.insert((id, mark));
            "label"
        }
        4 | 5 => {
            at(node, &["comments", "add", &id, &mark])?;
            marks.comments.insert((id, mark));
            "comment"
        }
        6 => at(node, &["close", &id, "--reason", &mark]).map(|_| "close")?,
        7 if here[&id]["status"] == "closed" => at(node, &["reopen", &id]).map(|_| "reopen")?,
        7 => at(node, &["update", &id, "--status", "in_progress"]).map(|_| "update")?,
        8 if !marks.gone.contains(&id) => {
            // Both machines may give the same child id to different issues: both are kept, one under another name.
            at(node, &["create", &format!("child {number}"), "--parent", &id])?;
            marks.parents.insert(id);
            "child"
        }
        9 if bare => {
            at(node, &["delete", &id, "--force"])?;
            marks.left(&id, &here[&id], None);
            "delete"
        }
        10 if bare => {
            let to = format!("app-r{number}");
            at(node, &["rename", &id, &to])?;
            marks.left(&id, &here[&id], Some(&to));
            "rename"
        }
        _ => match pick(random).filter(|other| *other != id) {
            // bd refuses what would be a circle; that is its good right.
            Some(other) => at(node, &["dep", "add", &id, &other, "--type", "related"]).map_or("refused", |_| "dep"),
            None => "nothing",
        },
    })
}

/// Plays `commands` commands in `mode` on two coupled databases and looks for everything that was written; `tell` hears how far
/// it is.
///
/// # Errors
/// When the databases do not become alike, something is lost, ops are written while nobody acts, or a command fails.
pub fn storm(program: &Path, mode: &Mode, commands: usize, seed: u64, tell: impl FnMut(usize, &str)) -> Result<Storm> {
    let mut net = towns(program, mode, &["one", "two", "three", "four"])?;
    // What went wrong can be looked at.
    play(&mut net, commands, seed, tell).inspect_err(|_| net.keep())
}

fn play(net: &mut Net, commands: usize, seed: u64, mut tell: impl FnMut(usize, &str)) -> Result<Storm> {
    let (mut random, mut out) = (Random::new(seed), Storm::default());
    let mut marks = Marks { issues: alike(net)?.into_keys().collect(), ..Marks::default() };
    for number in 0..commands {
        if number % AWAY_EVERY == AWAY_EVERY / 2 {
            turn(net, &mut out)?;
        }
        let node = random.below(2);
        let kind = act(&net[node], number, &mut random, &mut marks)?;
        *out.commands.entry(kind).or_insert(0) += 1;
        tell(number + 1, kind);
    }
    if net[1].child.is_none() {
        net[1].up()?;
    }
    let end = alike(net)?;
    marks.check(&end)?;
    still(net)?;
    (out.issues, out.marks) = (end.len(), (marks.labels.len(), marks.comments.len()));
    Ok(out)
}

fn turn(net: &mut Net, out: &mut Storm) -> Result<()> {
    if net[1].child.is_some() {
        out.away += 1;
        net[1].kill()
    } else {
        net[1].up()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_leaves_with_its_issue_and_the_rest_must_stay() {
        let mark = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        let mut marks = Marks::default();
        marks.issues.insert("a".into());
        marks.labels.extend([mark("a", "seen"), mark("a", "unseen")]);
        marks.comments.insert(mark("a", "said"));
        let bead = json!({"labels": ["seen"], "comments": [{"text": "said"}]});
        marks.left("a", &bead, Some("b"));
        let end = |a: Value, b: Value| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let good = end(json!({"labels": ["unseen"]}), bead.clone());
        assert!(marks.check(&good).is_ok());
        assert!(marks.check(&end(json!({}), bead.clone())).unwrap_err().to_string().contains("label unseen of a"));
        assert!(marks.check(&end(json!({"labels": ["unseen"]}), json!({}))).is_err());
        marks.left("b", &bead, None);
        assert!(marks.check(&end(json!({"labels": ["unseen"]}), json!({}))).is_ok());
        assert!(marks.check(&BTreeMap::new()).unwrap_err().to_string().contains("is lost"));
    }
}
