//! What a program in a sandbox sees, beside what one outside does.

use super::support::{
    Host, PATIENCE, again, commit_of, end_of, note, number_after, quoted, reports_of, runs, wait_for,
};
use runner::{End, Job, NoSandbox, Sandbox, StartError};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

const CLOSED: Option<Sandbox> = Some(Sandbox { network: false });

/// Whether there are sandboxes here. If not, it says so, and the test has shown nothing.
pub fn there_is_one(host: &Host) -> bool {
    match host.runners.sandbox() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("skipped: {error}");
            false
        }
    }
}

/// What a script says with and without a sandbox.
async fn said(host: &Host, script: &str, sandbox: Option<Sandbox>) -> String {
    let _ = std::fs::remove_file(host.own("logs/ab12.log"));
    let end = host.end(Job { sandbox, ..host.job(script) }).await;
    assert!(matches!(end, End::Done { .. }), "{end:?}: {}", host.log());
    host.assert_clean();
    host.log()
}

#[tokio::test]
async fn it_sees_neither_the_home_nor_any_keys() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let home = std::env::var_os("HOME").expect("a home");
    let mut in_home = tempfile::Builder::new().prefix(".runner-test-").tempfile_in(&home).unwrap();
    in_home.write_all(b"secret-in-the-home\n").unwrap();
    let key = host.dir.path().join("key");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&key).unwrap().write_all(b"secret-key\n").unwrap();
    let note = host.own("jobs/ab12.json");
    let script = format!(
        "cat {} {} {} {} /etc/shadow || true; ls -A \"$HOME\" {} {} || true; echo over",
        quoted(in_home.path()),
        quoted(&key),
        quoted(&note),
        quoted(&host.repo().join("file")),
        quoted(Path::new(&home)),
        quoted(host.dir.path()),
    );
    let outside = said(&host, &script, None).await;
    for secret in ["secret-in-the-home", "secret-key", "a title", "one", ".runner-test-", "runner"] {
        assert!(outside.contains(secret), "{secret} cannot be seen from outside, so nothing is shown: {outside}");
    }
    let inside = said(&host, &script, CLOSED).await;
    assert!(inside.ends_with("over\n"), "{inside}");
    let seen: Vec<&str> = inside.lines().filter(|line| !line.contains("No such file") && *line != "over").collect();
    assert!(seen.is_empty() || seen.iter().all(|line| line.contains("kept as") || line.ends_with(':')), "{seen:?}");
    assert!(!inside.contains("secret"), "{inside}");
}

#[tokio::test]
async fn it_reaches_no_server_unless_it_may() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    if !Path::new("/usr/bin/bash").exists() {
        eprintln!("skipped: no bash to connect with");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("if (exec 5<>/dev/tcp/127.0.0.1/{port}) 2> /dev/null; then echo reached; else echo alone; fi");
    let connect = |sandbox| {
        let mut job = host.job("");
        (job.argv, job.sandbox) = (["bash", "-c", &script].map(String::from).into(), sandbox);
        let _ = std::fs::remove_file(host.own("logs/ab12.log"));
        let host = &host;
        async move {
            let end = host.end(job).await;
            assert!(matches!(end, End::Done { .. }), "{end:?}");
            host.log()
        }
    };
    assert_eq!(connect(None).await, "reached\n");
    assert_eq!(connect(CLOSED).await, "alone\n");
    assert_eq!(connect(Some(Sandbox { network: true })).await, "reached\n");
}

#[tokio::test]
async fn it_has_no_powers_and_no_company() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let script = "
        grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status
        ls -d /proc/[0-9]* | wc -l
        for place in / /usr /etc /bin /run; do touch $place/x 2> /dev/null && echo \"writes to $place\"; done
        for place in /tmp \"$HOME\" .; do touch $place/x || echo \"does not write to $place\"; done
        rm x
        (: > /dev/tty) 2> /dev/null && echo has a terminal
        ls /run /var
        echo over";
    let log = said(&host, script, CLOSED).await;
    assert!(log.contains("CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"), "{log}");
    let processes: u32 = log.lines().nth(3).unwrap().parse().unwrap();
    assert!(processes <= 5, "{log}");
    assert!(!log.contains("write") && !log.contains("has a terminal"), "{log}");
    assert!(log.contains("/run:\ntownmesh\n") && log.contains("/var:\ntmp\n"), "{log}");
}

