//! The story of three machines: a beads file shared, edited everywhere at once, while cut off, and after a checkout
//! of an old version. Every step is checked; one that does not hold ends the demo with an error.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testnet::latency::{git, over_git, over_mesh, shown};
use testnet::sling::{self, Sample};
use testnet::{Net, PATIENCE, fixture, wait_until};

/// Beads of the fixture.
const BEADS: usize = 500;

/// Edits for the latency at the end.
const EDITS: usize = 50;

struct Story {
    rows: Vec<(String, String, Duration)>,
}

impl Story {
    /// Runs one step and tells what came of it.
    fn step(&mut self, what: &str, run: impl FnOnce() -> Result<String>) -> Result<()> {
        let started = Instant::now();
        let seen = run().with_context(|| what.to_owned())?;
        let took = started.elapsed();
        println!("  ✓ {what}: {seen} ({})", shown(took));
        self.rows.push((what.to_owned(), seen, took));
        Ok(())
    }

    fn table(&self) {
        let width = self.rows.iter().map(|(what, _, _)| what.chars().count()).max().unwrap_or_default();
        println!("\n{:<width$}  {:>8}  what came of it", "step", "time");
        for (what, seen, took) in &self.rows {
            println!("{what:<width$}  {:>8}  {seen}", shown(*took));
        }
    }
}

fn main() -> Result<()> {
    let content = match data()? {
        Some(path) => std::fs::read_to_string(&path).with_context(|| path.display().to_string())?,
        None => fixture::file(&fixture::lines(BEADS, 7)),
    };
    let mut net = Net::new(3)?;
    for (node, name) in net.nodes_mut().iter_mut().zip(["desktop", "server", "laptop"]) {
        node.name = name.to_owned();
    }
    let mut story = Story { rows: Vec::new() };
    println!("Three machines, three directories, no server in between.\n");
    meet(&mut story, &mut net, &content)?;
    let ids = open_ids(&net)?;
    at_once(&mut story, &net, &ids)?;
    cut_off(&mut story, &mut net, &ids)?;
    resolve(&mut story, &net)?;
    checkout(&mut story, &net, &ids)?;
    crash(&mut story, &mut net, &ids)?;
    slung(&mut story, &net)?;
    story.table();
    latency(&net, &content, &ids)
}

fn data() -> Result<Option<PathBuf>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        ["--data", file] => Ok(Some(file.into())),
        _ => bail!("usage: townmesh-demo [--data FILE]"),
    }
}

/// The ids that are in all three files and that the story plays with.
fn open_ids(net: &Net) -> Result<Vec<String>> {
    let beads = net[0].file_beads()?;
    let some = beads.iter().filter(|(_, bead)| bead["status"] != "tombstone").map(|(id, _)| id.clone());
    let ids: Vec<String> = some.take(40).collect();
    ensure!(ids.len() >= 10, "the data has fewer than ten beads to play with");
    Ok(ids)
}

fn meet(story: &mut Story, net: &mut Net, content: &str) -> Result<()> {
    story.step("desktop: townmesh init, then up", || {
        net[0].write_file(content.as_bytes())?;
        let made = net.found()?;
        Ok(format!("{} beads shared as \"app\", private", made["beads"]))
    })?;
    for at in [1, 2] {
        let what = format!("{}: townmesh join TICKET", net[at].name);
        story.step(&what, || {
            net.join(at)?;
            Ok(format!("{} beads, file written", net[at].space()?["beads"]))
        })?;
    }
    story.step("all three files hold the same beads", || {
        net.files_equal()?;
        agreed(net)
    })
}

/// Waits for equal digests and says what they are.
fn agreed(net: &Net) -> Result<String> {
    let space = net.converged()?;
    let digest: String = space["digest"].as_str().unwrap_or_default().chars().take(8).collect();
    Ok(format!(
        "digest {digest} everywhere, {} beads, {} ops, {} conflicts",
        space["beads"], space["ops"], space["conflicts"]
    ))
}

