//! What a program did is kept, however it ended.

use super::support::{Host, commit_of, git};
use runner::End;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

#[tokio::test]
async fn changes_become_a_commit_on_the_base() {
    let host = Host::new();
    let commit = commit_of(&host.end(host.job("echo two >> file; mkdir d; echo new > d/new; rm -f nothing")).await);
    let log = git(&host.repo(), &["log", "-1", "--format=%an|%ae|%cn|%P|%B", &commit]);
    assert_eq!(log, format!("townmesh|townmesh@localhost|townmesh|{}|tm-1: a title\n\nattempt 7", host.head()));
    assert_eq!(host.show(&commit, "file"), "one\ntwo");
    assert_eq!(host.show(&commit, "d/new"), "new");
    assert_eq!(host.refs(), [format!("refs/townmesh/tm-1/3.7 {commit}")]);
    // The user's own branch and files are as they were.
    assert_eq!(git(&host.repo(), &["status", "--porcelain"]), "");
    assert_eq!(git(&host.repo(), &["rev-list", "--count", "main"]), "1");
    host.assert_clean();
}

#[tokio::test]
async fn commits_of_the_program_stay_its_own() {
    let host = Host::new();
    let commit = "git -c user.name=a -c user.email=a@b commit -q";
    let end = host.end(host.job(&format!("git checkout -q -b its-own; echo x > x; git add x; {commit} -m its"))).await;
    let made = commit_of(&end);
    assert_eq!(git(&host.repo(), &["log", "-1", "--format=%an %s", &made]), "a its");
    // And what it left uncommitted comes on top.
    let script = format!("echo x > x; git add x; {commit} -m its; echo y > y; echo z > x; git add x; rm file");
    let made = commit_of(&host.end(host.job(&script)).await);
    assert_eq!(git(&host.repo(), &["log", "--format=%s", &made]), "tm-1: a title\nits\nfirst");
    assert_eq!(git(&host.repo(), &["ls-tree", "--name-only", &made]), "x\ny");
    assert_eq!(host.show(&made, "x"), "z");
}

#[tokio::test]
async fn unfinished_work_is_kept_too() {
    let host = Host::with(|options| options.grace = Duration::from_millis(500));
    let expect = |wanted: &str| {
        let refs = host.refs();
        let (name, commit) = refs.first().and_then(|line| line.split_once(' ')).unwrap();
        assert_eq!(name, "refs/townmesh/tm-1/3.7");
        assert_eq!(git(&host.repo(), &["log", "-1", "--format=%B", commit]), "tm-1: a title (unfinished)\n\nattempt 7");
        assert_eq!(host.show(commit, "made"), wanted);
        git(&host.repo(), &["update-ref", "-d", name]);
        host.assert_clean();
    };
    assert!(matches!(host.end(host.job("echo failed > made; exit 1")).await, End::Failed { code: Some(1), .. }));
    expect("failed");
    assert_eq!(host.end(host.job("echo later > made; exit 75")).await, End::Later);
    expect("later");
    let mut job = host.job("echo late > made; sleep 600");
    job.time_max = Duration::from_secs(3);
    assert_eq!(host.end(job).await, End::TimedOut);
    expect("late");
    let mut running = host.start(host.job("echo cancelled > made; echo ready; sleep 600"));
    running.started().await;
    host.said("ready").await;
    running.handle.cancel("a reason");
    assert!(running.events().await.contains(&runner::Event::Ended(End::Cancelled)));
    expect("cancelled");
    host.said("cancelled: a reason").await;
}

#[tokio::test]
async fn a_spoilt_worktree_is_kept_nevertheless() {
    let host = Host::new();
    // A lock that a killed git left, a file that git was told to overlook, a branch without a commit, a half merge.
    for script in [
        "echo two > file; touch \"$(git rev-parse --git-dir)/index.lock\"",
        "git update-index --assume-unchanged file; echo two > file",
        "git update-index --skip-worktree file; echo two > file",
        "echo two > file; git checkout -q --orphan nothing",
        "echo two > file; rm .git",
        "echo two > file; rm .git; git init -q",
        "echo two > file; git worktree lock .",
        "echo two > file; mkdir -p closed/d; touch closed/d/f; chmod 555 closed/d closed",
    ] {
        let commit = commit_of(&host.end(host.job(script)).await);
        assert_eq!(host.show(&commit, "file"), "two", "{script}");
        assert_eq!(git(&host.repo(), &["rev-parse", &format!("{commit}^")]), host.head(), "{script}");
        host.assert_clean();
    }
}

#[tokio::test]
async fn a_tree_stays_if_it_cannot_be_kept_whole() {
    let host = Host::new();
    // git has no way to keep a repository inside of another that has no commit.
    let commit = commit_of(&host.end(host.job("echo two > file; git init -q inner; echo x > inner/x")).await);
    assert_eq!(host.show(&commit, "file"), "two");
    assert_eq!(std::fs::read_to_string(host.own("trees/ab12/inner/x")).unwrap(), "x\n");
    assert_eq!(host.runners.leftovers(), ["ab12"]);
    assert!(host.log().contains("not everything could be kept"), "{}", host.log());
    assert!(host.runners.abandon("ab12").await.is_err());
    host.runners.forget("ab12").await.unwrap();
    assert!(host.runners.leftovers().is_empty());
    host.assert_clean();
    // Nor is one removed of which git knows nothing any more.
    let script = "echo two > file; echo nonsense > \"$(git rev-parse --git-dir)/HEAD\"";
    let end = host.end(host.job(script)).await;
    assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("cannot keep")), "{end:?}");
    assert_eq!(std::fs::read_to_string(host.own("trees/ab12/file")).unwrap(), "two\n");
    assert_eq!(host.runners.leftovers(), ["ab12"]);
}

