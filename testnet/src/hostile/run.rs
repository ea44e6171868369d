//! One run: an honest pair, the attacks in turn and all at once, and the verdict.

use super::ATTACKS;
use super::gauge::Cost;
use crate::latency::{Times, edit_until_seen, shown};
use crate::{Net, Node, fixture};
use anyhow::{Context as _, Result, ensure};
use proto::limits;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Beads in the attacked space.
const BEADS: usize = 300;
/// Time between two honest edits, and between two looks at the cost.
const PAUSE: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(500);
/// The share of a run in which everything happens at once.
const ALL_SHARE: f64 = 0.3;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long all attacks together take.
    pub time: Duration,
    /// One attack instead of all.
    pub attack: Option<String>,
    /// What the honest pair may lose beyond twice its time: for machines that do something else meanwhile.
    pub slack: Duration,
    /// For the attackers' draws.
    pub seed: u64,
}

/// What one attack came to.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub attack: String,
    /// How long it took.
    pub time: Duration,
    /// Times of the honest edits meanwhile.
    pub edits: Vec<Duration>,
    /// The highest costs meanwhile; processor time is the sum.
    pub peak: Cost,
    /// Attempts that ended, and those that the victim cut short.
    pub attempts: (u64, u64),
    /// Bytes that the attackers sent into streams.
    pub sent: u64,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Before the attacks.
    pub baseline: Row,
    /// One for each attack.
    pub rows: Vec<Row>,
    /// Growth that the honest edits explain, in bytes.
    pub honest_disk: u64,
    /// The limits that were broken.
    pub broken: Vec<String>,
}

/// Runs it. `worker` is this program's own path: attackers are processes of their own at low priority, as they would
/// be on machines of their own.
///
/// # Errors
/// When a node cannot be started or ends, or an honest edit does not arrive.
pub fn run(worker: &Path, options: &Options, mut tell: impl FnMut(&Row)) -> Result<Report> {
    let thieves = ATTACKS.iter().filter(|name| name.starts_with("in-")).count();
    let mut net = Net::new(2 + thieves)?;
    for node in net.nodes_mut() {
        // What the log says by default is what it may cost.
        node.env.remove("TOWNMESH_LOG");
    }
    net[0].write_file(fixture::file(&fixture::lines(BEADS, 7)).as_bytes())?;
    net.start()?;
    net.files_equal()?;
    // The others' keys are stolen; they are away themselves.
    let others = net.nodes_mut().iter_mut().skip(2);
    let keys = others.map(|node| node.term().map(|_| node.home.join("keys/host.key"))).collect::<Result<_>>()?;
    let stage = Stage { worker, ticket: net.ticket()?, keys, seed: options.seed };
    let names: Vec<&str> = match &options.attack {
        Some(name) => vec![name.as_str()],
        None => ATTACKS.iter().copied().chain(["all"]).collect(),
    };
    let calm = (options.time / 10).clamp(Duration::from_secs(5), Duration::from_secs(60));
    let baseline = stage.calm(&net, calm)?;
    tell(&baseline);
    let start = Cost::of(&net[0])?;
    let mut rows = Vec::new();
    for name in &names {
        let share = match (names.len(), *name) {
            (1, _) => 1.0,
            (_, "all") => ALL_SHARE,
            (many, _) => (1.0 - ALL_SHARE) / (many - 1) as f64,
        };
        let row = stage.under_attack(&net, name, options.time.mul_f64(share))?;
        tell(&row);
        rows.push(row);
    }
    net.converged().context("the honest pair after the attacks")?;
    Ok(verdict(baseline, rows, start, options.slack))
}

struct Stage<'a> {
    worker: &'a Path,
    ticket: String,
    keys: Vec<PathBuf>,
    seed: u64,
}

