//! What work may use and see, with real processes: caps, budgets, convoys, the sandbox.

use super::started;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use testnet::sling::{bead, closed, runner, runner_with, script, until};
use testnet::{Net, Node, PATIENCE, fixture, wait_until};

/// Tokens that a program says it used in each step.
const STEP: u64 = 10;

/// Works in steps, for ever: says what each used, and writes the step into a file that the test counts by itself.
fn greedy(dir: &Path) -> std::path::PathBuf {
    let text = format!(
        "#!/bin/sh\nwhile :; do\n  echo \"$TOWNMESH_BEAD\" >>'{}/steps'\n  echo '{{\"usage\":{{\"tokens_in\":{},\"tokens_out\":{}}}}}' >&3\n  \
         sleep 0.5\ndone\n",
        dir.display(),
        STEP - 3,
        3
    );
    script(dir, "greedy.sh", &text).unwrap()
}

fn steps(dir: &Path) -> u64 {
    std::fs::read_to_string(dir.join("steps")).unwrap_or_default().lines().count() as u64
}

fn idle(node: &Node) {
    wait_until(&format!("{} works on nothing", node.name), PATIENCE, || {
        let runners = node.json(&["runner", "ls"])?;
        let busy = runners.as_array().into_iter().flatten().any(|runner| runner["working_on"] != json!([]));
        Ok(if busy { Err(runners.to_string()) } else { Ok(()) })
    })
    .unwrap();
}

/// What `costs` says in all, in tokens, once two nodes say the same.
fn tokens(net: &Net) -> u64 {
    let sum = |node: &Node| {
        let total = node.json(&["costs", "--by", "agent"]).unwrap()["total"].clone();
        total["tokens_in"].as_u64().unwrap() + total["tokens_out"].as_u64().unwrap()
    };
    wait_until("both nodes agree on the costs", PATIENCE, || {
        let (a, b) = (sum(&net[0]), sum(&net[1]));
        Ok(if a == b { Ok(a) } else { Err(format!("{a} and {b}")) })
    })
    .unwrap()
}

#[test]
fn a_cap_ends_the_work_after_at_most_one_more_step() {
    let dir = tempfile::tempdir().unwrap();
    let net = started(2, 5).unwrap();
    runner(&net[1], "greedy", &greedy(dir.path())).unwrap();
    let id = bead(net.nodes(), "never enough").unwrap();
    let cap = 4 * STEP;
    net[0].json(&["sling", &id, &net[1].name, "--tokens", &cap.to_string()]).unwrap();
    for node in net.nodes() {
        let work = until(node, &id, "is over", |work| work["state"] == "cancelled").unwrap();
        assert!(work["why"].as_str().unwrap().contains("its cap of 40 tokens is used up"), "{work}");
    }
    idle(&net[1]);
    let used = steps(dir.path()) * STEP;
    println!("a cap of {cap} tokens: {used} used, in steps of {STEP}");
    assert!((cap..=cap + STEP).contains(&used), "{used} of {cap}");
    // A step that was made but not reported any more is the one over.
    let told = tokens(&net);
    assert!((cap..=used).contains(&told), "{told} told of {used}");
    let work = net[0].json(&["work", "show", &id]).unwrap();
    assert_eq!(work["grants"].as_array().unwrap().len(), 1, "nobody else may go on: {work}");
    assert_eq!(net[0].json(&["beads", "show", &id]).unwrap()["bead"]["status"], "open");
}

#[test]
fn a_budget_of_the_day_stops_all_workers_and_more_of_it_lets_them_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let net = started(3, 5).unwrap();
    let program = greedy(dir.path());
    for node in &net.nodes()[1..] {
        runner(node, "greedy", &program).unwrap();
    }
    let budget = 8 * STEP;
    net[0].json(&["budget", "set", "day", "--tokens", &budget.to_string()]).unwrap();
    let ids: Vec<String> = (1..3).map(|at| bead(net.nodes(), &format!("greedy {at}")).unwrap()).collect();
    for (at, id) in ids.iter().enumerate() {
        net[0].json(&["sling", id, &net[at + 1].name]).unwrap();
    }
    for (at, id) in ids.iter().enumerate() {
        for node in [&net[0], &net[at + 1]] {
            let over = |work: &Value| work["state"] == "offered" && work["why"].as_str().is_some_and(is_used_up);
            until(node, id, "waits for the budget", over).unwrap();
        }
        idle(&net[at + 1]);
    }
    let used = steps(dir.path()) * STEP;
    println!("a budget of {budget} tokens for two workers: {used} used, in steps of {STEP}");
    assert!((budget..=budget + 2 * STEP).contains(&used), "{used} of {budget}");
    let shown = net[0].json(&["budget", "ls"]).unwrap();
    assert_eq!((&shown[0]["budget"], &shown[0]["used_up"]), (&json!("day"), &json!(true)), "{shown}");
    // Not given away again while there is nothing left, and at once when there is.
    assert_eq!(net[0].json(&["work", "show", &ids[0]]).unwrap()["grants"].as_array().unwrap().len(), 1);
    net[0].json(&["budget", "set", "day", "--tokens", "1000000"]).unwrap();
    for id in &ids {
        until(&net[0], id, "goes on", |work| work["state"] == "working").unwrap();
        net[0].json(&["work", "cancel", id, "--reason", "enough"]).unwrap();
    }
    for node in &net.nodes()[1..] {
        idle(node);
    }
    let refused = net[1].cli(&["budget", "rm", "day"]).unwrap();
    assert!(refused.exit != 0 && refused.stderr.contains("owner"), "{refused:?}");
    assert_eq!(net[0].json(&["budget", "rm", "day"]).unwrap(), json!([]));
}

