//! A bd at fault: clear errors, no answer taken for an empty database, nothing left running.

use super::bd_support::{DEADLINE, Desk, changed, hasty, options, stand_in};
use bridge::bd::{BdError, Options, VERSION_MIN, Version, detect};
use bridge::{Event, ReadError};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const VERSION: &str = r#"case "$*" in *version*) echo '{"version":"1.0.5"}'; exit 0;; esac"#;

fn desk(dir: &Path, script: &str, time_max: Duration) -> Desk {
    let program = stand_in(dir, script);
    Desk::open(dir, Options { program, limits: hasty(time_max), ..options() })
}

async fn failure(script: &str) -> BdError {
    let dir = tempfile::tempdir().unwrap();
    match desk(dir.path(), &format!("{VERSION}\n{script}"), DEADLINE).event().await {
        Event::Failed(ReadError::Bd(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn missing_and_old_ones_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = detect(&dir.path().join("bd"), DEADLINE);
    assert!(matches!(missing, Err(BdError::NotInstalled { .. })), "{missing:?}");
    let detect = |script: &str| detect(&stand_in(dir.path(), script), DEADLINE);
    assert_eq!(detect("echo '{\"version\":\"0.63.3\"}'"), Err(BdError::TooOld(Version(0, 63, 3))));
    assert_eq!(detect("echo '{\"version\":\"1.3.1-x\"}'"), Ok(Version(1, 3, 1)));
    assert!(VERSION_MIN <= Version(1, 0, 5));
    for garbage in ["echo hello", "true", "echo '{\"version\":7}'", "echo '{\"version\":\"one\"}'"] {
        let answer = detect(garbage);
        assert!(matches!(answer, Err(BdError::Garbage { .. })), "{garbage}: {answer:?}");
    }
    let failed = detect("echo no >&2; exit 3");
    assert_eq!(failed, Err(BdError::Failed { command: "version".into(), reason: "no".into() }));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_never_an_empty_database() {
    for script in
        ["echo panic", "printf '{\"id\":\"a\"}'", "echo '{\"id\":\"a\"}'; echo '[1]'", "head -c 3000 /dev/zero"]
    {
        let error = failure(script).await;
        assert!(matches!(error, BdError::Garbage { .. }), "{script}: {error}");
    }
    let error = failure("yes | head -c 200000").await;
    assert_eq!(error, BdError::TooLarge { command: "export".into(), bytes: 100_000 });
    for script in ["kill -9 $$", "echo panic: x >&2; exit 2", "exit 137"] {
        let error = failure(script).await;
        assert!(matches!(error, BdError::Crashed { .. }), "{script}: {error}");
    }
    let error = failure("echo 'Error: no beads database found' >&2; exit 1").await;
    assert!(matches!(error, BdError::NoDatabase(_)) && error.to_string().contains("bd init"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_tried_again() {
    let locked = "echo 'embeddeddolt: another process holds the exclusive lock on x' >&2; exit 1";
    let error = failure(locked).await;
    assert!(matches!(error, BdError::Locked(_)), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let script = format!("{VERSION}\nif [ -f once ]; then echo '{{\"id\":\"a\"}}'; else touch once; {locked}; fi");
    let snapshot = desk(dir.path(), &script, DEADLINE).snapshot().await;
    assert_eq!(snapshot.changed[0].id, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_one_is_ended_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("{VERSION}\nsleep 1000 & echo $! > child; wait");
    let begun = Instant::now();
    let mut desk = desk(dir.path(), &script, Duration::from_secs(3));
    let event = desk.event().await;
    let expected = BdError::TimedOut { command: "export".into(), seconds: 3 };
    assert_eq!(event, Event::Failed(ReadError::Bd(expected)));
    assert!(begun.elapsed() < DEADLINE / 2);
    let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
    let alive = || {
        // A zombie is dead: whoever adopts orphans here may never reap them.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let until = Instant::now() + DEADLINE;
    while alive() {
        assert!(Instant::now() < until, "process {child} lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_as_soon_as_it_was_imported_is_deleted() {
    // The issue is there after the import, and gone before anybody could look: somebody was quick. Refused, it would be
    // another thing: then it is still wanted.
    for (import, gone) in [("echo '{\"created\":1}'", true), ("echo 'no such parent' >&2; exit 1", false)] {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "{VERSION}\ncase \"$*\" in *import*) cat >>imported; {import};; *export*) echo '{{\"id\":\"b\",\"title\":\"t\"}}';; esac"
        );
        let mut desk = desk(dir.path(), &script, DEADLINE);
        let first = desk.snapshot().await;
        let line = "{\"id\":\"a\",\"title\":\"from elsewhere\",\"status\":\"open\"}".to_owned();
        let done = desk.handle.apply(first.generation, vec![("a".to_owned(), Some(line))]).await.unwrap();
        assert!(std::fs::read_to_string(dir.path().join("imported")).unwrap().contains("from elsewhere"));
        if gone {
            let next = desk.snapshot().await;
            assert_eq!(next.missing, ["a"]);
            assert_ne!(next.generation, done.generation);
        } else {
            assert_eq!(desk.line("a").await.unwrap()["title"], "from elsewhere", "it goes on being wanted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_and_one_back_are_two_edits() {
    let dir = tempfile::tempdir().unwrap();
    let shows = |status: &str, second: u32| {
        let line = format!(
            "{{\"id\":\"a\",\"title\":\"t\",\"status\":\"{status}\",\"updated_at\":\"2026-01-01T00:00:{second:02}Z\"}}\n"
        );
        std::fs::write(dir.path().join("next"), line).unwrap();
        std::fs::rename(dir.path().join("next"), dir.path().join("shown")).unwrap();
    };
    shows("open", 1);
    let script = format!("{VERSION}\ncase \"$*\" in *import*) cat >imported; echo '{{}}';; *export*) cat shown;; esac");
    let mut desk = desk(dir.path(), &script, DEADLINE);
    let first = desk.snapshot().await;
    // What bd cannot hold is kept beside it.
    let line = "{\"id\":\"a\",\"title\":\"t\",\"status\":\"open\",\"zeal\":3,\"updated_at\":\"2026-01-01T00:00:01Z\"}";
    desk.handle.apply(first.generation, vec![("a".to_owned(), Some(line.to_owned()))]).await.unwrap();
    for (status, second) in [("closed", 10), ("open", 20), ("closed", 30)] {
        shows(status, second);
        let told = changed(&desk.snapshot().await);
        let at = format!("2026-01-01T00:00:{second:02}Z");
        assert_eq!((&told["a"]["status"], &told["a"]["updated_at"]), (&json!(status), &json!(at)));
        assert_eq!(told["a"]["zeal"], 3);
    }
}
