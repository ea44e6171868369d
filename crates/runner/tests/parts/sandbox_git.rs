//! What a program in a sandbox makes of its repository, and what of it gets out.

use super::sandbox::there_is_one;
use super::support::{Host, again, commit_of, git, quoted};
use runner::{End, Job, Sandbox};

fn inside(host: &Host, script: &str) -> Job {
    Job { sandbox: Some(Sandbox { network: false }), ..host.job(script) }
}

#[tokio::test]
async fn its_changes_get_out() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let script = "echo two >> file; git add file; git commit -q -m its; echo new > new";
    let commit = commit_of(&host.end(inside(&host, script)).await);
    let log = git(&host.repo(), &["log", "--format=%an %s", &commit]);
    assert_eq!(log, "townmesh tm-1: a title\ntownmesh its\ntest first");
    assert_eq!((host.show(&commit, "file"), host.show(&commit, "new")), ("one\ntwo".into(), "new".into()));
    // More objects than are taken in one by one.
    let commit = commit_of(&host.end(inside(&host, "for i in $(seq 300); do echo $i > f$i; done")).await);
    assert_eq!(host.show(&commit, "f300"), "300");
    // None at all: back to an older commit.
    std::fs::write(host.repo().join("file"), "later\n").unwrap();
    let first = host.head();
    git(&host.repo(), &["commit", "-q", "-a", "-m", "second"]);
    let commit = commit_of(&host.end(inside(&host, "git reset -q --hard HEAD~1")).await);
    assert_eq!(commit, first);
    assert_eq!(host.end(inside(&host, "true")).await, End::Done { commit: None, branch: None });
    git(&host.repo(), &["fsck", "--strict"]);
    host.assert_clean();
}

#[tokio::test]
async fn unfinished_work_gets_out_too() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let script = "echo two > file; touch .git/index.lock; exit 1";
    assert!(matches!(host.end(inside(&host, script)).await, End::Failed { code: Some(1), .. }));
    let refs = host.refs();
    let commit = refs[0].split_once(' ').unwrap().1;
    assert_eq!(git(&host.repo(), &["log", "-1", "--format=%s", commit]), "tm-1: a title (unfinished)");
    assert_eq!(host.show(commit, "file"), "two");
    host.assert_clean();
}

#[tokio::test]
async fn it_sees_one_history_and_no_way_back() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    git(&host.repo(), &["branch", "other"]);
    git(&host.repo(), &["tag", "v1"]);
    git(&host.repo(), &["checkout", "-q", "-b", "private"]);
    std::fs::write(host.repo().join("private"), "private\n").unwrap();
    git(&host.repo(), &["add", "."]);
    git(&host.repo(), &["commit", "-q", "-m", "private"]);
    let private = host.head();
    git(&host.repo(), &["checkout", "-q", "main"]);
    let script = format!(
        "git for-each-ref > refs; git remote -v > remotes; git cat-file -t {private} 2> /dev/null > private; \
         cat .git/objects/info/alternates 2> /dev/null > alternates; ls {} > repo 2>&1; true",
        quoted(&host.repo())
    );
    let commit = commit_of(&host.end(inside(&host, &script)).await);
    for nothing in ["refs", "remotes", "private", "alternates"] {
        assert_eq!(host.show(&commit, nothing), "", "{nothing}");
    }
    assert!(host.show(&commit, "repo").contains("No such file"));
}

#[tokio::test]
async fn its_settings_are_obeyed_inside_only() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let marker = host.dir.path().join("escaped");
    // Every setting is a command. It says in /tmp, which is the sandbox's, that it ran, and tries to say so outside.
    let script = format!(
        r#"
        printf '#!/bin/sh\ntouch {marker} 2> /dev/null; cat > /dev/null; echo filtered\n' > .git/clean
        printf '#!/bin/sh\ntouch {marker} 2> /dev/null; exit 1\n' > .git/other
        chmod +x .git/clean .git/other
        mkdir .git/hooks
        for hook in pre-commit post-commit reference-transaction post-checkout post-index-change; do
            cp .git/other .git/hooks/$hook
        done
        git config filter.evil.clean /tree/.git/clean
        git config core.fsmonitor /tree/.git/other
        git config core.hooksPath /tree/.git/hooks
        git config core.sshCommand /tree/.git/other
        git config core.pager /tree/.git/other
        git config uploadpack.packObjectsHook /tree/.git/other
        git config gpg.program /tree/.git/other
        git config commit.gpgSign true
        git config core.alternateRefsCommand /tree/.git/other
        echo '* filter=evil' > .gitattributes
        echo two > file"#,
        marker = quoted(&marker).replace('\'', "")
    );
    let commit = commit_of(&host.end(inside(&host, &script)).await);
    // The filter ran: so somebody obeyed, and the check below could fail.
    assert_eq!(host.show(&commit, "file"), "filtered");
    assert!(!marker.exists(), "a command of the program's ran outside");
    assert!(!git(&host.repo(), &["config", "--list"]).contains("evil"));
    host.assert_clean();
}