fn at_once(story: &mut Story, net: &Net, ids: &[String]) -> Result<()> {
    story.step("edits on all three at once: two files, one command", || {
        net[0].edit_line(&ids[0], |bead| set(bead, "title", "renamed on desktop, in its file"))?;
        net[1].json(&["beads", "set", &ids[1], "priority=0", "--label", "urgent"])?;
        net[2].edit_line(&ids[2], |bead| set(bead, "notes", "seen on laptop, in its file"))?;
        net[2].json(&["beads", "add", "Found on laptop", "--id", "demo-1"])?;
        arrived(net, &ids[0], "title", "renamed on desktop, in its file")?;
        arrived(net, &ids[2], "notes", "seen on laptop, in its file")?;
        arrived(net, "demo-1", "title", "Found on laptop")?;
        net.files_equal()?;
        agreed(net)
    })
}

fn cut_off(story: &mut Story, net: &mut Net, ids: &[String]) -> Result<()> {
    story.step("laptop is cut off; everybody goes on editing", || {
        net[2].term()?;
        net[2].up_with(&["--offline"])?;
        net[0].json(&["beads", "set", &ids[3], "title=as desktop saw it"])?;
        net[2].json(&["beads", "set", &ids[3], "title=as laptop saw it"])?;
        net[2].edit_line(&ids[4], |bead| set(bead, "notes", "written without a network"))?;
        net[1].json(&["beads", "close", &ids[5], "--reason", "done on server"])?;
        wait_until("laptop's own edit is taken in", PATIENCE, || {
            let bead = net[2].json(&["beads", "show", &ids[4]])?;
            let notes = bead["bead"]["notes"].clone();
            Ok(if notes == "written without a network" { Ok(()) } else { Err(notes.to_string()) })
        })?;
        Ok("one title written differently on two machines".to_owned())
    })?;
    story.step("laptop is back", || {
        net[2].restart()?;
        arrived(net, &ids[4], "notes", "written without a network")?;
        arrived(net, &ids[5], "status", "closed")?;
        agreed(net)
    })
}

fn resolve(story: &mut Story, net: &Net) -> Result<()> {
    story.step("the conflict is listed, both values kept", || {
        let listed = net[1].json(&["beads", "conflicts", "--edits"])?;
        let all = listed["conflicts"].as_array().context("conflicts")?;
        let [one] = all.as_slice() else { bail!("{} conflicts of edits, expected one: {listed}", all.len()) };
        let values = one["values"].as_array().context("values")?.iter().map(|v| v["value"].clone()).collect::<Value>();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Ok(format!("{} {}: {}", text(&one["id"]), text(&one["unit"]), values))
    })?;
    story.step("resolved on server", || {
        let listed = net[1].json(&["beads", "conflicts", "--edits"])?;
        let conflict = &listed["conflicts"][0];
        let (id, unit) = (conflict["id"].as_str().context("id")?, conflict["unit"].as_str().context("unit")?);
        net[1].json(&["beads", "resolve", id, unit, "--value", "as all agreed"])?;
        arrived(net, id, "title", "as all agreed")?;
        agreed(net)
    })
}

fn checkout(story: &mut Story, net: &Net, ids: &[String]) -> Result<()> {
    let dir = net[0].work.clone();
    story.step("desktop: git checkout of an old beads file", || {
        git(&dir, &["init", "-q", "-b", "main"])?;
        git(&dir, &["add", "."])?;
        git(&dir, &["commit", "-q", "-m", "beads as they are"])?;
        net[1].json(&["beads", "set", &ids[6], "title=newer than the commit"])?;
        arrived(net, &ids[6], "title", "newer than the commit")?;
        git(&dir, &["checkout", "-q", "--", "."])?;
        arrived(net, &ids[6], "title", "newer than the commit")?;
        net.files_equal()?;
        agreed(net).map(|seen| format!("nothing reverted; {seen}"))
    })
}

