//! Measures what townmesh costs and how fast it is, on real processes on this machine, beside git, NATS and the
//! machine's own limits. `--json`: the last line on stdout is one JSON object. `scripts/bench` runs it.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testnet::bench::{self, ms, summary};
use testnet::latency::{Times, over_git, over_mesh};
use testnet::{Net, fixture, wait_until};

/// What is measured unless something else is asked for: the size of a large real beads file.
const BEADS: usize = 10_519;

struct Asked {
    json: bool,
    beads: usize,
    edits: usize,
    nodes: Vec<usize>,
    per_s: u32,
    seconds: u64,
    ops: usize,
    slings: usize,
    samples: Option<PathBuf>,
    only: Vec<String>,
}

const USAGE: &str =
    "townmesh-bench [--json] [--beads N] [--edits N] [--nodes N,N…] [--per-s N] [--seconds N] [--ops N] [--slings N]
               [--samples FILE] [--only edits,git,bd,rates,start,idle,join,mesh,history,sling]";

fn asked() -> Result<Asked> {
    let mut out = Asked {
        json: false,
        beads: BEADS,
        edits: 300,
        nodes: vec![30],
        per_s: 300,
        seconds: 10,
        ops: 20_000,
        slings: 300,
        samples: None,
        only: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--json" => out.json = true,
            "--beads" => out.beads = value()?.parse()?,
            "--edits" => out.edits = value()?.parse()?,
            "--nodes" => out.nodes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--per-s" => out.per_s = value()?.parse()?,
            "--seconds" => out.seconds = value()?.parse()?,
            "--ops" => out.ops = value()?.parse()?,
            "--slings" => out.slings = value()?.parse()?,
            "--samples" => out.samples = Some(value()?.into()),
            "--only" => out.only = value()?.split(',').map(str::to_owned).collect(),
            _ => bail!("unknown argument {arg}\n{USAGE}"),
        }
    }
    Ok(out)
}

#[derive(Default)]
struct Report {
    summary: Map<String, Value>,
    samples: Map<String, Value>,
}

impl Report {
    fn put(&mut self, name: &str, value: Value) {
        eprintln!("{name:<28} {value}");
        self.summary.insert(name.to_owned(), value);
    }

    fn times(&mut self, name: &str, times: &Times) {
        self.samples.insert(name.to_owned(), times.raw_ms().into());
        self.put(name, summary(times));
    }

    fn slings(&mut self, name: &str, times: &bench::SlingTimes) {
        let parts = [
            ("granted_ms", &times.granted),
            ("accepted_ms", &times.accepted),
            ("started_ms", &times.started),
            ("done_ms", &times.done),
        ];
        for (part, times) in parts {
            self.samples.insert(format!("{name}_{part}"), times.raw_ms().into());
        }
        self.put(name, parts.iter().map(|(part, times)| ((*part).to_owned(), summary(times))).collect());
    }
}

fn main() -> Result<()> {
    let asked = asked()?;
    let wants = |part: &str| asked.only.is_empty() || asked.only.iter().any(|p| p == part);
    let mut report = Report::default();
    let dir = tempfile::tempdir()?;
    report.put("beads", asked.beads.into());
    report.put("fsync_us", bench::fsync_us(dir.path())?.into());
    report.put("verify_us", bench::verify_us()?.into());
    report.put("loopback_us", bench::loopback_us()?.into());
    if ["edits", "rates", "start"].iter().any(|part| wants(part)) {
        pair(&asked, &wants, &mut report)?;
    }
    if wants("idle") {
        idle(&asked, &mut report)?;
    }
    if wants("git") {
        let lines = fixture::lines(asked.beads, 7);
        let ids = spread(asked.beads, 20);
        let times = over_git(&dir.path().join("git"), &fixture::file(&lines), &ids, 20)?;
        report.times("git_ms", &times);
        report.put("git_sync_ms", ms(times.percentile(0.5)).into());
    }
    if wants("bd") {
        bd(&mut report)?;
    }
    if wants("join") {
        join(&asked, &mut report)?;
    }
    if wants("sling") {
        sling(&asked, dir.path(), &mut report)?;
    }
    if wants("history") {
        history(&asked, &mut report)?;
    }
    if wants("mesh") {
        for nodes in &asked.nodes {
            mesh(&asked, *nodes, &mut report)?;
        }
    }
    if let Some(path) = &asked.samples {
        let all = json!({"summary": report.summary, "samples_ms": report.samples});
        std::fs::write(path, format!("{all}\n")).with_context(|| path.display().to_string())?;
    }
    if asked.json {
        println!("{}", Value::Object(report.summary));
    }
    Ok(())
}

