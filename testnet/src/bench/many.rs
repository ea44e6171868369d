//! Many nodes: edits on all of them, seen by all others.

use crate::control::Control;
use crate::latency::Times;
use crate::net::Net;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What came of edits in a mesh.
#[derive(Debug)]
pub struct Fan {
    /// Edits that were made, and how many per second that was.
    pub edits: usize,
    /// Edits per second that were really made.
    pub rate: f64,
    /// Share of (edit, other node) pairs that were seen in time, in percent.
    pub delivered_percent: f64,
    /// From the call to the word of another node.
    pub times: Times,
}

/// How long after the last edit arrivals count.
const GRACE: Duration = Duration::from_secs(10);

/// How soon a listener looks whether it is over.
const PATIENCE: Duration = Duration::from_millis(200);

/// How the edits begin.
const MARK: &str = "mesh ";

/// Makes `edits` edits of one bead each at `per_s` a second, one node after the other, and listens on all nodes.
/// Every id in `ids` is edited once at most.
///
/// # Errors
/// When a node does not answer.
pub fn fan_out(net: &Net, ids: &[String], edits: usize, per_s: u32) -> Result<Fan> {
    let count = net.nodes().len();
    let over = AtomicBool::new(false);
    let mut listeners = Vec::new();
    for node in net.nodes() {
        let mut control = Control::connect(&node.home)?;
        control.watch()?;
        control.set_patience(PATIENCE)?;
        listeners.push((control, node.home.clone()));
    }
    let callers: Vec<Control> = net.nodes().iter().map(|n| Control::connect(&n.home)).collect::<Result<_>>()?;
    std::thread::scope(|scope| {
        let over = &over;
        let heard: Vec<_> =
            listeners.into_iter().map(|(control, home)| scope.spawn(move || listen(control, &home, over))).collect();
        let begun = Instant::now();
        let makers: Vec<_> = callers
            .into_iter()
            .enumerate()
            .map(|(at, control)| scope.spawn(move || make(control, ids, (at, count), edits, begun, per_s)))
            .collect();
        let mut made: HashMap<String, (usize, Instant)> = HashMap::new();
        for maker in makers {
            made.extend(maker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??);
        }
        let took = begun.elapsed();
        // As long as arrivals count.
        std::thread::sleep(GRACE.min(took.max(Duration::from_secs(2))));
        over.store(true, Ordering::Relaxed);
        let mut times = Vec::new();
        for (at, listener) in heard.into_iter().enumerate() {
            let seen = listener.join().map_err(|_| anyhow::anyhow!("a listener panicked"))??;
            for (id, when) in seen {
                if let Some((by, started)) = made.get(&id)
                    && *by != at
                {
                    times.push(when.saturating_duration_since(*started));
                }
            }
        }
        let wanted = made.len() * count.saturating_sub(1);
        let delivered_percent = times.len() as f64 * 100.0 / wanted.max(1) as f64;
        let rate = made.len() as f64 / took.as_secs_f64();
        Ok(Fan { edits: made.len(), rate, delivered_percent, times: Times::new(times) })
    })
}

/// The first time at which each id was told.
fn listen(mut control: Control, home: &Path, over: &AtomicBool) -> Result<HashMap<String, Instant>> {
    let mut seen = HashMap::new();
    while !over.load(Ordering::Relaxed) {
        match control.changed() {
            Ok(ids) => {
                let now = Instant::now();
                for id in ids {
                    seen.entry(id).or_insert(now);
                }
            }
            Err(err) => match err.downcast_ref::<std::io::Error>() {
                Some(io) if matches!(io.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                // On a machine that is full, this thread reads too slowly: it listens anew, and what it missed counts as
                // seen only now.
                _ if err.to_string().contains("watch_behind") => {
                    control = Control::connect(home)?;
                    control.watch()?;
                    control.set_patience(PATIENCE)?;
                    let there = edited(home)?;
                    let now = Instant::now();
                    for id in there {
                        seen.entry(id).or_insert(now);
                    }
                }
                _ => return Err(err),
            },
        }
    }
    Ok(seen)
}

/// The beads that a node shows edited.
fn edited(home: &Path) -> Result<Vec<String>> {
    let all = Control::connect(home)?.call("beads.export", &json!({}))?;
    let lines = all["lines"].as_array().context("no lines")?;
    let beads = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line.as_str()?).ok());
    let of_ours = beads.filter(|bead| bead["notes"].as_str().is_some_and(|notes| notes.starts_with(MARK)));
    Ok(of_ours.filter_map(|bead| bead["id"].as_str().map(str::to_owned)).collect())
}

type Made = HashMap<String, (usize, Instant)>;

/// Makes every `count`th edit, each at its time.
fn make(
    mut control: Control,
    ids: &[String],
    (own, count): (usize, usize),
    edits: usize,
    begun: Instant,
    per_s: u32,
) -> Result<Made> {
    let mut made = HashMap::new();
    for at in (own..edits).step_by(count.max(1)) {
        let id = ids.get(at).context("too few beads for so many edits")?;
        let due = begun + Duration::from_secs_f64(at as f64 / f64::from(per_s.max(1)));
        // The schedule is what is measured against: this sleep makes the load, it waits for nothing.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let started = Instant::now();
        control.call("beads.set", &json!({"id": id, "change": {"fields": {"notes": format!("{MARK}{at}")}}}))?;
        made.insert(id.clone(), (own, started));
    }
    Ok(made)
}