fn is_used_up(why: &str) -> bool {
    why.contains("the budget \"day\"") && why.contains("used up")
}

#[test]
fn what_a_worker_says_is_seen_on_the_other_machine() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "#!/bin/sh\necho 'hello from afar'\necho '{{\"note\":\"reads\"}}' >&3\necho '{{\"progress\":40}}' >&3\nuntil [ -e '{}/go' ]; do sleep 0.05; done\n",
        dir.path().display()
    );
    let program = script(dir.path(), "talks.sh", &text).unwrap();
    let net = started(2, 5).unwrap();
    runner(&net[1], "talker", &program).unwrap();
    let id = bead(net.nodes(), "tell me").unwrap();
    net[0].json(&["sling", &id, &net[1].name]).unwrap();
    until(&net[0], &id, "says how far it is", |work| work["progress"] == 40 && work["note"] == "reads").unwrap();
    // Or by the command line, on the machine where it works.
    net[1].json(&["work", "usage", &id, "--tokens-in", "7", "--money", "0.25"]).unwrap();
    net[1].json(&["work", "note", &id, "half of it", "--progress", "50"]).unwrap();
    let work =
        until(&net[0], &id, "says more", |work| work["progress"] == 50 && work["used"]["tokens_in"] == 7).unwrap();
    assert_eq!((&work["note"], &work["used"]["money_micros"]), (&json!("half of it"), &json!(250_000)));
    let nobody = net[0].cli(&["work", "note", &id, "x"]).unwrap();
    assert!(nobody.stderr.contains("nobody works on"), "{nobody:?}");
    let log = net[0].cli(&["work", "log", &id]).unwrap();
    assert_eq!(log.stdout, "hello from afar\n", "{log:?}");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let followed = net[0].cli(&["work", "log", "-f", &id]).unwrap();
    assert_eq!((followed.exit, followed.stdout.as_str()), (0, "hello from afar\n"), "it ends with the program");
    closed(net.nodes(), &id).unwrap();
    let by_host = net[1].json(&["costs", "--by", "host"]).unwrap();
    assert_eq!((&by_host["lines"][0]["of"], &by_host["lines"][0]["tokens_in"]), (&json!(net[1].name), &json!(7)));
    let by_agent = net[0].json(&["costs", "--by", "agent"]).unwrap();
    assert_eq!(by_agent["lines"][0]["of"], json!(format!("{}/talker", net[1].name)));
}

