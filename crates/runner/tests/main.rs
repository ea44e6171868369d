//! The runner against real processes, real git repositories and real sandboxes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "parts/ends.rs"]
mod ends;
#[path = "parts/hostile.rs"]
mod hostile;
#[path = "parts/keeping.rs"]
mod keeping;
#[path = "parts/logs.rs"]
mod logs;
#[path = "parts/reports.rs"]
mod reports;
#[path = "parts/restart.rs"]
mod restart;
#[path = "parts/sandbox.rs"]
mod sandbox;
#[path = "parts/sandbox_git.rs"]
mod sandbox_git;
#[path = "parts/stopping.rs"]
mod stopping;
#[path = "parts/support.rs"]
mod support;
