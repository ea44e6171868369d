//! Against repositories that git made.

use crate::support::*;
use bridge::git::{GitError, HistoryLimits, Objects, ancestors, blob_ids_of_file, line_merge, merge_commits};
use bridge::{Options, blob_id};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const FILE: &str = ".beads/issues.jsonl";

fn git(dir: &Path, args: &[&str]) -> bool {
    let out = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"])
        .args(["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    out.status.success()
}

fn commit(dir: &Path, content: &str) -> String {
    std::fs::create_dir_all(dir.join(".beads")).unwrap();
    std::fs::write(dir.join(FILE), content).unwrap();
    assert!(git(dir, &["add", "-A"]) && git(dir, &["commit", "-qm", "x"]));
    let out = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(dir).output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_string()
}

fn versions() -> [String; 3] {
    [1, 2, 3].map(|n| file(&[line("a", n), line("b", 1)]))
}

fn repo() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    assert!(git(dir.path(), &["init", "-q"]));
    for content in versions() {
        commit(dir.path(), &content);
    }
    dir
}

#[test]
fn all_versions_of_a_file_on_all_refs() {
    let dir = repo();
    assert!(git(dir.path(), &["checkout", "-qb", "side", "HEAD~1"]));
    let side = file(&[line("side", 1)]);
    commit(dir.path(), &side);
    assert!(git(dir.path(), &["checkout", "-q", "main"]));
    let ids = blob_ids_of_file(dir.path(), Path::new(FILE), &HistoryLimits::default()).unwrap();
    let expected: HashSet<_> = versions().iter().chain([&side]).map(|content| blob_id(content.as_bytes())).collect();
    assert_eq!(ids, expected);
    let below = blob_ids_of_file(&dir.path().join(".beads"), Path::new("issues.jsonl"), &HistoryLimits::default());
    assert_eq!(below.unwrap(), expected, "asked from below");
}

#[test]
fn lines_that_history_took_out() {
    let dir = repo();
    let mut lines = Vec::new();
    let mut steps = 0;
    let limits = HistoryLimits::default();
    let done =
        ancestors(dir.path(), Path::new(FILE), &limits, |line| lines.push(line.to_string()), |_| steps += 1).unwrap();
    assert_eq!((lines, steps), (vec![line("a", 2), line("a", 1)], 3));
    assert_eq!((done.commits, done.lines, done.partial), (3, 2, false));
    let limits = HistoryLimits { commits_max: 1, ..limits };
    let part = ancestors(dir.path(), Path::new(FILE), &limits, |_| {}, |_| {}).unwrap();
    assert_eq!((part.commits, part.lines, part.partial), (1, 1, true));
    let limits = HistoryLimits { bytes_max: 10, ..HistoryLimits::default() };
    assert!(ancestors(dir.path(), Path::new(FILE), &limits, |_| {}, |_| {}).unwrap().partial);
    assert_eq!(blob_ids_of_file(dir.path(), Path::new(FILE), &limits), Err(GitError::TooLarge(10)));
}

#[test]
fn no_repository_no_commit_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let ask = || {
        let ids = blob_ids_of_file(dir.path(), Path::new(FILE), &HistoryLimits::default()).unwrap();
        let done = ancestors(dir.path(), Path::new(FILE), &HistoryLimits::default(), |_| {}, |_| {}).unwrap();
        (ids.len(), done.lines, done.partial)
    };
    assert_eq!(ask(), (0, 0, false), "no repository");
    assert_eq!(merge_commits(dir.path(), FILE), Err(GitError::NoRepository));
    assert_eq!(Objects::open(dir.path()).unwrap().show("HEAD", FILE), Err(GitError::NoRepository));
    assert!(git(dir.path(), &["init", "-q"]));
    assert_eq!(ask(), (0, 0, false), "no commit");
    std::fs::write(dir.path().join("other"), "x").unwrap();
    assert!(git(dir.path(), &["add", "-A"]) && git(dir.path(), &["commit", "-qm", "x"]));
    assert_eq!(ask(), (0, 0, false), "no such file");
    let mut objects = Objects::open(dir.path()).unwrap();
    assert_eq!(objects.show("HEAD", FILE), Ok(None));
    assert_eq!(objects.show("HEAD", "other"), Ok(Some(b"x".to_vec())));
    assert!(objects.show("HEAD", "a\nHEAD:other").is_err(), "one question at a time");
}

