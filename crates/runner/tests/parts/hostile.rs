//! Jobs whose every word was chosen by somebody who means harm.

use super::support::{Host, git};
use runner::{End, StartError, result_ref};

const HOSTILE: &[&str] = &[
    "../../../escaped",
    "/etc/passwd",
    "-rf",
    "--upload-pack=touch escaped",
    "a\nb",
    "a\0b",
    "$(touch escaped)`touch escaped`; touch escaped",
    "'; touch escaped #",
    "\"; touch escaped; \"",
    "refs/heads/main",
    "x.lock",
    "a..b@{1}^~:?*[\\ ",
    "",
    ".",
    "\u{202e}\u{1b}[31mä",
];

#[tokio::test]
async fn hostile_ids_and_titles_are_only_text() {
    let host = Host::new();
    for (at, text) in HOSTILE.iter().enumerate() {
        let mut job = host.job("printf %s \"$TOWNMESH_BEAD\" > bead; cat > stdin");
        (job.bead, job.title, job.bead_json) = (text.to_string(), text.to_string(), text.to_string());
        job.fence = (u64::MAX, at as u64);
        let end = host.end(job).await;
        let End::Done { commit: Some(commit), branch: Some(branch) } = end else { panic!("{text:?}: {end:?}") };
        assert_eq!(branch, result_ref(text, (u64::MAX, at as u64)));
        git(&host.repo(), &["check-ref-format", &branch]);
        assert!(branch.starts_with("refs/townmesh/") && branch.split('/').count() == 4, "{branch}");
        assert_eq!(host.show(&commit, "bead"), text.replace('\0', "\u{fffd}").trim_end());
        let message = git(&host.repo(), &["log", "-1", "--format=%B", &commit]);
        assert_eq!(message.lines().count(), 3, "{message:?}");
        assert!(!message.contains(['\u{1b}', '\u{202e}', '\0']), "{message:?}");
        host.assert_clean();
    }
    assert_eq!(host.refs().len(), HOSTILE.len(), "each has a ref of its own");
    assert_eq!(git(&host.repo(), &["for-each-ref", "--format=%(refname)", "refs/heads"]), "refs/heads/main");
    let mut here: Vec<_> = std::fs::read_dir(host.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    here.sort();
    assert_eq!(here, ["repo", "runner"], "nothing was made outside");
    assert_eq!(git(&host.repo(), &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn what_is_no_id_names_no_file() {
    let host = Host::new();
    for id in ["", "../a", "a/b", "AB", "g", "a\n", ".", "-a", &"a".repeat(65)] {
        let mut job = host.job("true");
        job.id = id.to_string();
        assert!(matches!(host.runners.start(job), Err(StartError::BadId)), "{id:?}");
        assert!(host.runners.abandon(id).await.is_err());
        assert!(host.runners.forget(id).await.is_err());
    }
    let mut job = host.job("true");
    job.id = "f".repeat(64);
    assert_eq!(host.end(job).await, End::Done { commit: None, branch: None });
}

#[tokio::test]
async fn what_is_no_commit_is_no_base() {
    let host = Host::new();
    let short = &host.head()[..39];
    let long = format!("{}0", host.head());
    for base in ["", "HEAD", "main", "--help", "../x", short, &long, &"g".repeat(40), &format!("{short}\n")] {
        let mut job = host.job("true");
        job.base = Some(base.to_string());
        assert!(matches!(host.runners.start(job), Err(StartError::BadBase)), "{base:?}");
    }
    // Hex enough, but a file: no commit.
    let mut job = host.job("true");
    job.base = Some(git(&host.repo(), &["rev-parse", "HEAD:file"]));
    assert!(matches!(host.end(job).await, End::Failed { code: None, .. }));
    host.assert_clean();
}

#[tokio::test]
async fn variables_and_places_to_push_to_are_checked() {
    let host = Host::new();
    let bad = [
        ("PATH", "x"),
        ("LD_PRELOAD", "x"),
        ("TOWNMESH_", "x"),
        ("TOWNMESH_a", "x"),
        ("TOWNMESH_A=B", "x"),
        ("TOWNMESH_REPORT", "x"),
        ("TOWNMESH_GRANT", "x"),
        ("TOWNMESH_OK", "a\0b"),
    ];
    for (name, value) in bad {
        let mut job = host.job("true");
        job.env = vec![("TOWNMESH_FINE".into(), String::new()), (name.into(), value.into())];
        assert!(matches!(host.runners.start(job), Err(StartError::BadVariable(_))), "{name}");
    }
    for push in ["", "--force", "-x", "a\0b"] {
        let mut job = host.job("true");
        job.push = Some(push.into());
        assert!(matches!(host.runners.start(job), Err(StartError::BadPush(_))), "{push:?}");
    }
    let mut job = host.job("true");
    job.bead = "x".repeat(5000);
    assert!(matches!(host.runners.start(job), Err(StartError::BeadTooLong)));
    let mut job = host.job("true");
    (job.repo, job.push) = (None, Some("origin".into()));
    assert!(matches!(host.runners.start(job), Err(StartError::NoRepository)));
    host.assert_clean();
}

#[tokio::test]
async fn names_of_the_host_directory_may_be_awkward() {
    let host = Host::new();
    let awkward = host.dir.path().join("a b'\"$(touch escaped)\n-x");
    std::fs::create_dir(&awkward).unwrap();
    git(host.dir.path(), &["clone", "-q", "repo", &awkward.join("-repo;").display().to_string()]);
    let runners = runner::Runners::open(runner::Options::new(awkward.join("--runner"))).unwrap();
    let mut job = host.job("echo x > x; echo '{\"note\":\"hello\"}' >&3; pwd");
    job.repo = Some(awkward.join("-repo;"));
    job.push = Some(host.repo().display().to_string());
    let (_handle, mut events) = runners.start(job).unwrap();
    let mut end = None;
    let mut notes = 0;
    while let Some(event) = tokio::time::timeout(super::support::PATIENCE, events.recv()).await.unwrap() {
        match event {
            runner::Event::Ended(what) => end = Some(what),
            runner::Event::Report(_) => notes += 1,
            _ => {}
        }
    }
    assert!(matches!(end, Some(End::Done { commit: Some(_), .. })), "{end:?}");
    assert_eq!((notes, host.refs().len()), (1, 1));
}
