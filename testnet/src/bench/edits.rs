//! One edit at a time, and as many as go.

use crate::control::Control;
use crate::latency::{PACE, Times, until_contains};
use crate::node::{Node, PATIENCE};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The parameters of an edit of one bead.
fn set(id: &str, notes: &str) -> Value {
    json!({"id": id, "change": {"fields": {"notes": notes}}})
}

/// From the call on one node, whose answer means synced, to the other node's word that the bead changed.
///
/// # Errors
/// When an edit does not arrive.
pub fn visible(from: &Node, to: &Node, ids: &[String], edits: usize) -> Result<Times> {
    let (mut from, mut to) = (Control::connect(&from.home)?, Control::connect(&to.home)?);
    to.watch()?;
    let mut times = Vec::with_capacity(edits);
    for (at, id) in ids.iter().cycle().take(edits).enumerate() {
        let started = Instant::now();
        from.call("beads.set", &set(id, &format!("visible {at}")))?;
        while !to.changed()?.contains(id) {
            ensure!(started.elapsed() < PATIENCE, "edit {at} of {id} did not arrive");
        }
        times.push(started.elapsed());
    }
    Ok(Times::new(times))
}

/// From the call on one node to the new line in the other node's workspace file.
///
/// # Errors
/// When an edit does not arrive.
pub fn in_file(from: &Node, to: &Node, ids: &[String], edits: usize) -> Result<Times> {
    let mut control = Control::connect(&from.home)?;
    let mut times = Vec::with_capacity(edits);
    for (at, id) in ids.iter().cycle().take(edits).enumerate() {
        std::thread::sleep(PACE);
        let marker = format!("in file {at} of {}", from.name);
        let started = Instant::now();
        control.call("beads.set", &set(id, &marker))?;
        until_contains(&to.file(), &marker, started)?;
        times.push(started.elapsed());
    }
    Ok(Times::new(times))
}

/// Synced edits per second on one node: by `clients` callers at once, each in calls of `batch` edits, for `time`.
///
/// # Errors
/// When a call fails.
pub fn rates(home: &Path, ids: &[String], clients: usize, batch: usize, time: Duration) -> Result<f64> {
    let started = Instant::now();
    let done: usize = std::thread::scope(|scope| -> Result<usize> {
        let share = ids.len() / clients.max(1);
        let workers: Vec<_> = (0..clients)
            .map(|client| {
                // No two callers edit one bead: a batch names a bead once.
                let own = &ids[client * share..(client + 1) * share];
                scope.spawn(move || caller(home, own, batch, time))
            })
            .collect();
        let mut done = 0;
        for worker in workers {
            done += worker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
        }
        Ok(done)
    })?;
    Ok((done as f64 / started.elapsed().as_secs_f64()).round())
}

fn caller(home: &Path, ids: &[String], batch: usize, time: Duration) -> Result<usize> {
    let mut control = Control::connect(home)?;
    let started = Instant::now();
    let mut done = 0;
    let mut ids = ids.iter().cycle();
    while started.elapsed() < time {
        if batch == 1 {
            let id = ids.next().map_or("", String::as_str);
            control.call("beads.set", &set(id, &format!("rate {done}")))?;
        } else {
            let edits: Vec<Value> = ids
                .by_ref()
                .take(batch)
                .map(|id| json!({"id": id, "fields": {"notes": format!("rate {done}")}}))
                .collect();
            control.call("beads.batch", &json!({ "edits": edits }))?;
        }
        done += batch;
    }
    Ok(done)
}