#[tokio::test]
async fn a_job_begins_at_its_base() {
    let host = Host::new();
    let base = host.head();
    std::fs::write(host.repo().join("file"), "later\n").unwrap();
    git(&host.repo(), &["commit", "-q", "-a", "-m", "second"]);
    let mut job = host.job("cat file; echo x > x");
    job.base = Some(base.to_uppercase());
    let commit = commit_of(&host.end(job).await);
    assert!(host.log().starts_with("one\n"), "{}", host.log());
    assert_eq!(git(&host.repo(), &["rev-parse", &format!("{commit}^")]), base);
}

#[tokio::test]
async fn bare_and_empty_repositories() {
    let host = Host::new();
    git(host.dir.path(), &["clone", "-q", "--bare", "repo", "bare"]);
    let bare = host.dir.path().join("bare");
    let mut job = host.job("echo x > x");
    job.repo = Some(bare.clone());
    let commit = commit_of(&host.end(job).await);
    assert_eq!(git(&bare, &["show", &format!("{commit}:x")]), "x");
    assert_eq!(git(&bare, &["worktree", "list"]).lines().count(), 1);
    git(host.dir.path(), &["init", "-q", "empty"]);
    let mut job = host.job("true");
    job.repo = Some(host.dir.path().join("empty"));
    let end = host.end(job).await;
    assert!(matches!(&end, End::Failed { reason, .. } if reason.contains("has no commit HEAD")), "{end:?}");
    host.assert_clean();
}

#[tokio::test]
async fn results_are_pushed() {
    let host = Host::new();
    git(host.dir.path(), &["init", "-q", "--bare", "remote"]);
    let remote = host.dir.path().join("remote");
    git(&host.repo(), &["remote", "add", "origin", &remote.display().to_string()]);
    for to in ["origin".to_string(), remote.display().to_string()] {
        let mut job = host.job("date +%N > made");
        job.push = Some(to);
        let commit = commit_of(&host.end(job).await);
        // The second time it takes the place of the first: an attempt that was begun again.
        assert_eq!(git(&remote, &["rev-parse", "refs/townmesh/tm-1/3.7"]), commit);
    }
    // What is not done is not pushed.
    let mut job = host.job("echo x > x; exit 1");
    (job.push, job.fence) = (Some("origin".into()), (3, 8));
    host.end(job).await;
    assert_eq!(git(&remote, &["for-each-ref"]).lines().count(), 1);
    assert_eq!(host.refs().len(), 2);
    host.assert_clean();
}

#[tokio::test]
async fn a_failed_push_is_a_failure_and_loses_nothing() {
    let host = Host::new();
    let mut job = host.job("echo x > made");
    job.push = Some(host.dir.path().join("nowhere").display().to_string());
    let end = host.end(job).await;
    assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("cannot push")), "{end:?}");
    let refs = host.refs();
    assert_eq!(host.show(refs[0].split_once(' ').unwrap().1, "made"), "x");
    host.assert_clean();
}

#[tokio::test]
async fn a_push_has_its_time() {
    let host = Host::with(|options| options.push_time_max = Duration::from_millis(300));
    let slow = host.dir.path().join("slow");
    std::fs::write(&slow, "#!/bin/sh\nsleep 600\n").unwrap();
    std::fs::set_permissions(&slow, Permissions::from_mode(0o755)).unwrap();
    git(&host.repo(), &["config", "core.sshCommand", &slow.display().to_string()]);
    let mut job = host.job("echo x > made");
    job.push = Some("ssh://nowhere.invalid/repo".into());
    let end = host.end(job).await;
    assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("took longer")), "{end:?}");
    assert_eq!(host.refs().len(), 1);
}

#[tokio::test]
async fn hooks_are_the_users_own() {
    let host = Host::new();
    let (hooks, marker) = (host.repo().join(".git/hooks"), host.dir.path().join("hook-ran"));
    std::fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-checkout", "pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-push"] {
        let path = hooks.join(hook);
        std::fs::write(&path, format!("#!/bin/sh\ntouch '{}'\n", marker.display())).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    git(host.dir.path(), &["init", "-q", "--bare", "remote"]);
    let mut job = host.job("echo x > x");
    job.push = Some(host.dir.path().join("remote").display().to_string());
    commit_of(&host.end(job).await);
    assert!(!marker.exists(), "our own git ran a hook");
    // A program that commits as the user runs the user's hooks: the check above could fail.
    commit_of(&host.end(host.job("echo y > y; git add y; git -c user.name=a -c user.email=a@b commit -qm y")).await);
    assert!(marker.exists());
}
