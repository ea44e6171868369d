//! A node that is killed, and the one that comes after it.

use super::support::{Host, git, number_after, runs, start_of, wait_for};
use runner::{AbandonError, End, Event, Options, Runners};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where [`owner`] works; unset, it does nothing.
const OWNER_DIR: &str = "RUNNER_TEST_OWNER_DIR";

/// Whether its program is to be in a sandbox.
const OWNER_SANDBOX: &str = "RUNNER_TEST_OWNER_SANDBOX";

/// Makes a note as `note.rs` writes it.
fn note_process(dir: &Path, id: &str, pid: u32, start: u64, boot: &str) {
    let note = format!(
        r#"{{"version":1,"bead":"tm-1","title":"a title","fence":[3,7],"tree":"scratch",
            "process":{{"pid":{pid},"start":{start},"boot":"{boot}"}}}}"#
    );
    std::fs::create_dir_all(dir.join("jobs")).unwrap();
    std::fs::write(dir.join(format!("jobs/{id}.json")), note).unwrap();
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_string()
}

/// A program with a child, in a group of its own. Whatever the test comes to, it is gone afterwards.
struct Leftover {
    leader: Child,
    child: u32,
    /// When the leader started.
    start: u64,
}

impl Leftover {
    /// Starts it, and waits until both are there.
    fn start(script: &str, report: &Path) -> Leftover {
        use std::io::BufRead as _;
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("TOWNMESH_REPORT", report).process_group(0);
        let mut leader = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let start = start_of(leader.id());
        let mut line = String::new();
        std::io::BufReader::new(leader.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Leftover { leader, child: number_after(&line, "child="), start }
    }

    fn runs(&self) -> (bool, bool) {
        (runs(self.leader.id()), runs(self.child))
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        // The number is the group's as long as anybody is in it.
        if self.runs() != (false, false) {
            let group = rustix::process::Pid::from_child(&self.leader);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.leader.wait();
    }
}

const WITH_CHILD: &str = "sleep 600 & echo \"child=$!.\"; wait";

#[test]
fn programs_of_a_killed_node_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let left = Leftover::start(WITH_CHILD, Path::new("/nowhere"));
    note_process(dir.path(), "aa", left.leader.id(), left.start, &boot());
    assert_eq!(left.runs(), (true, true));
    let runners = Runners::open(Options::new(dir.path())).unwrap();
    assert_eq!(left.runs(), (false, false), "they had ended when the runners were open");
    // It is not ended twice: by then the number may be another's.
    assert_eq!(runners.leftovers(), ["aa"]);
    let note = std::fs::read_to_string(dir.path().join("jobs/aa.json")).unwrap();
    assert!(note.contains("\"process\":null"), "{note}");
}

#[test]
fn a_number_that_is_used_again_is_left_alone() {
    let left = Leftover::start(WITH_CHILD, Path::new("/nowhere"));
    let start = left.start;
    for (start, boot) in [(start + 1, boot()), (start - 1, boot()), (start, "another boot".to_string())] {
        let dir = tempfile::tempdir().unwrap();
        note_process(dir.path(), "aa", left.leader.id(), start, &boot);
        Runners::open(Options::new(dir.path())).unwrap();
        assert_eq!(left.runs(), (true, true), "{start} {boot}");
    }
    // Nor are all processes meant, or the first.
    for pid in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        note_process(dir.path(), "aa", pid, 0, &boot());
        Runners::open(Options::new(dir.path())).unwrap();
    }
}

#[test]
fn a_group_without_its_leader_is_ended_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let orphan = "sleep 600 & echo \"child=$!.\"";
    for (report, stays) in [(dir.join("aside/aa/report"), false), (dir.join("aside/bb/report"), true)] {
        let mut left = Leftover::start(orphan, &report);
        left.leader.wait().unwrap();
        assert_eq!(left.runs(), (false, true));
        note_process(&dir, "aa", left.leader.id(), left.start, &boot());
        Runners::open(Options::new(&dir)).unwrap();
        assert_eq!(left.runs(), (false, stays), "{}", report.display());
    }
}