/// Ids spread over all beads.
fn spread(beads: usize, count: usize) -> Vec<String> {
    (0..beads).step_by((beads / count.max(1)).max(1)).map(fixture::id).collect()
}

fn loaded(beads: usize, nodes: usize) -> Result<Net> {
    let mut net = Net::new(nodes)?;
    net.set_env("TOWNMESH_LOG", "warn");
    net[0].write_file(fixture::file(&fixture::lines(beads, 7)).as_bytes())?;
    net.start()?;
    net.converged()?;
    net.files_equal()?;
    Ok(net)
}

/// A node with all beads and eight peers: what it costs when nobody does anything.
fn idle(asked: &Asked, report: &mut Report) -> Result<()> {
    let mut net = loaded(asked.beads, 9)?;
    report.put("peers", net[0].json(&["status"])?["peers"].as_array().map_or(0, Vec::len).into());
    let (before, started) = (bench::cpu_time(pid(&net)?)?, Instant::now());
    // Nothing is waited for: this is the time over which idleness is measured.
    std::thread::sleep(Duration::from_secs(20));
    let used = bench::cpu_time(pid(&net)?)? - before;
    let percent = used.as_secs_f64() * 100.0 / started.elapsed().as_secs_f64();
    report.put("idle_cpu_percent", ((percent * 100.0).round() / 100.0).into());
    report.put("rss_after_import_mib", bench::rss_mib(pid(&net)?)?.into());
    net[0].restart()?;
    net.converged()?;
    report.put("rss_mib", bench::rss_mib(pid(&net)?)?.into());
    report.put("disk_mib", bench::disk_mib(&net[0].home)?.into());
    Ok(())
}

fn pid(net: &Net) -> Result<u32> {
    net[0].child.as_ref().map(std::process::Child::id).context("not running")
}

/// Two nodes with all beads.
fn pair(asked: &Asked, wants: &dyn Fn(&str) -> bool, report: &mut Report) -> Result<()> {
    let mut net = loaded(asked.beads, 2)?;
    let ids = spread(asked.beads, asked.edits);
    if wants("edits") {
        report.times("edit_visible_ms", &bench::visible(&net[0], &net[1], &ids, asked.edits)?);
        report.times("edit_in_file_ms", &bench::in_file(&net[0], &net[1], &ids, asked.edits.min(100))?);
        net.files_equal()?;
        report.times("file_to_file_ms", &over_mesh(&net[0], &net[1], &ids, asked.edits.min(100))?);
        report.put("rss_after_edits_mib", bench::rss_mib(pid(&net)?)?.into());
    }
    if wants("rates") {
        let all = spread(asked.beads, asked.beads);
        let time = Duration::from_secs(5);
        net[1].kill()?;
        let home = net[0].home.clone();
        report.put("synced_edits_per_s_one_caller", bench::rates(&home, &all, 1, 1, time)?.into());
        report.put("synced_edits_per_s", bench::rates(&home, &all, 16, 1, time)?.into());
        report.put("batched_edits_per_s", bench::rates(&home, &all, 4, 64, time)?.into());
        report.put("rss_after_rates_mib", bench::rss_mib(pid(&net)?)?.into());
    }
    if wants("start") {
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(bench::cold_start(&mut net[0])?);
        }
        let times = Times::new(times);
        report.times("cold_starts_ms", &times);
        report.put("cold_start_ms", ms(times.percentile(0.5)).into());
    }
    Ok(())
}

