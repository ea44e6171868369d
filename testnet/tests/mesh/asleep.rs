//! A laptop whose lid is closed while it works: whoever waits for it does not wait long, and what it brings too late is kept for
//! a person, and does nothing.

use super::started;
use rustix::process::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testnet::latency::git;
use testnet::sling::{Sample, bead, done_once, runner_with, script, until};
use testnet::{Asleep, Net, Node, PATIENCE, wait_until};

const LEASE: Duration = Duration::from_secs(2);

/// Makes half of its work, waits for a file, makes the other half, commits both and says that it is through.
fn program(dir: &Path, host: &str) -> PathBuf {
    let dir_name = dir.display();
    let text = format!(
        r#"#!/bin/sh
set -e
echo 'half by {host}' >half
echo $$ >'{dir_name}/{host}.pid.new'
mv '{dir_name}/{host}.pid.new' '{dir_name}/{host}.pid'
until [ -e '{dir_name}/{host}.go' ]; do [ -d '{dir_name}' ] || exit 1; sleep 0.05; done
echo 'made by {host}' >made
git add half made
git -c user.name=agent -c user.email=agent@example.org commit -qm 'made by {host}'
: >'{dir_name}/{host}.through'
"#
    );
    script(dir, &format!("{host}.sh"), &text).unwrap()
}

/// Lets the first attempt's result wait at the door of the repository that results are pushed to.
fn doorkeeper(dir: &Path, origin: &Path) {
    let dir = dir.display();
    let text = format!(
        r#"#!/bin/sh
read -r old new ref
case $ref in
  *.1)
    : >'{dir}/at-the-door'
    until [ -e '{dir}/open' ]; do [ -d '{dir}' ] || exit 1; sleep 0.05; done ;;
esac
"#
    );
    script(&origin.join("hooks"), "pre-receive", &text).unwrap();
}

/// A coordinator and two workers; one of them works on a bead.
struct Story {
    dir: TempDir,
    sample: Sample,
    net: Net,
    id: String,
    first: usize,
    other: usize,
}

fn story() -> Story {
    let dir = tempfile::tempdir().unwrap();
    let sample = Sample::new(dir.path()).unwrap();
    git(dir.path(), &["clone", "-q", "-b", "main", "origin.git", "c"]).unwrap();
    std::fs::rename(&sample.server, dir.path().join("b")).unwrap();
    let net = started(3, 5).unwrap();
    for node in &net.nodes()[1..] {
        let repo = dir.path().join(&node.name);
        let flags = ["--repo", repo.to_str().unwrap(), "--push", "origin"];
        runner_with(node, "agent", &flags, &program(dir.path(), &node.name)).unwrap();
    }
    let id = bead(net.nodes(), "whoever is awake").unwrap();
    net[0].json(&["sling", &id, "any", "--lease", "2s"]).unwrap();
    let work = until(&net[0], &id, "is worked on", |work| work["state"] == "working").unwrap();
    let first = net.nodes().iter().position(|node| work["worker"] == node.name.as_str()).unwrap();
    let story = Story { dir, sample, net, id, first, other: 3 - first };
    appears(&story.file(first, "pid"));
    story
}

/// What a bead shows of its end, and everything that ever ended or reopened it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: Value,
    reason: Value,
    assignee: Value,
    lifecycle: Vec<Value>,
}

fn appears(file: &Path) {
    wait_until(&file.display().to_string(), PATIENCE, || {
        Ok(if file.exists() { Ok(()) } else { Err("not there".to_owned()) })
    })
    .unwrap();
}

impl Story {
    fn file(&self, host: usize, end: &str) -> PathBuf {
        self.dir.path().join(format!("{}.{end}", self.net[host].name))
    }

    fn go(&self, host: usize) {
        std::fs::write(self.file(host, "go"), "").unwrap();
    }

