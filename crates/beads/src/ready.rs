//! Ready work: what can be begun now. Computed on every host, never replicated.

use crate::bead::Bead;
use crate::time::instant_ns;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use types::UnixMs;

/// Types that are never work of their own.
const NO_WORK: [&str; 7] = ["merge-request", "gate", "molecule", "message", "agent", "role", "rig"];

/// What is known of something in another project that a bead depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External {
    /// It is there and done.
    Met,
    /// It is known and not done: it blocks.
    Open,
    /// Nothing is known of it here: it does not block, as in bd, and is shown as unknown.
    Unknown,
}

/// What a dependency on another project's work says: `external:PROJECT:WHAT`, where `WHAT` is a bead's id, or what a bead
/// with the label `provides:WHAT` provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalTarget<'a> {
    /// The project.
    pub project: &'a str,
    /// A bead's id, or what is provided.
    pub what: &'a str,
}

impl<'a> ExternalTarget<'a> {
    /// Reads a dependency's target; `None` when it is one of this project, or incomplete.
    pub fn parse(target: &'a str) -> Option<ExternalTarget<'a>> {
        let (project, what) = target.strip_prefix("external:")?.split_once(':')?;
        (!project.is_empty() && !what.is_empty()).then_some(ExternalTarget { project, what })
    }

    /// What the beads of its project say about it.
    pub fn look<'b>(&self, beads: impl Iterator<Item = &'b Bead>) -> External {
        let provides = format!("provides:{}", self.what);
        let mut found = false;
        for bead in beads {
            if bead.id.as_str() == self.what || bead.labels().any(|label| label == provides) {
                found = true;
                if bead.text("status") == "closed" {
                    return External::Met;
                }
            }
        }
        if found { External::Open } else { External::Unknown }
    }
}

/// Whether an edge of this type blocks by itself.
fn blocks(edge: &Map<String, Value>) -> bool {
    matches!(edge_type(edge), "blocks" | "conditional-blocks")
}

fn edge_type(edge: &Map<String, Value>) -> &str {
    edge.get("type").and_then(Value::as_str).unwrap_or("blocks")
}

/// What a bead depends on in other projects, if that blocks.
pub fn external_blockers(bead: &Bead) -> impl Iterator<Item = &str> {
    bead.dependencies()
        .filter(|(target, edge)| target.starts_with("external:") && blocks(edge))
        .map(|(target, _)| target)
}

/// Where the ready beads are in `beads`: open, not pinned, not ephemeral, not deferred, not blocked; by priority, the
/// newest first.
///
/// A bead is blocked while a bead that it `blocks`-depends on is neither closed nor pinned, while one of its parents
/// is blocked, or while it waits for the children of another. What is not here does not block, as in bd; of what is in
/// another project, `external` says what is known.
pub fn ready(beads: &[Bead], now: UnixMs, external: &dyn Fn(&str) -> External) -> Vec<usize> {
    let graph = Graph::of(beads, external);
    let blocked = graph.blocked();
    let now_ns = i128::from(now.0) * 1_000_000;
    let deferred = |at: usize| instant_ns(beads[at].text("defer_until")).is_some_and(|until| until > now_ns);
    let mut out: Vec<usize> = (0..beads.len())
        .filter(|at| {
            let bead = &beads[*at];
            bead.text("status") == "open"
                && !flag(bead, "pinned")
                && !flag(bead, "ephemeral")
                && !NO_WORK.contains(&bead.text("issue_type"))
                && !blocked[*at]
                && !deferred(*at)
                && !graph.parents[*at].iter().any(|parent| deferred(*parent))
        })
        .collect();
    out.sort_by(|a, b| {
        let key = |at: usize| (beads[at].priority(), std::cmp::Reverse(instant_ns(beads[at].text("created_at"))));
        key(*a).cmp(&key(*b)).then_with(|| beads[*a].id.cmp(&beads[*b].id))
    });
    out
}

