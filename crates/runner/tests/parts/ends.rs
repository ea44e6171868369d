//! What a program is given, and what its end means.

use super::support::{Host, commit_of, end_of, job};
use runner::{End, Event, StartError};
use std::time::Duration;

#[tokio::test]
async fn a_program_gets_what_it_was_promised() {
    let host = Host::new();
    let script = r#"
        cat > stdin
        echo "$TOWNMESH_BEAD|$TOWNMESH_ATTEMPT|$TOWNMESH_GRANT|$TOWNMESH_BASE|$TOWNMESH_MORE|$1" > env
        pwd > pwd
        if [ -n "$TOWNMESH_REPORT" ] && [ -w "$TOWNMESH_REPORT" ] && [ -w /dev/fd/3 ]; then echo yes > report; fi"#;
    let mut job = host.job(script);
    job.argv.extend(["name".into(), "$(touch x); \"'".into()]);
    job.env = vec![("TOWNMESH_MORE".into(), "more\nlines".into())];
    let events = host.run(job).await;
    let Some(Event::Started { worktree }) = events.first() else { panic!("{events:?}") };
    assert_eq!(*worktree, host.own("trees/ab12"));
    let commit = commit_of(&end_of(&events));
    assert_eq!(host.show(&commit, "stdin"), "{\"id\":\"tm-1\"}");
    assert_eq!(host.show(&commit, "env"), format!("tm-1|7|ab12|{}|more\nlines|$(touch x); \"'", host.head()));
    assert_eq!(host.show(&commit, "pwd"), worktree.display().to_string());
    assert_eq!(host.show(&commit, "report"), "yes");
    host.assert_clean();
}

#[tokio::test]
async fn exit_codes_say_how_it_went() {
    let host = Host::new();
    let cases = [
        ("exit 0", End::Done { commit: None, branch: None }),
        ("exit 75", End::Later),
        ("exit 3", End::Failed { code: Some(3), reason: "exit status: 3".into() }),
        ("echo begins; echo; printf '\\033[31mbad\\033[0m\\007'; exit 1", {
            End::Failed { code: Some(1), reason: "begins / bad".into() }
        }),
        ("echo out; echo err >&2; kill -9 $$", End::Failed { code: None, reason: "out / err".into() }),
    ];
    for (script, wanted) in cases {
        assert_eq!(host.end(host.job(script)).await, wanted, "{script}");
        host.assert_clean();
    }
    assert!(host.refs().is_empty(), "nothing was changed: {:?}", host.refs());
}

#[tokio::test]
async fn a_long_complaint_is_cut_to_its_end() {
    let host = Host::new();
    let end = host.end(host.job("seq 1 5000; echo the last; exit 1")).await;
    let End::Failed { reason, .. } = end else { panic!("{end:?}") };
    assert_eq!(reason.chars().count(), 500);
    assert!(reason.ends_with("5000 / the last"), "{reason}");
}

#[tokio::test]
async fn a_program_may_leave_its_input_unread() {
    let host = Host::new();
    let mut job = host.job("exit 0");
    job.bead_json = "x".repeat(1_000_000);
    assert_eq!(host.end(job).await, End::Done { commit: None, branch: None });
}

#[tokio::test]
async fn a_job_without_a_repository_has_an_empty_directory() {
    let host = Host::new();
    let mut running = host.start(job("ls -A | wc -l; echo more > file; echo base=$TOWNMESH_BASE."));
    let worktree = running.started().await;
    let end = end_of(&running.events().await);
    assert_eq!(end, End::Done { commit: None, branch: None });
    assert!(host.log().starts_with("0\nbase=.\n"), "{}", host.log());
    assert!(!worktree.exists());
    host.assert_clean();
}

#[tokio::test]
async fn programs_are_found_or_the_job_is_refused() {
    let host = Host::new();
    let with = |argv: &[&str]| {
        let mut job = host.job("");
        job.argv = argv.iter().map(|argument| argument.to_string()).collect();
        job
    };
    assert!(matches!(host.runners.start(with(&[])), Err(StartError::NoProgram)));
    assert!(matches!(host.runners.start(with(&[""])), Err(StartError::NoProgram)));
    assert!(matches!(host.runners.start(with(&["--version"])), Err(StartError::UnknownProgram(_))));
    assert!(matches!(host.runners.start(with(&["no such program"])), Err(StartError::UnknownProgram(_))));
    assert!(matches!(host.runners.start(with(&["sh", "a\0b"])), Err(StartError::BadArgument(1))));
    // A path is taken as it is: what is there is known when the worktree is.
    let end = host.end(with(&["./missing"])).await;
    assert!(matches!(&end, End::Failed { code: Some(126 | 127), reason } if reason.contains("missing")), "{end:?}");
    let end = host.end(with(&["-c/missing"])).await;
    assert!(matches!(&end, End::Failed { code: Some(126 | 127), reason } if reason.contains("-c/missing")), "{end:?}");
    host.assert_clean();
}

#[tokio::test]
async fn a_job_runs_once_at_a_time() {
    let host = Host::new();
    let running = host.start(host.job("sleep 600"));
    assert!(matches!(host.runners.start(host.job("true")), Err(StartError::Runs)));
    running.handle.cancel("enough");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    // Who has heard of the end can start it again.
    assert_eq!(host.end(host.job("true")).await, End::Done { commit: None, branch: None });
}

#[tokio::test]
async fn jobs_run_beside_each_other() {
    let host = Host::new();
    let jobs = (0..4).map(|at| {
        let mut job = host.job(&format!("echo {at} > made"));
        (job.id, job.bead) = (format!("a{at}"), format!("tm-{at}"));
        host.start(job)
    });
    let jobs: Vec<_> = jobs.collect();
    for (at, running) in jobs.into_iter().enumerate() {
        let end = end_of(&running.events().await);
        let End::Done { commit: Some(commit), branch } = end else { panic!("{end:?}") };
        assert_eq!(branch, Some(format!("refs/townmesh/tm-{at}/3.7")));
        assert_eq!(host.show(&commit, "made"), at.to_string());
    }
    host.assert_clean();
}

#[tokio::test]
async fn what_cannot_be_prepared_has_failed() {
    let host = Host::new();
    let mut job = host.job("true");
    job.base = Some("0".repeat(40));
    let end = host.end(job).await;
    assert!(matches!(&end, End::Failed { code: None, reason } if reason.contains("has no commit 0000")), "{end:?}");
    let mut job = host.job("true");
    job.repo = Some(host.dir.path().join("nowhere"));
    assert!(matches!(host.end(job).await, End::Failed { code: None, .. }));
    host.assert_clean();
}

#[test]
fn a_runtime_is_needed() {
    let host = Host::new();
    assert!(matches!(host.runners.start(host.job("true")), Err(StartError::NoRuntime)));
}

#[tokio::test]
async fn one_directory_has_one_node() {
    let host = Host::new();
    let other = runner::Runners::open(runner::Options::new(host.own("")));
    assert!(matches!(other, Err(runner::OpenError::InUse(_))));
}

#[tokio::test]
async fn nobody_else_may_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new();
    let mut running = host.start(host.job("sleep 600"));
    let worktree = running.started().await;
    for path in [host.own(""), host.own("trees"), host.own("logs"), host.own("aside/ab12")] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
    assert!(worktree.is_dir());
    tokio::time::timeout(Duration::from_secs(30), async {
        running.handle.cancel("done");
        running.events().await
    })
    .await
    .unwrap();
}