impl Stage<'_> {
    fn calm(&self, net: &Net, time: Duration) -> Result<Row> {
        let until = Instant::now() + time;
        measured(net, "(none)", time, || Ok(Instant::now() >= until))
    }

    fn under_attack(&self, net: &Net, name: &str, time: Duration) -> Result<Row> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(self.worker).args(["--worker", name, "--ticket", &self.ticket]);
        for key in &self.keys {
            command.arg("--key").arg(key);
        }
        command.args(["--seconds", &time.as_secs_f64().to_string(), "--seed", &self.seed.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting the attacker")?;
        let late = Instant::now() + time + Duration::from_secs(30);
        let row = measured(net, name, time, || {
            ensure!(Instant::now() < late, "the attacker does not end");
            Ok(child.try_wait()?.is_some())
        });
        if row.is_err() {
            // It may have ended meanwhile.
            let _ = child.kill();
        }
        let output = child.wait_with_output()?;
        let mut row = row?;
        ensure!(output.status.success(), "{name}: the attacker failed: {}", output.status);
        let said: Value = serde_json::from_slice(&output.stdout).context("what the attacker said")?;
        let number = |at: usize| said[at].as_u64().unwrap_or_default();
        row.attempts = (number(0), number(1));
        row.sent = number(2);
        Ok(row)
    }
}

/// Edits to and fro until `over`, and looks at what the victim costs.
fn measured(net: &Net, name: &str, time: Duration, mut over: impl FnMut() -> Result<bool>) -> Result<Row> {
    let (victim, other) = (&net[0], &net[1]);
    let before = Cost::of(victim)?;
    let pid = victim.child.as_ref().context("the victim does not run")?.id();
    let (home, log) = (victim.home.clone(), victim.log_path());
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let looker = std::thread::spawn(move || {
        let mut peak = Cost::default();
        loop {
            peak = peak.max(Cost::at(pid, &home, &log)?);
            if let Ok(()) | Err(RecvTimeoutError::Disconnected) = stopped.recv_timeout(LOOK) {
                return anyhow::Ok(peak);
            }
        }
    });
    let edits = edits(victim, other, name, &mut over);
    drop(stop);
    let peak = looker.join().map_err(|_| anyhow::anyhow!("the looker panicked"))?;
    let (edits, mut peak) = (edits?, peak?);
    peak.cpu_s -= before.cpu_s;
    Ok(Row { attack: name.to_owned(), time, edits, peak, attempts: (0, 0), sent: 0 })
}

