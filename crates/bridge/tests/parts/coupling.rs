use crate::support::*;
use bridge::{ApplyError, Event, LineError, MISSING, OpenError, Options, ReadError, Workspace, blob_id};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn sees_edits_and_writes_back() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1), line("b", 1)])));
    let first = desk.snapshot().await;
    assert!(first.first && first.ends_cleanly);
    assert_eq!((ids(&first), first.generation), (vec!["a", "b"], blob_id(desk.read().as_bytes())));

    desk.write(&file(&[line("a", 2), line("b", 1)]));
    let second = desk.snapshot().await;
    assert!(!second.first);
    assert_eq!((ids(&second), second.changed[0].text.clone()), (vec!["a"], line("a", 2)));

    let prepared = desk
        .handle
        .prepare(second.generation, vec![("b".into(), Some(line("b", 7))), ("c".into(), Some(line("c", 1)))])
        .await
        .unwrap();
    assert_eq!(desk.read(), file(&[line("a", 2), line("b", 1)]), "not visible yet");
    let promised = prepared.generation;
    let applied = desk.handle.commit(prepared).await.unwrap();
    let expected = file(&[line("a", 2), line("b", 7), line("c", 1)]);
    assert_eq!((applied.generation, desk.read()), (promised, expected.clone()));
    assert_eq!(promised, blob_id(expected.as_bytes()));
    assert_eq!(desk.handle.read_line("c").await.unwrap(), Some(line("c", 1)));
    assert_eq!(desk.litter(), Vec::<String>::new());

    // Our own write is no news; the next edit is, and nothing but it.
    desk.write_by_rename(&file(&[line("a", 3), line("b", 7), line("c", 1)]));
    assert_eq!(ids(&desk.snapshot().await), ["a"]);
}

#[tokio::test]
async fn apply_to_a_changed_file_is_refused_and_a_snapshot_follows() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1)])));
    let first = desk.snapshot().await;
    let prepared = desk.handle.prepare(first.generation, vec![("a".into(), Some(line("a", 9)))]).await.unwrap();
    desk.write(&file(&[line("a", 2)]));
    assert_eq!(desk.handle.commit(prepared).await, Err(ApplyError::Changed));
    assert_eq!(desk.read(), file(&[line("a", 2)]));
    let mut seen = desk.snapshot().await;
    if seen.changed.is_empty() {
        seen = desk.snapshot().await;
    }
    assert_eq!(seen.changed[0].text, line("a", 2));
    desk.handle.apply(seen.generation, vec![("a".into(), Some(line("a", 9)))]).await.unwrap();
    assert_eq!(desk.read(), file(&[line("a", 9)]));

    // A base that nobody ever had: the snapshot that follows holds nothing new, but it comes.
    assert_eq!(desk.handle.apply([7; 20], vec![]).await, Err(ApplyError::Changed));
    loop {
        let after = desk.snapshot().await;
        if after.generation == blob_id(desk.read().as_bytes()) {
            break;
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_created_and_a_removed_one_says_nothing_about_its_beads() {
    let mut desk = Desk::open(None);
    let first = desk.snapshot().await;
    assert_eq!((first.generation, first.first, first.lines_total), (MISSING, true, 0));
    let lines = vec![("b".into(), Some(line("b", 1))), ("a".into(), Some(line("a", 1)))];
    let applied = desk.handle.apply(MISSING, lines).await.unwrap();
    assert_eq!(desk.read(), file(&[line("a", 1), line("b", 1)]));

    std::fs::remove_file(desk.file()).unwrap();
    let gone = desk.snapshot().await;
    assert_eq!((gone.generation, gone.missing.len()), (MISSING, 0));
    desk.write(&file(&[line("a", 1), line("b", 2)]));
    let back = desk.snapshot().await;
    assert_eq!((ids(&back), back.missing.len()), (vec!["b"], 0), "compared with what was known before");
    assert_ne!(back.generation, applied.generation);

    // Deleted and written anew at once, as git does it.
    std::fs::remove_file(desk.file()).unwrap();
    desk.write(&file(&[line("a", 3), line("b", 2)]));
    assert_eq!(ids(&desk.snapshot().await), ["a"]);
}

#[tokio::test]
async fn a_half_written_file_is_not_believed() {
    let mut desk = Desk::open_with(
        Some(&file(&[line("a", 1), line("b", 1), line("c", 1)])),
        Options { settle: Duration::from_secs(2), ..Options::default() },
    );
    desk.snapshot().await;
    // Cut at the end of a line (so it looks whole), and in the middle of one.
    let whole = file(&[line("a", 2), line("b", 1), line("c", 1), line("d", 1)]);
    for cut in [line("a", 2).len() + 1, whole.len() - 5] {
        desk.write(&whole[..cut]);
        let early = tokio::time::timeout(Duration::from_millis(300), desk.events.recv()).await;
        assert!(early.is_err(), "believed a part: {early:?}");
    }
    desk.write(&whole);
    let snapshot = desk.snapshot().await;
    assert_eq!((ids(&snapshot), snapshot.missing.len()), (vec!["a", "d"], 0));
}

#[tokio::test]
async fn lines_that_stay_away_are_missing() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1), line("b", 1)])));
    desk.snapshot().await;
    desk.write(&line("b", 1));
    let snapshot = desk.snapshot().await;
    assert_eq!((snapshot.missing.clone(), snapshot.ends_cleanly), (vec!["a".to_string()], false));
    desk.write("");
    let empty = desk.snapshot().await;
    assert_eq!((empty.missing, empty.generation), (vec!["b".to_string()], blob_id(b"")));
    desk.handle.apply(blob_id(b""), vec![("z".into(), Some(line("z", 1)))]).await.unwrap();
    assert_eq!(desk.read(), file(&[line("z", 1)]));
}