#[test]
fn merges_with_changes_on_both_sides() {
    let dir = repo();
    let base = file(&[line("a", 3), line("b", 1)]);
    let (ours, theirs) = (file(&[line("a", 4), line("b", 1)]), file(&[line("a", 5), line("b", 1), line("c", 1)]));
    assert!(git(dir.path(), &["checkout", "-qb", "side"]));
    let their_id = commit(dir.path(), &theirs);
    assert!(git(dir.path(), &["checkout", "-q", "main"]));
    let our_id = commit(dir.path(), &ours);
    assert!(!git(dir.path(), &["merge", "-q", "side"]), "git conflicts");
    let merged = commit(dir.path(), &theirs);
    // A second merge, in which only one side touched the file.
    assert!(git(dir.path(), &["checkout", "-qb", "calm"]));
    commit(dir.path(), &ours);
    assert!(git(dir.path(), &["checkout", "-q", "main"]));
    assert!(git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "x"]));
    assert!(git(dir.path(), &["merge", "-q", "--no-edit", "calm"]));

    let merges = merge_commits(dir.path(), FILE).unwrap();
    assert_eq!(merges.len(), 1, "{merges:?}");
    let merge = &merges[0];
    assert_eq!((&merge.commit, &merge.ours, &merge.theirs), (&merged, &our_id, &their_id));
    let mut objects = Objects::open(dir.path()).unwrap();
    let mut show = |commit: &str| String::from_utf8(objects.show(commit, FILE).unwrap().unwrap()).unwrap();
    assert_eq!(
        (show(&merge.base), show(&merge.ours), show(&merge.theirs)),
        (base.clone(), ours.clone(), theirs.clone())
    );

    let conflict = line_merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()).unwrap();
    assert_eq!(conflict.conflicts, 1);
    assert!(String::from_utf8(conflict.merged).unwrap().contains("<<<<<<<"));
    let clean = line_merge(base.as_bytes(), base.as_bytes(), theirs.as_bytes()).unwrap();
    assert_eq!((clean.conflicts, clean.merged), (0, theirs.into_bytes()));
}

#[test]
fn a_hostile_environment_leads_nowhere_else() {
    // The test binary's own variables cannot be set safely, so a child of it asks.
    let dir = repo();
    let elsewhere = tempfile::tempdir().unwrap();
    if std::env::var_os("BRIDGE_TEST_REPO").is_none() {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "history::a_hostile_environment_leads_nowhere_else", "--nocapture"])
            .env("BRIDGE_TEST_REPO", dir.path())
            .env("GIT_DIR", elsewhere.path())
            .env("GIT_WORK_TREE", elsewhere.path())
            .env("GIT_EXTERNAL_DIFF", "/nonexistent/program")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        return;
    }
    let repo = std::env::var("BRIDGE_TEST_REPO").unwrap();
    let ids = blob_ids_of_file(Path::new(&repo), Path::new(FILE), &HistoryLimits::default()).unwrap();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_checkout_of_an_old_file_is_marked_and_a_conflict_is_broken() {
    let dir = repo();
    let history = blob_ids_of_file(dir.path(), Path::new(FILE), &HistoryLimits::default()).unwrap();
    let settle = Duration::from_millis(100);
    let mut desk = Desk::attach(dir, Options { history: Arc::new(history), settle, ..Options::default() });
    desk.snapshot().await;
    assert!(git(desk.dir.path(), &["checkout", "-q", "HEAD~2", "--", FILE]));
    let old = desk.snapshot().await;
    assert_eq!((old.from_git_history, old.changed[0].text.clone()), (true, line("a", 1)));
    desk.write(&file(&[line("a", 9), line("b", 1)]));
    assert!(!desk.snapshot().await.from_git_history);

    assert!(
        git(desk.dir.path(), &["commit", "-qam", "x"]) && git(desk.dir.path(), &["checkout", "-qb", "side", "HEAD~1"])
    );
    let mut back = desk.snapshot().await;
    while back.changed.is_empty() {
        back = desk.snapshot().await;
    }
    commit(desk.dir.path(), &file(&[line("a", 8), line("b", 1)]));
    assert!(!git(desk.dir.path(), &["merge", "-q", "main"]));
    loop {
        let snapshot = desk.snapshot().await;
        if snapshot.broken_total > 0 {
            assert_eq!(snapshot.broken_total, 3);
            break;
        }
    }
}