/// A second node works for the first one; NATS and a watched file beside it.
fn sling(asked: &Asked, dir: &Path, report: &mut Report) -> Result<()> {
    let [empty, tree] = bench::RIGS;
    let starts = bench::Starts::new(dir)?;
    let program = starts.program(dir)?;
    // Making a worktree is git's work, and slow: fewer of them say enough.
    let in_tree = asked.slings.min(50);
    let beads = |rig, count| bench::open_beads(rig, count + bench::WARM_UP);
    let ((bare_ids, bare), (ids, lines), (tree_ids, tree_lines)) =
        (beads("bare", asked.slings), beads(empty, asked.slings), beads(tree, in_tree));
    let all = fixture::lines(asked.beads, 7);
    {
        let mut net = Net::new(2)?;
        net.set_env("TOWNMESH_LOG", "warn");
        net.found()?;
        net[0].json(&["space", "detach", "."])?;
        net.join_without_files(1)?;
        let file = dir.join("beads.jsonl");
        std::fs::write(&file, fixture::file(&[&all[..], &bare].concat()))?;
        net[0].json(&["beads", "import", file.to_str().context("path")?])?;
        net.converged()?;
        bench::add_runners(&net[1], dir, &program)?;
        report.slings("sling_without_files", &bench::sling_times(&net, &starts, empty, &bare_ids)?);
    }
    let mut net = Net::new(2)?;
    net.set_env("TOWNMESH_LOG", "warn");
    net[0].write_file(fixture::file(&[all, lines, tree_lines].concat()).as_bytes())?;
    net.start()?;
    net.converged()?;
    net.files_equal()?;
    bench::add_runners(&net[1], dir, &program)?;
    report.slings("sling", &bench::sling_times(&net, &starts, empty, &ids)?);
    report.slings("sling_in_worktree", &bench::sling_times(&net, &starts, tree, &tree_ids)?);
    // As large as a grant's signed step.
    let grant = json!({"kind": "grant", "body": "x".repeat(1_000)});
    match std::env::var_os("TOWNMESH_NATS").filter(|path| !path.is_empty()) {
        Some(program) => {
            let times = bench::nats_requests(&PathBuf::from(program), &grant, asked.slings, bench::WARM_UP)?;
            report.times("nats_request_ms", &times);
        }
        None => eprintln!("skipped: no nats-server (TOWNMESH_NATS; scripts/install-nats)"),
    }
    let watched = bench::file_watch(&dir.join("watched"), &grant, asked.slings, bench::WARM_UP)?;
    report.times("file_watch_ms", &watched);
    Ok(())
}

/// Issues of the real bd, if there is one.
fn bd(report: &mut Report) -> Result<()> {
    const ROUNDS: usize = 20;
    let Some(program) = std::env::var_os("TOWNMESH_BD").filter(|path| !path.is_empty()) else {
        eprintln!("skipped: no bd (TOWNMESH_BD)");
        return Ok(());
    };
    let times = bench::bd_times(&PathBuf::from(program), ROUNDS)?;
    report.times("bd_create_ms", &times.create);
    report.times("bd_create_alone_ms", &times.create_alone);
    report.times("bd_visible_ms", &times.visible);
    report.times("bd_own_sync_ms", &times.synced_by_bd);
    Ok(())
}

/// A member that was away while everything was imported.
fn join(asked: &Asked, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..3 {
        let mut net = Net::new(2)?;
        net.set_env("TOWNMESH_LOG", "warn");
        net.start()?;
        net.converged()?;
        net[1].kill()?;
        let file = net[0].work.join("all.jsonl");
        std::fs::write(&file, fixture::file(&fixture::lines(asked.beads, 7)))?;
        net[0].json(&["beads", "import", file.to_str().context("path")?])?;
        let (greeted, started) = bench::catch_up(&mut net, 1, Duration::from_secs(120))?;
        times.push(greeted);
        whole.push(started);
    }
    let times = Times::new(times);
    report.times("catchups_ms", &times);
    report.put("catchup_ms", ms(times.percentile(0.5)).into());
    report.put("catchup_from_start_ms", ms(Times::new(whole).percentile(0.5)).into());
    Ok(())
}