#[tokio::test]
async fn a_broken_file_is_reported_and_never_overwritten() {
    let conflict = format!("<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n", line("a", 2), line("a", 3));
    let mut desk = Desk::open(Some(&file(&[line("a", 1)])));
    desk.snapshot().await;
    desk.write(&conflict);
    let snapshot = desk.snapshot().await;
    assert_eq!(snapshot.broken.iter().map(|line| line.line_no).collect::<Vec<_>>(), [1, 3, 5]);
    let refused = desk.handle.apply(snapshot.generation, vec![("b".into(), Some(line("b", 1)))]).await;
    let error = LineError::ConflictMarker;
    assert_eq!(refused, Err(ApplyError::Broken { total: 3, line_no: 1, error }));
    assert_eq!(desk.read(), conflict);
    desk.write(&file(&[line("a", 3)]));
    let mended = desk.snapshot().await;
    assert_eq!((ids(&mended), mended.broken_total), (vec!["a"], 0));
}

#[tokio::test]
async fn mode_and_links_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("real.jsonl");
    std::fs::create_dir(dir.path().join(".beads")).unwrap();
    std::fs::write(&target, file(&[line("a", 1)])).unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join(".beads/issues.jsonl")).unwrap();
    let mut desk = Desk::attach(dir, options());
    let first = desk.snapshot().await;
    desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), file(&[line("a", 2)]));
    assert!(desk.file().symlink_metadata().unwrap().is_symlink());
    assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o640);
    assert_eq!(names(elsewhere.path()), ["real.jsonl"]);
    std::fs::write(&target, file(&[line("a", 3)])).unwrap();
    assert_eq!(desk.snapshot().await.changed[0].text, line("a", 3), "the link's target is watched");
}

#[tokio::test]
async fn what_is_no_file_is_a_typed_failure_until_it_is_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join(".beads/issues.jsonl")).unwrap();
    let mut desk = Desk::attach(dir, options());
    assert!(matches!(desk.event().await, Event::Failed(ReadError::NotAFile(_))));
    assert!(matches!(desk.handle.read_line("a").await, Err(ApplyError::Read(_))));
    std::fs::remove_dir(desk.file()).unwrap();
    std::os::unix::fs::symlink("/nonexistent/x", desk.file()).unwrap();
    // The moment without anything may be seen, too.
    let mut event = desk.event().await;
    if matches!(&event, Event::Snapshot(nothing) if nothing.generation == MISSING) {
        event = desk.event().await;
    }
    assert!(matches!(event, Event::Failed(ReadError::BrokenLink(_))), "{event:?}");
    std::fs::remove_file(desk.file()).unwrap();
    // Written in place it may rightly be seen while it is empty: nothing was there that this could take away.
    desk.write_by_rename(&file(&[line("a", 1)]));
    let mut snapshot = desk.snapshot().await;
    if snapshot.generation == MISSING {
        snapshot = desk.snapshot().await;
    }
    assert_eq!(ids(&snapshot), ["a"]);
    assert!(matches!(Workspace::open(Path::new("/nonexistent"), options()), Err(OpenError::NoDirectory(_))));
}