fn crash(story: &mut Story, net: &mut Net, ids: &[String]) -> Result<()> {
    story.step("server: kill -9 right after an accepted edit", || {
        net[1].json(&["beads", "set", &ids[7], "notes=accepted before the crash"])?;
        net[1].kill()?;
        net[1].up()?;
        arrived(net, &ids[7], "notes", "accepted before the crash")?;
        agreed(net)
    })?;
    // Until the connection of before the crash is given up, what is sent into it is lost and has to be fetched.
    story.step("an edit on desktop right after that crash", || {
        net[0].json(&["beads", "set", &ids[8], "notes=right after the crash"])?;
        arrived(net, &ids[8], "notes", "right after the crash")?;
        agreed(net)
    })
}

/// A bead with a failing test goes to another machine; a program there really repairs it. Code does not travel by itself
/// yet: a bare repository on this disk stands between the machines.
fn slung(story: &mut Story, net: &Net) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let sample = Sample::new(dir.path())?;
    let mut id = String::new();
    story.step("server: townmesh runner add fixer -- agent.sh", || {
        let repo = sample.server.to_str().context("path")?;
        sling::runner_with(&net[1], "fixer", &["--repo", repo, "--push", "origin"], &sample.agent)?;
        Ok("takes one bead at once".to_owned())
    })?;
    let mut done = Value::Null;
    story.step("desktop: a bead for a failing test, slung to server", || {
        ensure!(!sample.passes(&sample.base)?, "the test should fail before");
        id = sling::bead(net.nodes(), "The sum of 2 and 3 is wrong")?;
        done = net[0].json(&["sling", &id, "server", "--base", &sample.base, "--wait"])?;
        let text = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
        Ok(format!("{} on {}, fence {}, commit {:.10}", text("state"), text("worker"), text("fence"), text("commit")))
    })?;
    story.step("the result is on desktop, the bead closed everywhere", || {
        let commit = done["commit"].as_str().context("no commit")?;
        ensure!(sample.passes(commit)?, "the test still fails");
        sling::closed(net.nodes(), &id)?;
        Ok("the test passes (the branch came through a bare repository on this disk)".to_owned())
    })?;
    let told = net[2].cli(&["work", "show", &id])?;
    println!("\nwhat laptop knows of it (townmesh work show {id}):\n{}", told.stdout);
    Ok(())
}

fn set(bead: &mut Value, field: &str, value: &str) {
    bead[field] = value.into();
    bead["updated_at"] = jiff::Timestamp::now().to_string().into();
}

/// Waits until a field has a value in every file.
fn arrived(net: &Net, id: &str, field: &str, value: &str) -> Result<()> {
    for node in net.nodes() {
        wait_until(&format!("{}: {id}.{field} is {value:?}", node.name), PATIENCE, || {
            let Ok(beads) = node.file_beads() else { return Ok(Err("a file half written".to_owned())) };
            let seen = beads.get(id).map(|bead| bead[field].clone()).unwrap_or_default();
            Ok(if seen == value { Ok(()) } else { Err(seen.to_string()) })
        })?;
    }
    Ok(())
}

fn latency(net: &Net, content: &str, ids: &[String]) -> Result<()> {
    let mesh = over_mesh(&net[0], &net[1], ids, EDITS)?;
    let dir = tempfile::tempdir()?;
    let other = over_git(dir.path(), content, ids, EDITS)?;
    println!(
        "\nedit in desktop's file → server's file, {} edits of a file with {} beads",
        mesh.count(),
        net[0].space()?["beads"]
    );
    for (way, times) in [("townmesh", &mesh), ("git commit + push + fetch + merge", &other)] {
        println!("  {way:<34} p50 {:>8}  p99 {:>8}", shown(times.percentile(0.5)), shown(times.percentile(0.99)));
    }
    Ok(())
}