#[tokio::test]
async fn broken_objects_do_not_get_in() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    // In a commit that is sound to look at, but not its parent.
    let on_top = r#"
        bad=$(git commit-tree -m bad -p HEAD $tree)
        git update-ref --no-deref HEAD $(git commit-tree -m good -p $bad HEAD^{tree})"#;
    let broken = [
        // A file that would become part of a repository's own directory.
        format!(r#"tree=$(printf "100644 blob $blob\t.git\n" | git mktree); {on_top}"#),
        // A directory above.
        format!(
            r#"sub=$(printf "100644 blob $blob\tx\n" | git mktree)
            tree=$(printf "040000 tree $sub\t..\n" | git mktree); {on_top}"#
        ),
        // Something that is no tree at all, and something that is not there.
        format!("tree=$(printf nonsense | git hash-object -t tree -w --stdin --literally); {on_top}"),
        format!(r#"tree=$(printf "100644 blob %040d\tx\n" 7 | git mktree --missing); {on_top}"#),
        // A submodule whose address is a command.
        format!(
            r#"modules=$(printf '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=x\n' | git hash-object -w --stdin)
            tree=$(printf "100644 blob $modules\t.gitmodules\n" | git mktree); {on_top}"#
        ),
    ];
    for script in broken {
        let script = format!("blob=$(echo x | git hash-object -w --stdin); {script}\ngit log --format=made=%s -1 >&2");
        let end = host.end(inside(&host, &script)).await;
        assert!(host.log().contains("made=good"), "it made nothing broken: {}", host.log());
        assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("cannot keep")), "{end:?}");
        assert!(host.refs().is_empty(), "{script}: {:?}", host.refs());
        git(&host.repo(), &["fsck", "--strict"]);
        assert_eq!(host.runners.leftovers(), ["ab12"], "and it stays for somebody to look at");
        host.runners.forget("ab12").await.unwrap();
    }
    // Of a commit that is none, only the files are taken.
    let script = "c=$(printf 'tree nonsense\n\nx\n' | git hash-object -t commit -w --stdin --literally)
        echo $c > .git/HEAD; echo two > file";
    let commit = commit_of(&host.end(inside(&host, script)).await);
    assert_eq!(git(&host.repo(), &["rev-parse", &format!("{commit}^")]), host.head());
    git(&host.repo(), &["fsck", "--strict"]);
    host.assert_clean();
}

#[tokio::test]
async fn a_repository_that_was_taken_apart_is_not_kept_and_not_lost() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let end = host.end(inside(&host, "echo two > file; rm -rf .git")).await;
    assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("cannot keep")), "{end:?}");
    assert_eq!(std::fs::read_to_string(host.own("trees/ab12/file")).unwrap(), "two\n");
    host.runners.forget("ab12").await.unwrap();
    // Links lead nowhere: what is at their end stays.
    let precious = host.dir.path().join("precious");
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("x"), "x").unwrap();
    let script = format!("rm -rf .git; ln -s {0} .git; ln -s {0} link", quoted(&precious));
    assert!(matches!(host.end(inside(&host, &script)).await, End::Failed { code: Some(0), .. }));
    host.runners.forget("ab12").await.unwrap();
    assert_eq!(std::fs::read_to_string(precious.join("x")).unwrap(), "x");
    host.assert_clean();
}

#[tokio::test]
async fn what_gets_out_is_bounded() {
    let host = Host::with(|options| options.result_bytes_max = 100_000);
    if !there_is_one(&host) {
        return;
    }
    let end = host.end(inside(&host, "head -c 1000000 /dev/urandom > big")).await;
    assert!(matches!(&end, End::Failed { code: Some(0), reason } if reason.contains("100000 bytes")), "{end:?}");
    assert!(host.refs().is_empty());
}

#[tokio::test]
async fn results_from_a_sandbox_are_pushed_by_us() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    git(host.dir.path(), &["init", "-q", "--bare", "remote"]);
    let remote = host.dir.path().join("remote");
    let mut job = inside(&host, "echo x > x");
    job.push = Some(remote.display().to_string());
    let commit = commit_of(&host.end(job).await);
    assert_eq!(git(&remote, &["rev-parse", "refs/townmesh/tm-1/3.7"]), commit);
}

#[tokio::test]
async fn the_users_settings_do_not_make_files_look_changed() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    std::fs::write(host.dir.path().join(".gitconfig"), "[core]\n\tautocrlf = true\n").unwrap();
    let this = "sandbox_git::the_users_settings_do_not_make_files_look_changed";
    if again(this, "HOME", host.dir.path()) {
        assert_eq!(git(&host.repo(), &["config", "core.autocrlf"]), "true");
        let nothing = End::Done { commit: None, branch: None };
        // Written again, but not changed: what it says is read and compared.
        let script = "cp file copy; mv copy file";
        assert_eq!(host.end(host.job(script)).await, nothing);
        assert_eq!(host.end(inside(&host, script)).await, nothing);
    }
}

#[tokio::test]
async fn shallow_and_bare_repositories() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    std::fs::write(host.repo().join("file"), "later\n").unwrap();
    git(&host.repo(), &["commit", "-q", "-a", "-m", "second"]);
    let url = format!("file://{}", host.repo().display());
    git(host.dir.path(), &["clone", "-q", "--bare", "--depth", "1", &url, "shallow"]);
    let shallow = host.dir.path().join("shallow");
    let mut job = inside(&host, "echo two > file");
    job.repo = Some(shallow.clone());
    let commit = commit_of(&host.end(job).await);
    assert_eq!(git(&shallow, &["show", &format!("{commit}:file")]), "two");
}