#[tokio::test]
async fn its_variables_are_few() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let mut job = host.job("env | sort > env");
    job.env = vec![("TOWNMESH_MORE".into(), "more".into())];
    job.sandbox = CLOSED;
    let commit = commit_of(&host.end(job).await);
    let env = host.show(&commit, "env");
    let names: Vec<&str> = env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let wanted = [
        "HOME",
        "LANG",
        "OLDPWD",
        "PATH",
        "PWD",
        "TOWNMESH_ATTEMPT",
        "TOWNMESH_BASE",
        "TOWNMESH_BEAD",
        "TOWNMESH_GRANT",
        "TOWNMESH_MORE",
        "TOWNMESH_REPORT",
        "_",
    ];
    assert!(names.iter().all(|name| wanted.contains(name)), "{env}");
    assert!(
        env.contains("TOWNMESH_MORE=more\n")
            && env.contains(&format!("HOME={}", Path::new("/home").join("agent").display()))
    );
    // A variable may be a secret, and arguments are for everybody to read.
    let mut job = host.job("cat /proc/*/cmdline | tr '\\0' ' ' > arguments");
    job.env = vec![("TOWNMESH_TOKEN".into(), "s3cr3t".into())];
    job.sandbox = CLOSED;
    let commit = commit_of(&host.end(job).await);
    let arguments = host.show(&commit, "arguments");
    assert!(arguments.contains("--unshare-all") && !arguments.contains("s3cr3t"), "{arguments}");
}

#[tokio::test]
async fn it_reports_and_finds_its_input() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let script = r#"
        echo '{"note":"by descriptor"}' >&3
        echo '{"note":"by name"}' >> "$TOWNMESH_REPORT"
        rm -f "$TOWNMESH_REPORT" && echo removed
        cat > stdin
        pwd > pwd"#;
    let events = host.run(Job { sandbox: CLOSED, ..host.job(script) }).await;
    assert_eq!(reports_of(&events), [note("by descriptor"), note("by name")]);
    let commit = commit_of(&end_of(&events));
    assert_eq!(host.show(&commit, "stdin"), "{\"id\":\"tm-1\"}");
    assert_eq!(host.show(&commit, "pwd"), "/tree");
    assert!(!host.log().contains("removed\n"));
    host.assert_clean();
}

#[tokio::test]
async fn exit_codes_come_through() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let end = |script: &str| host.end(Job { sandbox: CLOSED, ..host.job(script) });
    assert_eq!(end("exit 75").await, End::Later);
    let wanted = End::Failed { code: Some(3), reason: "no".into() };
    assert_eq!(end("echo no; exit 3").await, wanted);
    // A signal, as a shell says it.
    assert!(matches!(end("kill -9 $$").await, End::Failed { code: Some(137), .. }));
}

#[tokio::test]
async fn it_may_clear_up_before_it_is_ended() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let script = "trap 'echo clearing up; echo clear > made; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = host.start(Job { sandbox: CLOSED, ..host.job(script) });
    running.started().await;
    host.said("ready").await;
    running.handle.cancel("it was withdrawn");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    assert!(host.log().contains("clearing up"), "{}", host.log());
    assert_eq!(host.refs().len(), 1);
    host.assert_clean();
}

#[tokio::test]
async fn nobody_gets_away() {
    let host = Host::with(|options| options.grace = Duration::from_millis(300));
    if !there_is_one(&host) {
        return;
    }
    // Ignores what it is told, and has a child that left the group: outside of a sandbox that one would stay.
    let marker = host.dir.path().file_name().unwrap().to_str().unwrap().to_string();
    let seconds = 100_000 + std::process::id();
    let script =
        format!("trap '' TERM; setsid sleep {seconds} & echo \"{marker} ready\"; while :; do sleep 0.05; done");
    let mut running = host.start(Job { sandbox: CLOSED, ..host.job(&script) });
    running.started().await;
    host.said("ready").await;
    let mut sleepers = Vec::new();
    wait_for("the child", || {
        sleepers = with_arguments(&["sleep", &seconds.to_string()]);
        !sleepers.is_empty()
    })
    .await;
    running.handle.cancel("enough");
    assert_eq!(end_of(&running.events().await), End::Cancelled);
    assert!(!sleepers.iter().any(|pid| runs(*pid)), "{sleepers:?}");
    host.assert_clean();
    // The same if it ends by itself, and at once: nobody writes to the tree while it is kept and removed.
    let script = format!("for i in 1 2 3 4 5 6 7 8; do setsid sleep {seconds} & done; echo over");
    for _ in 0..10 {
        let end = host.end(Job { sandbox: CLOSED, ..host.job(&script) }).await;
        assert_eq!(end, End::Done { commit: None, branch: None });
        assert_eq!(with_arguments(&["sleep", &seconds.to_string()]), [0; 0]);
    }
}

