//! Random commands on both machines, cut off from each other half of the time.

use super::{alike, all, bd, create, real, still, towns};
use anyhow::Result;
use std::collections::BTreeSet;
use testnet::random::Random;
use testnet::{Net, Node};

/// Commands in CI. `TOWNMESH_BD_STORM` says another number, `TOWNMESH_BD_SEED` another storm.
const COMMANDS: usize = 60;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What must be there in the end, as the harness knows it: marks that nothing takes away again.
#[derive(Default)]
struct Marks {
    labels: BTreeSet<(String, String)>,
    comments: BTreeSet<(String, String)>,
    issues: BTreeSet<String>,
}

fn act(node: &Node, at: usize, random: &mut Random, marks: &mut Marks) -> Result<()> {
    let ids: Vec<String> = all(node)?.into_keys().filter(|id| marks.issues.contains(id)).collect();
    let pick = |random: &mut Random| ids.get(random.below(ids.len())).cloned();
    let mark = format!("m{at}");
    let Some(id) = pick(random).filter(|_| random.below(5) > 0) else {
        marks.issues.insert(create(node, &format!("issue {at}"))?);
        return Ok(());
    };
    match random.below(8) {
        0 => bd(node, &["update", &id, "--title", &format!("title {at}")]).map(drop),
        1 => bd(node, &["update", &id, "--priority", &format!("{}", at % 5), "--notes", &mark]).map(drop),
        2 => {
            bd(node, &["label", "add", &id, &mark])?;
            marks.labels.insert((id, mark));
            Ok(())
        }
        3 => {
            bd(node, &["comments", "add", &id, &mark])?;
            marks.comments.insert((id, mark));
            Ok(())
        }
        4 => bd(node, &["close", &id, "--reason", &mark]).map(drop),
        5 => bd(node, &["update", &id, "--status", "in_progress"]).map(drop),
        6 => {
            let child = bd(node, &["create", &format!("child {at}"), "--parent", &id, "--json"])?;
            let child: serde_json::Value = serde_json::from_str(&child)?;
            // Both machines may give the same child id to different issues: both are kept, one under another name.
            drop(child);
            Ok(())
        }
        _ => match pick(random).filter(|other| *other != id) {
            // bd refuses what would be a circle; that is its good right.
            Some(other) => bd(node, &["dep", "add", &id, &other, "--type", "related"]).map(drop).or(Ok(())),
            None => Ok(()),
        },
    }
}

fn storm(net: &mut Net, commands: usize, seed: u64) -> Result<Marks> {
    let mut random = Random::new(seed);
    let mut marks = Marks { issues: all(&net[0])?.into_keys().collect(), ..Marks::default() };
    for at in 0..commands {
        // Every fifteen commands the second machine goes away, or comes back.
        if at % 15 == 8 {
            match net[1].child.is_some() {
                true => net[1].kill()?,
                false => net[1].up()?,
            }
        }
        let node = random.below(2);
        act(&net[node], at, &mut random, &mut marks)?;
    }
    if net[1].child.is_none() {
        net[1].up()?;
    }
    Ok(marks)
}

#[test]
fn a_storm_of_commands_loses_nothing() {
    let Some(program) = real() else { return };
    let (commands, seed) = (number("TOWNMESH_BD_STORM", COMMANDS), number("TOWNMESH_BD_SEED", 7));
    println!("seed {seed}, {commands} commands");
    let mut net = towns(&program, &["one", "two", "three", "four"]).unwrap();
    let before = alike(&net).unwrap();
    let marks = storm(&mut net, commands, seed as u64).unwrap();
    let after = alike(&net).unwrap();
    assert!(after.len() >= before.len());
    for id in &marks.issues {
        assert!(after.contains_key(id), "{id} is lost");
    }
    for (id, label) in &marks.labels {
        let labels = after[id]["labels"].to_string();
        assert!(labels.contains(&format!("\"{label}\"")), "label {label} of {id} is lost: {labels}");
    }
    for (id, text) in &marks.comments {
        let comments = after[id]["comments"].to_string();
        assert!(comments.contains(&format!("\"{text}\"")), "comment {text} of {id} is lost: {comments}");
    }
    println!("{} issues, {} labels, {} comments: all there", after.len(), marks.labels.len(), marks.comments.len());
    still(&net).unwrap();
}
