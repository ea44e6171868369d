//! The real files: imported on one node and joined by another; two diverged copies attached on two nodes.

use super::conflicts;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use testnet::compare::{by_id, canonical, claims};
use testnet::{Net, workspace};

fn data(name: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(name);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn import_and_join(name: &str) {
    let Some(path) = data(name) else { return };
    let text = std::fs::read_to_string(&path).unwrap();
    let mut net = Net::new(2).unwrap();
    net.found().unwrap();
    let report = net[0].json(&["beads", "import", path.to_str().unwrap()]).unwrap();
    assert_eq!(report["read"].as_u64().unwrap() as usize, text.lines().count(), "{:?}", report["rejected"]);
    assert_eq!(report["rejected"], Value::Array(vec![]));
    net.join(1).unwrap();
    let space = net.converged().unwrap();
    net.files_equal().unwrap();

    let mut wanted = by_id(&text).unwrap();
    let reported: BTreeSet<String> =
        report["repeated"].as_array().unwrap().iter().filter_map(|r| r["id"].as_str()).map(str::to_owned).collect();
    let exported = net[1].export().unwrap();
    println!("{name}: {} beads, {} ops, {} ids reported as repeated", space["beads"], space["ops"], reported.len());
    wanted.retain(|id, _| !reported.contains(id));
    for (id, bead) in &wanted {
        let seen = exported.get(id).unwrap_or_else(|| panic!("{id} is not exported"));
        assert_eq!(canonical(seen), canonical(bead), "{id}");
    }
    let known = by_id(&text).unwrap();
    let more: Vec<_> = exported.keys().filter(|id| !known.contains_key(*id) && !id.contains('~')).collect();
    assert!(more.is_empty(), "exported from nowhere: {more:?}");
}

#[test]
fn the_file_of_5722_beads_comes_out_as_it_went_in() {
    import_and_join("beads-5722.jsonl");
}

#[test]
fn the_file_of_10519_lines_comes_out_as_it_went_in() {
    import_and_join("beads-10519.jsonl");
}

/// The nth merge of the real history: its base and what the two sides made of it.
fn merge(at: usize) -> Option<Value> {
    let path = data("beads-merges.jsonl.xz")?;
    let mut xz = Command::new("xz").arg("-dc").arg(path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let line = BufReader::new(xz.stdout.take()?).lines().nth(at);
    // The rest is not read: xz ends by the closed pipe.
    let _status = xz.wait();
    serde_json::from_str(&line?.ok()?).ok()
}

fn file(beads: &Value) -> String {
    beads.as_array().unwrap().iter().map(|bead| format!("{bead}\n")).collect()
}

/// Two copies attached on two nodes: whatever either says is shown or listed, and nothing is listed but differences.
fn diverged(one: &Value, other: &Value) {
    let (one, other) = (file(one), file(other));
    let mut net = Net::new(2).unwrap();
    net[0].write_file(one.as_bytes()).unwrap();
    net[1].write_file(other.as_bytes()).unwrap();
    net.start().unwrap();
    net.converged().unwrap();
    net.files_equal().unwrap();
    let exported = net[0].export().unwrap();
    let listed = conflicts(&net[1], &[]).unwrap();
    for conflict in &listed {
        let values: BTreeSet<String> =
            conflict["values"].as_array().unwrap().iter().map(|v| format!("{}{}", v["value"], v["absent"])).collect();
        assert!(values.len() > 1, "listed without a difference: {conflict}");
    }
    let mut known: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    let bare = |id: &str| id.split('~').next().unwrap_or_default().to_owned();
    for (id, bead) in &exported {
        known.entry(bare(id)).or_default().extend(claims(bead));
    }
    for conflict in &listed {
        let claims = conflict["values"].as_array().unwrap().iter().flat_map(|v| listed_claims(conflict, &v["value"]));
        known.entry(bare(conflict["id"].as_str().unwrap())).or_default().extend(claims);
    }
    let (one, other) = (by_id(&one).unwrap(), by_id(&other).unwrap());
    let mut checked = 0;
    for (id, bead) in one.iter().chain(&other) {
        let there = known.get(id).unwrap_or_else(|| panic!("{id} is lost"));
        for claim in claims(bead) {
            assert!(there.contains(&claim), "{id}: {claim:?} is neither shown nor listed");
            checked += 1;
        }
    }
    let renamed: Vec<_> = exported.keys().filter(|id| id.contains('~')).collect();
    for id in &renamed {
        let (a, b) = (&one[&bare(id)], &other[&bare(id)]);
        assert!(a["title"] != b["title"], "false rename: {id}");
    }
    println!("{checked} claims kept, {} conflicts, {} renamed, {} beads", listed.len(), renamed.len(), exported.len());
}

/// What a listed value says, in the words of a bead's line.
fn listed_claims(conflict: &Value, value: &Value) -> BTreeSet<(String, String)> {
    let unit = conflict["unit"].as_str().unwrap();
    let bead = match unit.split_once(':') {
        Some(("field", name)) => Value::Object([(name.to_owned(), value.clone())].into_iter().collect()),
        Some(("dep", target)) => {
            let mut edge = value.clone();
            if edge.is_object() {
                edge["depends_on_id"] = target.into();
            }
            Value::Object([("dependencies".to_owned(), Value::Array(vec![edge]))].into_iter().collect())
        }
        _ => value.clone(),
    };
    claims(&bead)
}

#[test]
fn two_diverged_copies_lose_nothing_base_and_theirs() {
    let Some(merge) = merge(6) else { return };
    diverged(&merge["base"], &merge["theirs"]);
}

#[test]
fn two_diverged_copies_lose_nothing_ours_and_theirs() {
    let Some(merge) = merge(2) else { return };
    diverged(&merge["ours"], &merge["theirs"]);
}
