//! The bridge against real files, real writers and real git repositories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "parts/bd_faults.rs"]
mod bd_faults;
#[path = "parts/bd_real.rs"]
mod bd_real;
#[path = "parts/bd_support.rs"]
mod bd_support;
#[path = "parts/coupling.rs"]
mod coupling;
#[path = "parts/history.rs"]
mod history;
#[path = "parts/race.rs"]
mod race;
#[path = "parts/support.rs"]
mod support;
#[path = "parts/trouble.rs"]
mod trouble;