/// Many single-edit ops over the beads, and a member that was away meanwhile: it begins with a checkpoint, and fetches
/// the ops below afterwards.
fn history(asked: &Asked, report: &mut Report) -> Result<()> {
    let mut net = loaded(asked.beads, 2)?;
    net[1].kill()?;
    let before = usize::try_from(net[0].space()?["ops"].as_u64().unwrap_or(0))?;
    let ids = spread(asked.beads, asked.beads);
    let home = net[0].home.clone();
    let started = Instant::now();
    let mut ops = 0;
    while ops < asked.ops {
        bench::rates(&home, &ids, 16, 1, Duration::from_secs(5))?;
        ops = usize::try_from(net[0].space()?["ops"].as_u64().unwrap_or(0))?;
        eprintln!("{ops} of {} ops, {:.0} s", asked.ops, started.elapsed().as_secs_f64());
    }
    report.put("history_ops", ops.into());
    report.put("history_disk_mib", bench::disk_mib(&net[0].home)?.into());
    report.put("history_cold_start_ms", ms(bench::cold_start(&mut net[0])?).into());
    let (greeted, _) = bench::catch_up(&mut net, 1, Duration::from_secs(3600))?;
    report.put("catchup_checkpoint_ms", ms(greeted).into());
    let late = net[1].child.as_ref().map(std::process::Child::id).context("not running")?;
    let (cpu, since) = (bench::cpu_time(late)?, Instant::now());
    let missing = |net: &Net| -> Result<u64> {
        let shown = net[1].json(&["space", "show"])?;
        shown["checkpoint"]["history_missing"].as_u64().context("history_missing")
    };
    let begun = missing(&net)?;
    report.put("history_begun_with_checkpoint", (begun > 0).into());
    wait_until("the whole history is there", Duration::from_secs(3600), || {
        let missing = missing(&net)?;
        eprint!("\r{missing} ops to fetch, {:.0} s ", since.elapsed().as_secs_f64());
        Ok(if missing == 0 { Ok(()) } else { Err(missing.to_string()) })
    })?;
    eprintln!();
    let cpu = (bench::cpu_time(late)? - cpu).as_secs_f64();
    report.put("history_fetched_s", since.elapsed().as_secs_f64().round().into());
    // What was fetched before the first look is not in the CPU time either.
    report.put("taken_in_events_per_cpu_s", (begun as f64 / cpu.max(0.01)).round().into());
    report.put("history_late_rss_mib", bench::rss_mib(late)?.into());
    report.put("history_ops_before", before.into());
    let pid = net[0].child.as_ref().map(std::process::Child::id).context("not running")?;
    report.put("history_rss_mib", bench::rss_mib(pid)?.into());
    Ok(())
}

/// Edits on all of many nodes.
fn mesh(asked: &Asked, nodes: usize, report: &mut Report) -> Result<()> {
    let edits = usize::try_from(u64::from(asked.per_s) * asked.seconds)?;
    let mut net = Net::new(nodes)?;
    net.set_env("TOWNMESH_LOG", "warn");
    net[0].write_file(fixture::file(&fixture::lines(edits, 7)).as_bytes())?;
    net.found()?;
    for at in 1..nodes {
        net.join_without_files(at)?;
        eprint!("\r{} of {nodes} nodes", at + 1);
    }
    eprintln!();
    net.converged()?;
    let used = |net: &Net| -> Result<Duration> {
        net.nodes().iter().filter_map(|n| n.child.as_ref()).map(|child| bench::cpu_time(child.id())).sum()
    };
    let before = used(&net)?;
    let fan = bench::fan_out(&net, &spread(edits, edits), edits, asked.per_s)?;
    let cpu = used(&net)? - before;
    report.samples.insert(format!("mesh{nodes}_ms"), fan.times.raw_ms().into());
    report.put(
        &format!("mesh{nodes}"),
        json!({"delivered_percent": fan.delivered_percent, "p50_ms": ms(fan.times.percentile(0.5)),
            "p99_ms": ms(fan.times.percentile(0.99)), "edits": fan.edits, "edits_per_s": fan.rate.round(),
            "cpu_ms_per_edit": ms(cpu) / fan.edits.max(1) as f64, "processes": nodes}),
    );
    net.converged()?;
    Ok(())
}