#[test]
fn a_convoy_lands_once() {
    let dir = tempfile::tempdir().unwrap();
    let program = script(dir.path(), "works.sh", "#!/bin/sh\ngrep -q hopeless && exit 1\nexit 0\n").unwrap();
    let net = started(2, 5).unwrap();
    runner_with(&net[1], "worker", &["--no-repo", "--slots", "3"], &program).unwrap();
    let ids: Vec<String> = ["one", "two", "hopeless"].iter().map(|title| bead(net.nodes(), title).unwrap()).collect();
    let (one, two, bad) = (ids[0].as_str(), ids[1].as_str(), ids[2].as_str());
    let good = net[0].json(&["sling", one, two, &net[1].name, "--convoy", "the release", "--wait"]).unwrap();
    assert_eq!((&good["title"], &good["landed"], &good["done"]), (&json!("the release"), &json!(true), &json!(2)));
    let id = good["convoy"].as_str().unwrap();
    closed(net.nodes(), id).unwrap();
    assert_eq!(net[1].json(&["beads", "show", id]).unwrap()["bead"]["close_reason"], "landed: 2 done, 0 not");
    let landings = net[1].json(&["beads", "log", id]).unwrap().to_string().matches("landed: 2 done").count();
    assert_eq!(landings, 1, "announced once");
    let mixed = net[0]
        .cli(&["sling", bad, "--to", &net[1].name, "--convoy", "no hope", "--lease", "1s", "--wait", "--json"])
        .unwrap();
    assert_ne!(mixed.exit, 0, "{mixed:?}");
    let shown: Value = serde_json::from_str(&mixed.stdout).unwrap();
    assert_eq!((&shown["landed"], &shown["done"], &shown["over"]), (&json!(true), &json!(0), &json!(1)));
    assert_eq!(net[0].json(&["convoy", "ls"]).unwrap(), json!([]));
    assert_eq!(net[1].json(&["convoy", "ls", "--all"]).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_sandboxed_run_sees_no_home_no_keys_no_network() {
    let sandbox = std::process::Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-all", "true"]).status();
    if !sandbox.is_ok_and(|status| status.success()) {
        println!("skipped: no bubblewrap that works here (apt install bubblewrap)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "the secret").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let net = started(2, 5).unwrap();
    let keys = net[1].home.join("keys/host.key");
    assert!(keys.exists(), "the test has to look for what is there: {}", keys.display());
    let probes = format!(
        "for f in '{}' '{}/secret' \"$HOME/.ssh\" \"$HOME/.bashrc\" \"$HOME/.gitconfig\" /etc/shadow; do \
         head -c 1 \"$f\" >/dev/null 2>&1 && echo \"READ $f\"; ls \"$f\" >/dev/null 2>&1 && [ -d \"$f\" ] && echo \"LISTED $f\"; done; \
         bash -c 'echo >/dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo REACHED; \
         env | grep -v '^TOWNMESH_' | grep -i -E 'token|secret|key' && echo LEAKED; echo looked",
        keys.display(),
        dir.path().display()
    );
    for (name, sandboxed) in [("open", false), ("closed", true)] {
        let mut argv = vec!["runner", "add", name, "--no-repo", "--rig", name];
        argv.extend(sandboxed.then_some("--sandbox"));
        argv.extend(["--", "sh", "-c", &probes]);
        let added = net[1].cli(&argv).unwrap();
        assert_eq!(added.exit, 0, "{added:?}");
        let id = bead(net.nodes(), name).unwrap();
        net[0].json(&["sling", &id, &format!("{}:{name}", net[1].name), "--wait"]).unwrap();
        let log = net[1].cli(&["work", "log", &id]).unwrap().stdout;
        assert!(log.contains("looked"), "{log}");
        let found = log.contains("READ") || log.contains("LISTED") || log.contains("REACHED") || log.contains("LEAKED");
        assert_eq!(found, !sandboxed, "{name}: {log}");
        if !sandboxed {
            assert!(log.contains("host.key") && log.contains("REACHED"), "the probes find what can be found: {log}");
        }
    }
}

#[test]
fn a_log_is_read_where_the_program_ran_and_an_agent_known_by_name_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("#!/bin/sh\ncat >'{0}/bead'\necho \"$1 $3 $4\" >'{0}/args'\necho worked\n", dir.path().display());
    script(dir.path(), "claude", &text).unwrap();
    let mut net = Net::new(2).unwrap();
    net[0].write_file(fixture::file(&fixture::lines(5, 1)).as_bytes()).unwrap();
    net.found().unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    net[1].env.insert("PATH".to_owned(), path);
    testnet::latency::git(&net[1].work, &["init", "-q"]).unwrap();
    let ticket = net.ticket().unwrap();
    let joined = net[1].cli_with(&["join", "-", ".", "--no-service", "--name", "b"], &ticket).unwrap();
    let told = joined.stderr.contains("townmesh runner add claude --preset claude");
    assert!(joined.exit == 0 && told, "who cannot be asked is told: {joined:?}");
    net[1].up().unwrap();
    let known = net[1].json(&["runner", "presets"]).unwrap();
    assert_eq!((&known[0]["preset"], &known[0]["here"]), (&json!("claude"), &json!(true)), "{known}");
    let added = net[1].cli(&["runner", "add", "claude", "--preset", "claude", "--no-repo"]).unwrap();
    assert_eq!(added.exit, 0, "{added:?}");
    let id = bead(net.nodes(), "for an agent").unwrap();
    net[0].json(&["sling", &id, &net[1].name, "--wait"]).unwrap();
    let given = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(given("bead").contains("for an agent"));
    assert_eq!(given("args"), "-p --permission-mode acceptEdits\n");
    assert_eq!(net[0].cli(&["work", "log", &id]).unwrap().stdout, "worked\n");
    net[1].kill().unwrap();
    let away = wait_until("the worker is seen to be away", PATIENCE, || {
        let log = net[0].cli(&["work", "log", &id])?;
        Ok(if log.stderr.contains("is not connected") { Ok(log) } else { Err(format!("{log:?}")) })
    });
    assert_ne!(away.unwrap().exit, 0);
}
