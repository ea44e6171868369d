//! Crashes, late writers and disks that refuse.

use crate::support::*;
use bridge::{ApplyError, Event, Options, blob_id};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[tokio::test]
async fn what_a_late_writer_puts_into_the_displaced_file_is_carried_over() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1), line("b", 1)])));
    let first = desk.snapshot().await;
    let mut late = std::fs::OpenOptions::new().append(true).open(desk.file()).unwrap();
    desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await.unwrap();
    late.write_all(format!("{}\n", line("c", 1)).as_bytes()).unwrap();
    let carried = desk.snapshot().await;
    assert_eq!(ids(&carried), ["c"], "the writer's edit, and nothing of the lines that it had not touched");
    assert_eq!(desk.read(), file(&[line("a", 2), line("b", 1), line("c", 1)]));
    assert_eq!(desk.litter(), Vec::<String>::new());
}

#[tokio::test]
async fn a_late_half_line_is_kept_under_a_name_of_its_own() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1)])));
    let first = desk.snapshot().await;
    let mut late = std::fs::OpenOptions::new().append(true).open(desk.file()).unwrap();
    desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await.unwrap();
    late.write_all(b"{\"id\":").unwrap();
    let Event::Rescued(path) = desk.event().await else { panic!("not rescued") };
    assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{}{{\"id\":", file(&[line("a", 1)])));
    assert_eq!(desk.read(), file(&[line("a", 2)]));
}

fn leftover(dir: &Path, expected: &str, ours: &str, content: &str) -> PathBuf {
    let name = |text: &str| hex::encode(blob_id(text.as_bytes()));
    let path = dir.join(format!(".beads/.issues.jsonl.townmesh.{}.{}.1-0", name(expected), name(ours)));
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn leftovers_of_a_crash_are_put_right() {
    let (expected, ours) = (file(&[line("a", 1)]), file(&[line("a", 2)]));
    let (theirs, later) = (file(&[line("a", 3)]), file(&[line("a", 4)]));
    // What is in the file, what is beside it, what has to be in the file, whether something is kept for people.
    let cases = [
        (&expected, &ours, &expected, false),
        (&ours, &expected, &ours, false),
        (&ours, &theirs, &theirs, false),
        (&later, &theirs, &later, true),
    ];
    for (current, beside, after, kept) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".beads")).unwrap();
        std::fs::write(dir.path().join(".beads/issues.jsonl"), current).unwrap();
        let path = leftover(dir.path(), &expected, &ours, beside);
        std::fs::write(format!("{}.part", path.display()), "half").unwrap();
        std::fs::write(dir.path().join(".beads/.issues.jsonl.townmesh.mine"), "not ours").unwrap();
        let mut desk = Desk::attach(dir, options());
        if kept {
            let Event::Rescued(path) = desk.event().await else { panic!("not rescued") };
            assert_eq!(&std::fs::read_to_string(path).unwrap(), beside);
        }
        assert_eq!(desk.snapshot().await.generation, blob_id(after.as_bytes()));
        assert_eq!(&desk.read(), after);
        let litter = desk.litter();
        assert_eq!(litter.len(), 1 + usize::from(kept), "{litter:?}");
        assert!(litter.contains(&".issues.jsonl.townmesh.mine".to_string()));
    }
}

/// A file system of its own; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(dir: &Path, options: &str) -> Option<Mount> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).output();
        if !done.is_ok_and(|out| out.status.success()) {
            println!("skipped: no right to mount");
            return None;
        }
        Some(Mount(dir.into()))
    }

    fn remount(&self, options: &str) {
        assert!(Command::new("mount").args(["-o", options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_or_read_only_disk_is_typed_and_leaves_the_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".beads")).unwrap();
    let Some(mount) = Mount::tmpfs(&dir.path().join(".beads"), "size=64k") else { return };
    let text = file(&[line("a", 1)]);
    std::fs::write(dir.path().join(".beads/issues.jsonl"), &text).unwrap();
    let mut desk = Desk::attach(dir, options());
    let first = desk.snapshot().await;
    let big = format!("{{\"id\":\"a\",\"x\":\"{}\"}}", "x".repeat(100_000));
    let refused = desk.handle.apply(first.generation, vec![("a".into(), Some(big))]).await;
    assert!(matches!(refused, Err(ApplyError::DiskFull { .. })), "{refused:?}");
    assert_eq!((desk.read(), desk.litter()), (text.clone(), vec![]));
    mount.remount("remount,ro");
    let refused = desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await;
    assert!(matches!(refused, Err(ApplyError::ReadOnly { .. })), "{refused:?}");
    mount.remount("remount,rw");
    desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await.unwrap();
    drop(mount);
}

#[tokio::test]
async fn an_aborted_preparation_leaves_nothing() {
    let mut desk = Desk::open(Some(&file(&[line("a", 1)])));
    let first = desk.snapshot().await;
    let prepared = desk.handle.prepare(first.generation, vec![("a".into(), None)]).await.unwrap();
    assert_eq!(desk.litter().len(), 1);
    drop(prepared);
    assert_eq!(desk.litter(), Vec::<String>::new());
    let same = desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 1)))]).await.unwrap();
    assert_eq!(same.generation, first.generation, "nothing to do is done");
    let handle = desk.handle.clone();
    drop(desk.events);
    // The task ends with its reader; whoever still asks is told.
    let closed = async { while handle.read_line("a").await != Err(ApplyError::Closed) {} };
    tokio::time::timeout(DEADLINE, closed).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_made_anew_is_found_by_the_poll() {
    let options = Options { poll: Duration::from_millis(100), ..options() };
    let mut desk = Desk::open_with(Some(&file(&[line("a", 1)])), options);
    desk.snapshot().await;
    let beads = desk.dir.path().join(".beads");
    std::fs::rename(&beads, desk.dir.path().join("old")).unwrap();
    std::fs::create_dir(&beads).unwrap();
    desk.write(&file(&[line("a", 2)]));
    loop {
        let snapshot = desk.snapshot().await;
        if !snapshot.changed.is_empty() {
            assert_eq!(snapshot.changed[0].text, line("a", 2));
            break;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_of_events_misses_nothing() {
    let mut desk = Desk::open_with(Some(""), Options { events_max: 1, ..options() });
    let mut lines = Vec::new();
    for n in 0..50 {
        lines.push(line(&format!("id{n:02}"), n));
        desk.write_by_rename(&file(&lines));
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    while seen.len() < 50 {
        seen.extend(desk.snapshot().await.changed.into_iter().map(|line| line.text));
    }
    assert_eq!(seen, lines);
}
