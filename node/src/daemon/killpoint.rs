//! Ends this process at a named point, as a power cut would: for crash tests.
//!
//! `TOWNMESH_KILL_AT=<point>[:<n>]` makes the process kill itself (SIGKILL) the n-th time it passes the point; without
//! a number, the first time. Nothing is armed otherwise.

use crate::CliError;
use rustix::process::{Signal, getpid, kill_process};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable.
const VARIABLE: &str = "TOWNMESH_KILL_AT";

/// A place where the process may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// An input was handled, its records are nowhere yet.
    BeforePersist,
    /// Records are in the log and visible, but not synced.
    WrittenBeforeSync,
    /// Records are synced, nobody was told.
    PersistedBeforeSend,
    /// Everything that a group with records has to say was handed over, and the next input is there.
    AfterSend,
    /// RocksDB merges files. Armed, it is made to do so after the n-th group with records.
    DuringCompaction,
    /// A new version lies beside a beads file.
    FileApply,
    /// A new version took a beads file's place; what was displaced is not looked after yet.
    FileSwapped,
}

impl Point {
    const ALL: [(Point, &'static str); 7] = [
        (Point::BeforePersist, "before-persist"),
        (Point::WrittenBeforeSync, "written-before-sync"),
        (Point::PersistedBeforeSend, "persisted-before-send"),
        (Point::AfterSend, "after-send"),
        (Point::DuringCompaction, "during-compaction"),
        (Point::FileApply, "file-apply"),
        (Point::FileSwapped, "file-swapped"),
    ];
}

/// A point and how often it is passed before the end.
#[derive(Debug)]
struct Armed {
    point: Point,
    left: AtomicU32,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms what the environment names.
///
/// # Errors
/// `bad_config` when it names no point.
pub(super) fn arm_from_env() -> Result<(), CliError> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let armed = parse(&text.to_string_lossy())?;
    tracing::warn!(point = ?armed.point, left = armed.left.load(Ordering::Relaxed), "this node is set to kill itself");
    let _armed_before = ARMED.set(armed);
    Ok(())
}

fn parse(text: &str) -> Result<Armed, CliError> {
    let (name, times) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.iter().find(|(_, known)| *known == name).map(|(point, _)| *point);
    match (point, times.parse::<u32>()) {
        (Some(point), Ok(left @ 1..)) => Ok(Armed { point, left: AtomicU32::new(left) }),
        _ => {
            let known: Vec<&str> = Point::ALL.iter().map(|(_, name)| *name).collect();
            let hint = format!("{VARIABLE}=<point>[:<n>], n from 1, points: {}", known.join(", "));
            Err(CliError::new("bad_config", format!("{VARIABLE}={text} names no point")).hint(hint))
        }
    }
}

/// Whether the process is passing the point for the last time.
fn is_due(armed: Option<&Armed>, point: Point) -> bool {
    let Some(armed) = armed.filter(|armed| armed.point == point) else { return false };
    armed.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
}

/// Passes a point; the process may end here.
pub(super) fn pass(point: Point) {
    if is_due(ARMED.get(), point) {
        die();
    }
}

/// A bridge's step as a point.
pub(super) fn file_step(step: bridge::Step) {
    pass(match step {
        bridge::Step::Written => Point::FileApply,
        bridge::Step::Swapped => Point::FileSwapped,
    });
}

/// Passes [`Point::DuringCompaction`]: when it is due, files are merged until the process ends in the middle of it.
pub(super) fn pass_compaction(store: &std::sync::Arc<store::Store>) {
    if !is_due(ARMED.get(), Point::DuringCompaction) {
        return;
    }
    let merging = store.clone();
    std::thread::spawn(move || while merging.compact().is_ok() {});
    let watched = store.clone();
    std::thread::spawn(move || {
        while watched.compactions_running() == 0 {
            std::thread::yield_now();
        }
        die();
    });
}

fn die() -> ! {
    loop {
        // Nothing can be done if it fails but to try again: this process is to end now.
        let _ends_here = kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_named_and_counted() {
        let armed = parse("file-apply:3").unwrap();
        let passes: Vec<bool> = (0..5).map(|_| is_due(Some(&armed), Point::FileApply)).collect();
        assert_eq!(passes, [false, false, true, false, false]);
        let armed = parse("after-send").unwrap();
        assert!(!is_due(Some(&armed), Point::BeforePersist) && !is_due(None, Point::AfterSend));
        assert!(is_due(Some(&armed), Point::AfterSend));
    }

    #[test]
    fn unknown_points_stop_the_start() {
        for text in ["", "after", "after-send:0", "after-send:x", "after-send:", ":1"] {
            let err = parse(text).unwrap_err();
            assert_eq!(err.code, "bad_config", "{text}");
            assert!(err.hints[0].contains("during-compaction"), "{err:?}");
        }
    }

    #[test]
    fn every_point_has_a_name() {
        for (point, name) in Point::ALL {
            assert_eq!(parse(name).unwrap().point, point);
        }
    }
}