#[tokio::test]
async fn a_link_to_nowhere_is_told_even_where_there_was_nothing() {
    let mut desk = Desk::open(None);
    assert_eq!(desk.snapshot().await.generation, MISSING);
    std::os::unix::fs::symlink("/nonexistent/x", desk.file()).unwrap();
    assert!(matches!(desk.event().await, Event::Failed(ReadError::BrokenLink(_))));
    std::fs::remove_file(desk.file()).unwrap();
    assert_eq!(desk.snapshot().await.generation, MISSING, "that it is well again is told, too");
    desk.write_by_rename(&file(&[line("a", 1)]));
    assert_eq!(ids(&desk.snapshot().await), ["a"]);
}

/// Until the file's last change is so long ago that its time stamp can be trusted, and somebody has looked since.
async fn still(file: &Path) {
    let changed = || std::fs::metadata(file).map(|m| (m.ctime(), m.ctime_nsec())).unwrap();
    let since = |(secs, nanos): (i64, i64)| {
        let at = std::time::UNIX_EPOCH + Duration::new(secs as u64, nanos as u32);
        at.elapsed().unwrap_or_default()
    };
    while since(changed()) < Duration::from_millis(400) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_file_that_has_been_still_is_edited_by_what_is_known_of_it() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1), line("b", 1), line("c", 1)])));
    let mut generation = desk.snapshot().await.generation;
    for round in 2..5 {
        still(&desk.file()).await;
        let lines = vec![("b".into(), Some(line("b", round))), ("bb".into(), Some(line("bb", round)))];
        generation = desk.handle.apply(generation, lines).await.unwrap().generation;
        let want = file(&[line("a", 1), line("b", round), line("bb", round), line("c", 1)]);
        assert_eq!((desk.read().as_str(), generation), (want.as_str(), blob_id(want.as_bytes())));
    }
    still(&desk.file()).await;
    // A version of the same length with the time of the one before: only the status change tells.
    let before = desk.file().metadata().unwrap().modified().unwrap();
    let theirs = desk.read().replace(&line("a", 1), &line("a", 9));
    desk.write_by_rename(&theirs);
    std::fs::File::options().write(true).open(desk.file()).unwrap().set_modified(before).unwrap();
    let refused = desk.handle.apply(generation, vec![("c".into(), None)]).await;
    assert_eq!(refused, Err(ApplyError::Changed));
    assert_eq!(desk.read(), theirs);
    assert_eq!(desk.snapshot().await.changed[0].text, line("a", 9));
}

#[tokio::test]
async fn real_files_come_back_to_the_letter() {
    for name in ["beads-5722.jsonl", "beads-10519.jsonl", "quinn-113.jsonl", "agent-mail-167.jsonl"] {
        let Some(text) = shared(name) else { return };
        let mut desk = Desk::open(Some(&text));
        let first = desk.snapshot().await;
        assert_eq!((first.broken_total, first.lines_total as usize), (0, text.lines().count()), "{name}");
        assert_eq!(first.changed.len() + first.repeated.len() + first.others_total as usize, text.lines().count());
        let id = first.changed[first.changed.len() / 2].id.clone();
        let old = first.changed[first.changed.len() / 2].text.clone();
        let new = line(&id, 1);
        let applied = desk.handle.apply(first.generation, vec![(id.clone(), Some(new.clone()))]).await.unwrap();
        assert_eq!(desk.read(), text.replacen(&old, &new, 1), "{name}");
        let back = desk.handle.apply(applied.generation, vec![(id, Some(old))]).await.unwrap();
        assert_eq!((desk.read() == text, back.generation), (true, first.generation), "{name}");
        desk.handle.rescan().await.unwrap();
        let again = desk.snapshot().await;
        assert_eq!((again.first, again.changed), (true, first.changed), "{name}");
    }
}

#[tokio::test]
async fn edits_are_seen_without_the_poll() {
    let options = Options { poll: Duration::from_secs(3600), ..options() };
    let mut desk = Desk::open_with(Some(&file(&[line("a", 0), line("b", 0)])), options);
    desk.snapshot().await;
    let mut micros = Vec::new();
    for n in 1..=40 {
        let text = file(&[line("a", n), line("b", 0)]);
        let start = std::time::Instant::now();
        if n % 2 == 0 {
            desk.write(&text)
        } else {
            desk.write_by_rename(&text)
        }
        let snapshot = desk.snapshot().await;
        micros.push(start.elapsed().as_micros());
        assert_eq!((ids(&snapshot), snapshot.changed[0].text.clone()), (vec!["a"], line("a", n)));
    }
    micros.sort_unstable();
    println!("from write to snapshot: median {} us, worst {} us", micros[micros.len() / 2], micros[micros.len() - 1]);
}