#[tokio::test]
async fn a_note_that_cannot_be_read_is_left_alone() {
    let host = Host::new();
    for text in ["", "{}", "{\"version\":2}"] {
        std::fs::write(host.own("jobs/ab12.json"), text).unwrap();
        std::fs::create_dir_all(host.own("trees/ab12")).unwrap();
        std::fs::write(host.own("trees/ab12/precious"), "").unwrap();
        let end = host.end(host.job("true")).await;
        assert!(matches!(&end, End::Failed { code: None, reason } if reason.contains("cannot be read")), "{end:?}");
        assert!(host.own("trees/ab12/precious").exists());
        assert!(matches!(host.runners.abandon("ab12").await, Err(AbandonError::Unknown)));
    }
    host.runners.forget("ab12").await.unwrap();
    assert_eq!(host.end(host.job("true")).await, End::Done { commit: None, branch: None });
}

#[tokio::test]
async fn half_made_trees_are_made_anew() {
    let mut host = Host::new();
    for place in ["trees/ab12", "trees/cd34.gone", "aside/ab12"] {
        std::fs::create_dir_all(host.own(place)).unwrap();
        std::fs::write(host.own(place).join("half"), "").unwrap();
    }
    let dir = host.own("");
    host.runners = Runners::open(Options::new(host.dir.path().join("other"))).unwrap();
    host.runners = Runners::open(Options::new(dir)).unwrap();
    let commit = super::support::commit_of(&host.end(host.job("ls > list")).await);
    assert_eq!(host.show(&commit, "list"), "file\nlist");
    host.assert_clean();
}

/// Not a test by itself: the node that is killed in those below.
#[tokio::test]
async fn owner() {
    let Some(dir) = std::env::var_os(OWNER_DIR) else { return };
    let dir = Path::new(&dir);
    let runners = Runners::open(Options::new(dir.join("runner"))).unwrap();
    let mut job = super::support::job("echo begun >> made; echo \"child=$$.\"; sleep 600");
    job.repo = Some(dir.join("repo"));
    job.sandbox = std::env::var_os(OWNER_SANDBOX).map(|_| runner::Sandbox { network: false });
    let (_handle, mut events) = runners.start(job).unwrap();
    while events.recv().await.is_some() {}
}

/// Starts [`owner`] as a process of its own, and kills it when its program runs.
async fn kill_owner(host: &Host, in_sandbox: bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "restart::owner", "--test-threads", "1"]).env(OWNER_DIR, host.dir.path());
    if in_sandbox {
        command.env(OWNER_SANDBOX, "1");
    }
    let mut owner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    host.said("child=").await;
    owner.kill().unwrap();
    owner.wait().unwrap();
}

/// A host whose runners are for another process to open.
fn abandoned_host() -> Host {
    let mut host = Host::new();
    host.runners = Runners::open(Options::new(host.dir.path().join("unused"))).unwrap();
    host
}

#[tokio::test]
async fn work_of_a_killed_node_goes_on_and_runs_once() {
    let mut host = abandoned_host();
    kill_owner(&host, false).await;
    let program = number_after(&host.log(), "child=");
    assert!(runs(program), "nothing was left running, so there was nothing to show");
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    assert!(!runs(program));
    // The tree is as the first run left it, and so is the log.
    let end = host.end(host.job("echo again >> made")).await;
    let commit = super::support::commit_of(&end);
    assert_eq!(host.show(&commit, "made"), "begun\nagain");
    assert!(host.log().starts_with("child="), "{}", host.log());
    host.assert_clean();
}

#[tokio::test]
async fn work_of_a_killed_node_can_be_put_away() {
    let mut host = abandoned_host();
    kill_owner(&host, false).await;
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    assert_eq!(host.runners.leftovers(), ["ab12"]);
    assert_eq!(host.runners.abandon("ab12").await.unwrap().as_deref(), Some("refs/townmesh/tm-1/3.7"));
    assert_eq!(git(&host.repo(), &["show", "refs/townmesh/tm-1/3.7:made"]), "begun");
    let subject = git(&host.repo(), &["log", "-1", "--format=%s", "refs/townmesh/tm-1/3.7"]);
    assert_eq!(subject, "tm-1: a title (unfinished)");
    assert!(host.runners.leftovers().is_empty());
    assert!(matches!(host.runners.abandon("ab12").await, Err(AbandonError::Unknown)));
    host.assert_clean();
}