/// The processes with exactly these arguments.
fn with_arguments(arguments: &[&str]) -> Vec<u32> {
    let wanted: Vec<u8> = arguments.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| found == wanted)).collect()
}

#[tokio::test]
async fn a_program_has_to_be_one_of_the_system() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let mut job = host.job("");
    (job.argv, job.sandbox) = (vec!["./run".into()], CLOSED);
    let end = host.end(job).await;
    assert!(matches!(&end, End::Failed { reason, .. } if reason.contains("run")), "{end:?}");
    // One of the repository is run, too.
    let mut job = host.job("printf '#!/bin/sh\\necho ran > ran\\n' > run; chmod +x run");
    job.sandbox = CLOSED;
    let commit = commit_of(&host.end(job).await);
    let mut job = host.job("");
    (job.argv, job.sandbox, job.base) = (vec!["./run".into()], CLOSED, Some(commit));
    assert_eq!(host.show(&commit_of(&host.end(job).await), "ran"), "ran");
}

#[tokio::test]
async fn a_job_without_a_repository_fits_into_a_sandbox() {
    let host = Host::new();
    if !there_is_one(&host) {
        return;
    }
    let mut job = super::support::job("ls -A | wc -l; echo x > x; echo \"self=$$.\"");
    job.sandbox = CLOSED;
    let end = tokio::time::timeout(PATIENCE, host.end(job)).await.unwrap();
    assert_eq!(end, End::Done { commit: None, branch: None });
    assert!(host.log().starts_with("0\n"));
    assert!(number_after(&host.log(), "self=") < 10, "its numbers are its own");
    host.assert_clean();
}

/// A directory that holds the programs that are needed, and perhaps something that is called bwrap.
fn programs(dir: &Path, bwrap: Option<&str>) {
    for program in ["sh", "git"] {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists()).unwrap();
        std::os::unix::fs::symlink(found, dir.join(program)).unwrap();
    }
    if let Some(script) = bwrap {
        std::fs::write(dir.join("bwrap"), script).unwrap();
        std::fs::set_permissions(dir.join("bwrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn without_bubblewrap_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    programs(dir.path(), None);
    if !again("sandbox::without_bubblewrap_there_is_none", "PATH", dir.path()) {
        return;
    }
    let host = Host::new();
    let error = host.runners.start(Job { sandbox: CLOSED, ..host.job("true") }).unwrap_err();
    assert!(matches!(error, StartError::NoSandbox(NoSandbox::Missing)), "{error:?}");
    assert!(error.to_string().contains("apt install bubblewrap"), "{error}");
    // Without one, everything else works.
    assert_eq!(host.end(host.job("true")).await, End::Done { commit: None, branch: None });
}

#[tokio::test]
async fn where_namespaces_are_forbidden_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let said = "bwrap: No permissions to create new namespace";
    programs(dir.path(), Some(&format!("#!/bin/sh\necho '{said}' >&2\nexit 1\n")));
    if !again("sandbox::where_namespaces_are_forbidden_there_is_none", "PATH", dir.path()) {
        return;
    }
    let host = Host::new();
    let error = host.runners.start(Job { sandbox: CLOSED, ..host.job("true") }).unwrap_err();
    let StartError::NoSandbox(NoSandbox::Forbidden(reason)) = error else { panic!("{error:?}") };
    assert_eq!(reason, said);
    assert_eq!(host.runners.sandbox(), Err(NoSandbox::Forbidden(reason)));
    host.assert_clean();
}