fn flag(bead: &Bead, name: &str) -> bool {
    bead.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Closed or pinned: it blocks nobody.
fn settled(bead: &Bead) -> bool {
    matches!(bead.text("status"), "closed" | "tombstone" | "pinned") || flag(bead, "pinned")
}

struct Graph {
    /// What each bead is blocked by directly.
    held: Vec<bool>,
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    settled: Vec<bool>,
}

impl Graph {
    fn of(beads: &[Bead], external: &dyn Fn(&str) -> External) -> Graph {
        let index: HashMap<&str, usize> = beads.iter().enumerate().map(|(at, bead)| (bead.id.as_str(), at)).collect();
        let settled: Vec<bool> = beads.iter().map(settled).collect();
        let mut graph = Graph {
            held: vec![false; beads.len()],
            parents: vec![Vec::new(); beads.len()],
            children: vec![Vec::new(); beads.len()],
            settled,
        };
        let mut waits = Vec::new();
        for (at, bead) in beads.iter().enumerate() {
            graph.held[at] |= external_blockers(bead).any(|target| external(target) == External::Open);
            for (target, edge) in bead.dependencies() {
                let Some(to) = index.get(target).copied() else { continue };
                match edge_type(edge) {
                    "blocks" | "conditional-blocks" => graph.held[at] |= !graph.settled[to],
                    "parent-child" => {
                        graph.parents[at].push(to);
                        graph.children[to].push(at);
                    }
                    "waits-for" => waits.push((at, to, any_child(edge.get("metadata")))),
                    _ => {}
                }
            }
        }
        for (at, to, any) in waits {
            let mut children = graph.children[to].iter();
            let open = children.clone().any(|child| !graph.settled[*child]);
            let done = children.any(|child| beads[*child].text("status") == "closed");
            graph.held[at] |= open && !(any && done);
        }
        graph
    }

    /// The least set that holds whoever is held directly or has a blocked parent. Settled beads are never blocked.
    fn blocked(&self) -> Vec<bool> {
        let mut blocked = vec![false; self.held.len()];
        let mut queue: VecDeque<usize> =
            (0..self.held.len()).filter(|at| self.held[*at] && !self.settled[*at]).collect();
        while let Some(at) = queue.pop_front() {
            if std::mem::replace(&mut blocked[at], true) {
                continue;
            }
            queue.extend(self.children[at].iter().filter(|child| !blocked[**child] && !self.settled[**child]));
        }
        blocked
    }
}

/// Whether an edge's metadata (JSON in a string, or JSON) says that one closed child is enough.
fn any_child(metadata: Option<&Value>) -> bool {
    let inner = match metadata {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    inner.get("gate").and_then(Value::as_str) == Some("any-children")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parsed, parse_line};
    use proptest::prelude::*;
    use serde_json::json;

    fn bead(id: usize, status: &str, deps: &[(usize, &str)]) -> Bead {
        let deps: Vec<Value> = deps
            .iter()
            .map(|(to, kind)| json!({"issue_id": format!("a-{id}"), "depends_on_id": format!("a-{to}"), "type": kind}))
            .collect();
        let line = json!({"id": format!("a-{id}"), "title": "t", "status": status, "priority": 2,
            "issue_type": "task", "dependencies": deps, "created_at": "2026-01-01T00:00:00Z"});
        match parse_line(&line.to_string()).unwrap() {
            Parsed::Issue(bead) => bead,
            other => panic!("{other:?}"),
        }
    }

    fn ids(beads: &[Bead]) -> Vec<usize> {
        ready(beads, UnixMs(0), &|_| External::Unknown)
    }

    #[test]
    fn blockers_parents_and_gates() {
        assert_eq!(ids(&[bead(0, "open", &[(1, "blocks")]), bead(1, "open", &[])]), [1]);
        assert_eq!(ids(&[bead(0, "open", &[(1, "blocks")]), bead(1, "closed", &[])]), [0]);
        assert_eq!(ids(&[bead(0, "open", &[(9, "blocks")])]), [0], "what is not here does not block");
        assert_eq!(ids(&[bead(0, "open", &[(1, "parent-child")]), bead(1, "open", &[])]), [0, 1]);
        let blocked_parent =
            [bead(0, "open", &[(1, "parent-child")]), bead(1, "open", &[(2, "blocks")]), bead(2, "open", &[])];
        assert_eq!(ids(&blocked_parent), [2]);
        let waits = |child: &str| {
            [bead(0, "open", &[(1, "waits-for")]), bead(1, "closed", &[]), bead(2, child, &[(1, "parent-child")])]
        };
        assert_eq!(ids(&waits("open")), [2]);
        assert_eq!(ids(&waits("closed")), [0]);
    }

    #[test]
    fn what_is_in_another_project_blocks_while_it_is_known_to_be_open() {
        let on = |target: &str, kind: &str| {
            let line = json!({"id": "a-1", "title": "t", "status": "open", "priority": 2, "issue_type": "task",
                "dependencies": [{"issue_id": "a-1", "depends_on_id": target, "type": kind}],
                "created_at": "2026-01-01T00:00:00Z"});
            match parse_line(&line.to_string()).unwrap() {
                Parsed::Issue(bead) => [bead],
                other => panic!("{other:?}"),
            }
        };
        for (known, count) in [(External::Met, 1), (External::Open, 0), (External::Unknown, 1)] {
            assert_eq!(ready(&on("external:lib:api", "blocks"), UnixMs(0), &|_| known).len(), count, "{known:?}");
            assert_eq!(ready(&on("external:lib:api", "related"), UnixMs(0), &|_| known).len(), 1);
        }
        let target = ExternalTarget::parse("external:lib:api:v2").unwrap();
        assert_eq!(target, ExternalTarget { project: "lib", what: "api:v2" });
        for bad in ["lib:api", "external:lib", "external::api", "external:lib:"] {
            assert_eq!(ExternalTarget::parse(bad), None, "{bad}");
        }
        let provider = |status: &str, label: &str| {
            let line = json!({"id": "l-7", "title": "t", "status": status, "labels": [label],
                "created_at": "2026-01-01T00:00:00Z"});
            match parse_line(&line.to_string()).unwrap() {
                Parsed::Issue(bead) => bead,
                other => panic!("{other:?}"),
            }
        };
        let look = |beads: &[Bead], what: &str| ExternalTarget { project: "lib", what }.look(beads.iter());
        assert_eq!(look(&[provider("closed", "provides:api")], "api"), External::Met);
        assert_eq!(look(&[provider("open", "provides:api")], "api"), External::Open);
        assert_eq!(look(&[provider("open", "provides:other")], "api"), External::Unknown);
        assert_eq!(look(&[provider("closed", "x")], "l-7"), External::Met);
        assert_eq!(look(&[provider("open", "provides:api"), provider("closed", "provides:api")], "api"), External::Met);
    }

    proptest! {
        #[test]
        fn equals_the_definition_even_in_circles(
            closed in proptest::collection::vec(any::<bool>(), 12),
            edges in proptest::collection::vec((0usize..12, 0usize..12, any::<bool>()), 0..30),
        ) {
            let beads: Vec<Bead> = (0..12).map(|i| {
                let deps: std::collections::BTreeMap<usize, &str> = edges.iter().filter(|e| e.0 == i)
                    .map(|e| (e.1, if e.2 { "blocks" } else { "parent-child" })).collect();
                let deps: Vec<_> = deps.into_iter().collect();
                bead(i, if closed[i] { "closed" } else { "open" }, &deps)
            }).collect();
            let mut blocked = [false; 12];
            for _ in 0..12 {
                for i in 0..12 {
                    let deps: Vec<(usize, String)> = beads[i].dependencies().map(|(to, edge)|
                        (to[2..].parse().unwrap(), edge["type"].as_str().unwrap().to_owned())).collect();
                    blocked[i] |= !closed[i] && deps.iter().any(|(to, kind)|
                        (kind == "blocks" && !closed[*to]) || (kind == "parent-child" && blocked[*to]));
                }
            }
            let mut found = ready(&beads, UnixMs(0), &|_| External::Unknown);
            found.sort();
            let expected: Vec<usize> = (0..12).filter(|i| !closed[*i] && !blocked[*i]).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