fn edits(a: &Node, b: &Node, name: &str, over: &mut impl FnMut() -> Result<bool>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !over()? {
        let at = times.len();
        let (from, to) = if at.is_multiple_of(2) { (a, b) } else { (b, a) };
        let marker = format!("edit {at} during {name}.");
        let took = edit_until_seen(from, to, &fixture::id(at % BEADS), &marker);
        times.push(took.with_context(|| format!("{name}: from {} to {}", from.name, to.name))?);
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}

fn verdict(baseline: Row, rows: Vec<Row>, start: Cost, slack: Duration) -> Report {
    let peak = rows.iter().fold(Cost::default(), |peak, row| peak.max(row.peak));
    let edits = |row: &Row| row.edits.len().max(1) as u64;
    let all: u64 = rows.iter().map(edits).sum();
    // What honest edits write, the calm shows; compaction and preallocation make it grow in steps.
    let honest_disk =
        baseline.peak.disk.saturating_sub(baseline.peak.disk.min(start.disk)) / edits(&baseline) * all + all * 8 * 1024;
    let minutes = rows.iter().map(|row| row.time.as_secs_f64()).sum::<f64>() / 60.0;
    let calm = Times::new(baseline.edits.clone()).percentile(0.5);
    let hot = Times::new(rows.iter().flat_map(|row| row.edits.clone()).collect()).percentile(0.5);
    let log_max = limits::ATTACK_LOG_BYTES_PER_MINUTE_MAX as f64 * minutes.max(1.0);
    let mut broken = Vec::new();
    let mut check = |what: &str, seen: u64, max: u64| {
        if seen > max {
            broken.push(format!("{what}: {seen}, at most {max} are stated"));
        }
    };
    check("memory over the start in bytes", peak.rss.saturating_sub(start.rss), limits::ATTACK_RSS_BYTES_MAX);
    check(
        "descriptors over the start",
        peak.descriptors.saturating_sub(start.descriptors),
        limits::ATTACK_DESCRIPTORS_MAX,
    );
    let disk = peak.disk.saturating_sub(start.disk).saturating_sub(honest_disk);
    check("disk over the start and the honest edits in bytes", disk, limits::ATTACK_DISK_BYTES_MAX);
    check("log in bytes", peak.log.saturating_sub(start.log), log_max as u64);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    check("p50 of honest edits in microseconds", micros(hot), micros(calm * 2 + slack));
    Report { baseline, rows, honest_disk, broken }
}

impl Row {
    /// The heads of [`Row::line`].
    pub const HEAD: &'static str = "attack             s  edits      p50      p99      max  rss MiB  fds  disk MiB  log KiB   cpu %  sent MiB  attempts (cut)";

    /// One line of the table.
    pub fn line(&self) -> String {
        let times = Times::new(self.edits.clone());
        let at = |share| shown(times.percentile(share));
        let seconds = self.time.as_secs_f64();
        format!(
            "{:<14} {:>5.0} {:>6} {:>8} {:>8} {:>8} {:>8.1} {:>4} {:>9.1} {:>8.1} {:>7.0} {:>9.1}  {} ({})",
            self.attack,
            seconds,
            times.count(),
            at(0.5),
            at(0.99),
            at(1.0),
            self.peak.rss as f64 / 1_048_576.0,
            self.peak.descriptors,
            self.peak.disk as f64 / 1_048_576.0,
            self.peak.log as f64 / 1024.0,
            self.peak.cpu_s / seconds.max(0.001) * 100.0,
            self.sent as f64 / 1_048_576.0,
            self.attempts.0,
            self.attempts.1,
        )
    }

    fn json(&self) -> Value {
        let times = Times::new(self.edits.clone());
        let at = |share| times.percentile(share).as_secs_f64() * 1e3;
        json!({"attack": self.attack, "seconds": self.time.as_secs_f64(), "edits": times.count(), "p50_ms": at(0.5),
            "p99_ms": at(0.99), "max_ms": at(1.0), "peak": self.peak.json(),
            "attempts": self.attempts.0, "cut": self.attempts.1,
            "sent": self.sent})
    }
}

impl Report {
    /// Everything, as one document.
    pub fn json(&self) -> Value {
        json!({"baseline": self.baseline.json(), "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "honest_disk": self.honest_disk, "broken": self.broken})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ms: u64, peak: Cost) -> Row {
        let edits = vec![Duration::from_millis(ms); 9];
        Row { attack: "x".into(), time: Duration::from_secs(60), edits, peak, attempts: (0, 0), sent: 0 }
    }

    #[test]
    fn every_limit_can_be_broken() {
        let start = Cost { rss: 1 << 30, descriptors: 50, disk: 1 << 20, log: 100, cpu_s: 1.0 };
        let broken = |ms, peak| verdict(row(10, start), vec![row(ms, peak)], start, Duration::ZERO).broken.len();
        assert_eq!(broken(20, start), 0);
        assert_eq!(broken(21, start), 1);
        assert_eq!(broken(20, Cost { rss: start.rss + limits::ATTACK_RSS_BYTES_MAX + 1, ..start }), 1);
        assert_eq!(broken(20, Cost { descriptors: 51 + limits::ATTACK_DESCRIPTORS_MAX, ..start }), 1);
        assert_eq!(broken(20, Cost { disk: start.disk + limits::ATTACK_DISK_BYTES_MAX + (1 << 20), ..start }), 1);
        assert_eq!(broken(20, Cost { log: 200 + limits::ATTACK_LOG_BYTES_PER_MINUTE_MAX, ..start }), 1);
    }
}