    /// The program of the first worker, and its group.
    fn group(&self) -> Pid {
        let text = std::fs::read_to_string(self.file(self.first, "pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    /// The first worker's repository.
    fn repo(&self) -> PathBuf {
        self.dir.path().join(&self.net[self.first].name)
    }

    /// Under which name it keeps what the first attempt made.
    fn kept(&self) -> String {
        let work = self.net[0].json(&["work", "show", &self.id]).unwrap();
        format!("refs/townmesh/{}/{}", self.id, work["grants"][0]["fence"].as_str().unwrap())
    }

    /// The first worker has nothing to do any more.
    fn idle(&self) {
        wait_until("nothing runs there any more", PATIENCE, || {
            let runners = self.net[self.first].json(&["runner", "ls"])?;
            let idle = runners[0]["working_on"].as_array().is_some_and(Vec::is_empty);
            Ok(if idle { Ok(()) } else { Err(runners.to_string()) })
        })
        .unwrap();
    }

    /// The bead is granted to the other worker in time, who does it.
    fn done_by_the_other(&self, since: Instant) -> Seen {
        let (a, name) = (&self.net[0], self.net[self.other].name.as_str());
        until(a, &self.id, "is granted again", |w| w["worker"] == name && w["state"] == "working").unwrap();
        let took = since.elapsed();
        println!("granted again {took:?} after its worker fell asleep, with a lease of {LEASE:?}");
        assert!(took < 2 * LEASE, "{took:?}");
        self.go(self.other);
        until(a, &self.id, "is done", |work| work["state"] == "accepted").unwrap();
        let seen = self.seen(a);
        assert_eq!((&seen.status, &seen.assignee), (&Value::from("closed"), &Value::from(name)));
        assert_eq!(seen.reason, format!("done by {name}, attempt 2"));
        assert_eq!(a.json(&["work", "review"]).unwrap(), Value::Array(Vec::new()));
        seen
    }

    fn seen(&self, node: &Node) -> Seen {
        let bead = node.json(&["beads", "show", &self.id]).unwrap()["bead"].take();
        let log = node.json(&["beads", "log", &self.id]).unwrap();
        let writes = log["ops"].as_array().unwrap().iter().flat_map(|op| op["writes"].as_array().unwrap());
        let lifecycle = writes.filter(|write| write["unit"] == "lifecycle").cloned().collect();
        let field = |name: &str| bead[name].clone();
        Seen { status: field("status"), reason: field("close_reason"), assignee: field("assignee"), lifecycle }
    }

    /// All three agree, and nobody has closed or reopened the bead since.
    fn nothing_changed(&self, before: &Seen) {
        self.net.converged().unwrap();
        for node in self.net.nodes() {
            assert_eq!(self.seen(node), *before, "{}", node.name);
            let work = node.json(&["work", "show", &self.id]).unwrap();
            done_once(&work).unwrap();
            assert_eq!(work["grants"].as_array().unwrap().len(), 2, "{work}");
        }
    }
}

/// The late results that a node lists: one, of the first attempt of the first worker.
fn the_late_one(story: &Story, review: &Value) -> String {
    let [late] = review.as_array().unwrap().as_slice() else { panic!("not one: {review}") };
    let name = story.net[story.first].name.as_str();
    assert_eq!((&late["bead"], &late["worker"]), (&Value::from(story.id.as_str()), &Value::from(name)));
    assert_eq!((&late["attempt"], &late["result"]), (&Value::from(1), &Value::from("done")), "{late}");
    late["commit"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_sleeping_laptop_brings_too_late_is_kept_for_review_and_changes_nothing() {
    let story = story();
    let (net, first) = (&story.net, story.first);
    doorkeeper(story.dir.path(), &story.sample.origin);
    // Its program is through; the lid is closed while the node hands the result over.
    story.go(first);
    appears(&story.dir.path().join("at-the-door"));
    let asleep = Asleep::new(&net[first], &[]).unwrap();
    let before = story.done_by_the_other(Instant::now());
    std::fs::write(story.dir.path().join("open"), "").unwrap();
    asleep.wake();
    let review = wait_until("the late result is there for review", PATIENCE, || {
        let review = net[0].json(&["work", "review"])?;
        Ok(if review[0].is_null() { Err(review.to_string()) } else { Ok(review) })
    })
    .unwrap();
    let commit = the_late_one(&story, &review);
    let desk = &story.sample.desk;
    git(desk, &["fetch", "-q", "origin", "+refs/townmesh/*:refs/townmesh/*"]).unwrap();
    let made = git(desk, &["show", &format!("{commit}:made")]).unwrap();
    assert_eq!(made, format!("made by {}\n", net[first].name));
    story.nothing_changed(&before);
    for node in net.nodes() {
        assert_eq!(the_late_one(&story, &node.json(&["work", "review"]).unwrap()), commit, "{}", node.name);
    }
}

#[test]
fn a_program_that_is_through_while_its_node_sleeps_closes_nothing_and_is_not_lost() {
    let story = story();
    let (net, first) = (&story.net, story.first);
    let asleep = Asleep::new(&net[first], &[]).unwrap();
    let since = Instant::now();
    // Its program does not sleep: it is through before its node wakes up.
    story.go(first);
    appears(&story.file(first, "through"));
    let before = story.done_by_the_other(since);
    asleep.wake();
    story.idle();
    let made = git(&story.repo(), &["show", &format!("{}:made", story.kept())]).unwrap();
    assert_eq!(made, format!("made by {}\n", net[first].name));
    story.nothing_changed(&before);
    // Awake, the node sees two things at once: the end of the program, and that of the lease. What it saw first decides
    // whether it hands a result over, or has stopped a program; the commit is kept either way.
    let review = net[0].json(&["work", "review"]).unwrap();
    match review.as_array().unwrap().is_empty() {
        true => println!("its node saw the end of the lease first: nothing to review"),
        false => println!("for review: {}", the_late_one(&story, &review)),
    }
}

#[test]
fn a_program_that_slept_with_its_laptop_is_stopped_and_closes_nothing() {
    let story = story();
    let (net, first) = (&story.net, story.first);
    let group = story.group();
    let asleep = Asleep::new(&net[first], &[group]).unwrap();
    let before = story.done_by_the_other(Instant::now());
    asleep.wake();
    story.idle();
    assert!(rustix::process::test_kill_process(group).is_err(), "it still runs");
    assert!(!story.file(first, "through").exists(), "it went on under a lease that was over");
    // What it had made so far is kept on that machine, under the name of its fence.
    let half = git(&story.repo(), &["show", &format!("{}:half", story.kept())]).unwrap();
    assert_eq!(half, format!("half by {}\n", net[first].name));
    let log = net[first].cli(&["work", "log", &story.id, "--attempt", "1"]).unwrap();
    assert!(log.stdout.contains("cancelled: "), "{log:?}");
    story.nothing_changed(&before);
}