#[tokio::test]
async fn work_of_a_killed_node_is_kept_even_if_it_is_cancelled_at_once() {
    let mut host = abandoned_host();
    kill_owner(&host, false).await;
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    let running = host.start(host.job("echo again >> made"));
    running.handle.cancel("enough");
    assert_eq!(super::support::end_of(&running.events().await), End::Cancelled);
    assert_eq!(git(&host.repo(), &["show", "refs/townmesh/tm-1/3.7:made"]), "begun");
    host.assert_clean();
}

#[tokio::test]
async fn a_node_that_is_killed_as_it_clears_up_has_kept_everything() {
    let mut host = abandoned_host();
    for again in [true, false] {
        kill_owner(&host, false).await;
        // Half of it is gone already, under another name.
        std::fs::rename(host.own("trees/ab12"), host.own("trees/ab12.gone")).unwrap();
        std::fs::remove_file(host.own("trees/ab12.gone/file")).unwrap();
        host.runners = Runners::open(Options::new(host.dir.path().join("runner"))).unwrap();
        assert!(!host.own("trees/ab12.gone").exists());
        assert_eq!(host.runners.leftovers(), ["ab12"]);
        if again {
            let commit = super::support::commit_of(&host.end(host.job("ls > list")).await);
            assert_eq!(host.show(&commit, "list"), "file\nlist");
        } else {
            assert_eq!(host.runners.abandon("ab12").await.unwrap(), None);
        }
        host.assert_clean();
        std::fs::remove_file(host.own("logs/ab12.log")).unwrap();
        host.runners = Runners::open(Options::new(host.dir.path().join("unused"))).unwrap();
    }
}

#[tokio::test]
async fn a_tree_that_is_half_made_again_is_not_taken_for_changes() {
    let mut host = abandoned_host();
    std::fs::write(host.repo().join(".gitattributes"), "file filter=slow\n").unwrap();
    git(&host.repo(), &["add", "."]);
    git(&host.repo(), &["commit", "-q", "-m", "filter"]);
    kill_owner(&host, false).await;
    std::fs::remove_dir_all(host.own("trees/ab12")).unwrap();
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    let began = host.dir.path().join("began");
    let smudge = format!("touch '{}'; sleep 600", began.display());
    git(&host.repo(), &["config", "filter.slow.smudge", &smudge]);
    let running = host.start(host.job("true"));
    wait_for("the checkout", || began.exists()).await;
    running.handle.cancel("enough");
    assert_eq!(super::support::end_of(&running.events().await), End::Cancelled);
    assert!(host.refs().is_empty(), "{:?}", host.refs());
    assert!(host.runners.leftovers().is_empty());
}

#[tokio::test]
async fn a_sandbox_dies_with_its_node() {
    let mut host = abandoned_host();
    if !super::sandbox::there_is_one(&host) {
        return;
    }
    kill_owner(&host, true).await;
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    let tree = host.own("trees/ab12");
    assert!(!anybody_in(&tree), "it had ended when the runners were open");
    let mut job = host.job("echo again >> made");
    job.sandbox = Some(runner::Sandbox { network: false });
    let events = host.run(job).await;
    assert!(matches!(events.first(), Some(Event::Started { .. })), "{events:?}");
    let commit = super::support::commit_of(&super::support::end_of(&events));
    assert_eq!(host.show(&commit, "made"), "begun\nagain");
    host.assert_clean();
}

#[tokio::test]
async fn a_tree_of_another_kind_is_not_used() {
    let mut host = abandoned_host();
    kill_owner(&host, false).await;
    host.runners = Runners::open(Options::new(host.own(""))).unwrap();
    let end = host.end(super::support::job("true")).await;
    assert!(matches!(&end, End::Failed { code: None, reason } if reason.contains("another")), "{end:?}");
    assert_eq!(std::fs::read_to_string(host.own("trees/ab12/made")).unwrap(), "begun\n");
}

/// Whether any process names a path among its arguments, as a sandbox does.
fn anybody_in(path: &Path) -> bool {
    let path = path.display().to_string();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&path)
    })
}
