//! Starting and catching up.

use crate::control::Control;
use crate::net::Net;
use crate::node::{Node, PATIENCE};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often a starting node is asked.
const LOOK: Duration = Duration::from_millis(1);

/// From starting a node's process to its first answer.
///
/// # Errors
/// When it does not start.
pub fn cold_start(node: &mut Node) -> Result<Duration> {
    node.kill()?;
    let started = Instant::now();
    node.spawn(&[])?;
    first_answer(node, started)?;
    Ok(started.elapsed())
}

fn first_answer(node: &Node, started: Instant) -> Result<(Control, Value)> {
    loop {
        if let Ok(mut control) = Control::connect(&node.home)
            && let Ok(status) = control.call("status", &json!({}))
        {
            return Ok((control, status));
        }
        ensure!(started.elapsed() < PATIENCE, "{} does not answer: {}", node.name, node.log_tail());
        std::thread::sleep(LOOK);
    }
}

/// How long a node that was away takes to hold what the first one holds: from its first greeting of a peer, and from
/// the start of its process.
///
/// # Errors
/// When it does not get there in `patience`.
pub fn catch_up(net: &mut Net, late: usize, patience: Duration) -> Result<(Duration, Duration)> {
    let want = net[0].space()?;
    let started = Instant::now();
    net[late].spawn(&[])?;
    let (mut control, _) = first_answer(&net[late], started)?;
    let mut greeted = None;
    loop {
        let status = control.call("status", &json!({}))?;
        if greeted.is_none() && status["peers"].as_array().is_some_and(|peers| !peers.is_empty()) {
            greeted = Some(Instant::now());
        }
        let space = &status["spaces"][0];
        if space["digest"] == want["digest"] && space["ops"] == want["ops"] {
            let greeted = greeted.context("caught up without a peer")?;
            return Ok((greeted.elapsed(), started.elapsed()));
        }
        ensure!(started.elapsed() < patience, "{} has not caught up: {space}", net[late].name);
        std::thread::sleep(LOOK);
    }
}
