//! Programs that do not end by themselves, and what they started.

use super::support::{Host, PATIENCE, end_of, job, number_after, runs, wait_for};
use runner::End;
use std::time::{Duration, Instant};

const DONE: End = End::Done { commit: None, branch: None };

#[tokio::test]
async fn a_cancelled_program_may_clear_up() {
    let host = Host::with(|options| options.grace = PATIENCE);
    let script = "trap 'echo clearing up; echo clear > made; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = host.start(host.job(script));
    running.started().await;
    host.said("ready").await;
    let began = Instant::now();
    running.handle.cancel("it was withdrawn");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    assert!(began.elapsed() < PATIENCE, "nobody waited for the grace to pass");
    assert!(host.log().contains("clearing up"));
    assert_eq!(host.refs().len(), 1);
    host.assert_clean();
}

#[tokio::test]
async fn a_program_that_ignores_it_is_killed() {
    let host = Host::with(|options| options.grace = Duration::from_millis(300));
    // The child ignores it, too, and is no child any more when its parent is dead.
    let script = "trap '' TERM; sleep 600 & echo \"self=$$ child=$!.\"; while :; do sleep 0.05; done";
    let mut running = host.start(host.job(script));
    running.started().await;
    host.said("child=").await;
    let (this, child) = (number_after(&host.log(), "self="), number_after(&host.log(), "child="));
    assert!(runs(this) && runs(child));
    let began = Instant::now();
    running.handle.cancel("enough");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    assert!(began.elapsed() >= Duration::from_millis(300), "it had its grace");
    assert!(!runs(this) && !runs(child));
    host.assert_clean();
}

#[tokio::test]
async fn time_is_limited() {
    let host = Host::with(|options| options.grace = Duration::from_millis(300));
    for script in ["sleep 600", "trap '' TERM; while :; do sleep 0.05; done"] {
        let mut job = host.job(script);
        job.time_max = Duration::from_millis(400);
        let began = Instant::now();
        assert_eq!(host.end(job).await, End::TimedOut);
        assert!(began.elapsed() >= Duration::from_millis(400) && began.elapsed() < PATIENCE);
    }
    let mut job = host.job("true");
    job.time_max = Duration::MAX;
    assert_eq!(host.end(job).await, DONE);
}

#[tokio::test]
async fn what_a_program_leaves_in_its_group_ends_with_it() {
    let host = Host::new();
    let script = "(trap '' TERM HUP; exec sleep 600) & echo \"daemon=$!.\"; exit 0";
    assert_eq!(host.end(host.job(script)).await, DONE);
    assert!(!runs(number_after(&host.log(), "daemon=")));
    host.assert_clean();
}

#[tokio::test]
async fn who_leaves_the_group_does_not_hold_the_job_up() {
    let host = Host::new();
    // It holds the log and descriptor 3 open for ever. Nobody but a sandbox can end it.
    let script = "setsid sh -c 'echo \"daemon=$$.\"; echo ready > ready; exec sleep 600' & while ! [ -e ready ]; do sleep 0.01; done";
    let began = Instant::now();
    assert_eq!(host.end(job(script)).await, DONE);
    assert!(began.elapsed() < PATIENCE);
    let daemon = number_after(&host.log(), "daemon=");
    assert!(runs(daemon));
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_dropped_handle_cancels() {
    let host = Host::new();
    let (handle, mut events) = host.runners.start(host.job("echo \"self=$$.\"; sleep 600")).unwrap();
    host.said("self=").await;
    let this = number_after(&host.log(), "self=");
    drop(handle);
    let mut last = None;
    while let Some(event) = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap() {
        last = Some(event);
    }
    assert_eq!(last, Some(runner::Event::Ended(End::Cancelled)));
    assert!(!runs(this));
    host.assert_clean();
}

#[tokio::test]
async fn nobody_listening_is_no_reason_to_stop() {
    let host = Host::new();
    let script = "for i in 1 2 3; do echo '{\"note\":\"x\"}' >&3; done; echo x > made";
    let (handle, events) = host.runners.start(host.job(script)).unwrap();
    drop(events);
    wait_for("a result", || !host.refs().is_empty()).await;
    drop(handle);
}

#[tokio::test]
async fn a_job_is_cancelled_while_its_tree_is_made() {
    let host = Host::new();
    // A filter that never ends: the checkout hangs.
    std::fs::write(host.repo().join(".gitattributes"), "file filter=slow\n").unwrap();
    super::support::git(&host.repo(), &["add", "."]);
    super::support::git(&host.repo(), &["commit", "-q", "-m", "filter"]);
    let began = host.dir.path().join("began");
    let smudge = format!("touch '{}'; sleep 600", began.display());
    super::support::git(&host.repo(), &["config", "filter.slow.smudge", &smudge]);
    let running = host.start(host.job("true"));
    wait_for("the checkout", || began.exists()).await;
    running.handle.cancel("enough");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    assert!(!host.own("trees/ab12").exists() && !host.own("jobs/ab12.json").exists());
    // What git remembers of the half-made worktree is in nobody's way.
    super::support::git(&host.repo(), &["config", "filter.slow.smudge", "cat"]);
    assert_eq!(host.end(host.job("true")).await, DONE);
    host.assert_clean();
}

#[test]
fn a_runtime_that_goes_down_takes_its_programs_along() {
    let host = Host::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_handle, _events) =
        runtime.block_on(async { host.runners.start(host.job("echo \"self=$$.\"; sleep 600")).unwrap() });
    runtime.block_on(host.said("self="));
    let this = number_after(&host.log(), "self=");
    assert!(runs(this));
    drop(runtime);
    let deadline = Instant::now() + PATIENCE;
    while runs(this) {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // As after a crash: the tree stays, for the next node.
    assert!(host.own("trees/ab12/file").exists());
}
