//! What the project costs and how fast it is, measured on real processes, beside git, NATS and the machine's
//! own limits.

mod bd;
mod edits;
mod joining;
mod machine;
mod many;
mod nats;
mod process;
mod sling;
mod watched;

pub use bd::{BdTimes, bd_times};
pub use edits::{in_file, rates, visible};
pub use joining::{catch_up, cold_start};
pub use machine::{fsync_us, loopback_us, verify_us};
pub use many::{Fan, fan_out};
pub use nats::nats_requests;
pub use process::{cpu_time, disk_mib, rss_bytes, rss_mib, total};
pub use sling::{RIGS, SlingTimes, Starts, WARM_UP, add_runners, open_beads, sling_times};
pub use watched::file_watch;

use crate::latency::Times;
use serde_json::{Value, json};
use std::time::Duration;

/// Milliseconds with three digits behind the point.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Percentiles as the report has them.
pub fn summary(times: &Times) -> Value {
    json!({"p50": ms(times.percentile(0.5)), "p99": ms(times.percentile(0.99)), "max": ms(times.percentile(1.0)),
        "samples": times.count()})
}
