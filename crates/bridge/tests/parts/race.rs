//! A writer that knows nothing of us edits the file while we apply to it. None of its edits may get lost.

use crate::support::*;
use bridge::{ApplyError, Event, Options, Snapshot, Step};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const EDITS: u32 = 1_500;

/// What the writer did: per bead of its own the texts it wrote, in order.
type Written = HashMap<String, Vec<String>>;

/// Reads, changes or adds one line of its own and writes back: by rename, in place in several pieces, or by appending.
fn writer(path: &Path, done: &AtomicBool, pace: Duration) -> Written {
    let mut written = Written::new();
    let temp = path.with_file_name(".other-tool");
    for n in 0..EDITS {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        let id = if n % 3 == 0 { format!("new{n:05}") } else { format!("user{:02}", n % 20) };
        let new = line(&id, n + 10);
        match lines.iter_mut().find(|line| line.contains(&format!("\"{id}\""))) {
            Some(old) => *old = new.clone(),
            None => lines.push(new.clone()),
        }
        written.entry(id).or_default().push(new.clone());
        match n % 4 {
            0 | 1 => {
                std::fs::write(&temp, file(&lines)).unwrap();
                std::fs::rename(&temp, path).unwrap();
            }
            2 => {
                let mut out = std::fs::File::create(path).unwrap();
                for piece in file(&lines).as_bytes().chunks(700) {
                    out.write_all(piece).unwrap();
                }
            }
            _ => {
                let mut out = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                let id = format!("app{n:05}");
                let text = line(&id, n);
                std::thread::yield_now();
                out.write_all(format!("{text}\n").as_bytes()).unwrap();
                // This kind of edit replaces the one above.
                written.values_mut().for_each(|texts| texts.retain(|text| *text != new));
                written.insert(id, vec![text]);
            }
        }
        // The pace of the writer, not a wait for anything.
        std::thread::sleep(pace * (n % 3));
    }
    done.store(true, Ordering::SeqCst);
    written
}

#[derive(Default)]
struct Seen {
    texts: HashSet<String>,
    generation: Option<[u8; 20]>,
    rescued: u32,
}

impl Seen {
    fn take(&mut self, event: Event) {
        match event {
            Event::Snapshot(snapshot) => self.take_snapshot(*snapshot),
            Event::Rescued(path) => {
                self.rescued += 1;
                self.texts.extend(std::fs::read_to_string(path).unwrap().lines().map(String::from));
            }
            Event::Failed(error) => panic!("{error}"),
        }
    }

    fn take_snapshot(&mut self, snapshot: Snapshot) {
        self.generation = Some(snapshot.generation);
        self.texts.extend(snapshot.changed.into_iter().map(|line| line.text));
    }
}

/// Applies as fast as it can until the writer is done, and goes on looking until all is quiet.
async fn stress(pace: Duration) {
    let start: Vec<String> =
        (0..20).flat_map(|n| [line(&format!("mesh{n:02}"), 0), line(&format!("user{n:02}"), 0)]).collect();
    let mut desk = Desk::open_with(
        Some(&file(&start)),
        Options { settle: Duration::from_millis(50), events_max: 1, ..Options::default() },
    );
    let mut seen = Seen::default();
    seen.take_snapshot(desk.snapshot().await);
    let done = Arc::new(AtomicBool::new(false));
    let (path, flag) = (desk.file(), done.clone());
    let thread = std::thread::spawn(move || writer(&path, &flag, pace));
    let (mut applied, mut changed) = (0u32, 0u32);
    while !done.load(Ordering::SeqCst) {
        let id = format!("mesh{:02}", applied % 20);
        let text = line(&id, 1_000_000 + applied);
        let base = seen.generation.unwrap();
        match desk.handle.apply(base, vec![(id, Some(text))]).await {
            Ok(now) => {
                applied += 1;
                seen.generation = Some(now.generation);
                while let Ok(event) = desk.events.try_recv() {
                    seen.take(event);
                }
            }
            Err(ApplyError::Changed) => {
                changed += 1;
                seen.take(desk.event().await);
            }
            // The writer is in the middle of a line.
            Err(ApplyError::Broken { .. }) => seen.take(desk.event().await),
            Err(other) => panic!("{other}"),
        }
    }
    let written = thread.join().unwrap();
    // Displaced files are watched for two seconds; then nothing of ours is left and the file stays as it is.
    let end = Instant::now() + DEADLINE;
    let lost = loop {
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(500), desk.events.recv()).await {
            seen.take(event);
        }
        let text = desk.read();
        let last = written.iter().filter_map(|(id, texts)| Some((id, texts.last()?)));
        let lost: Vec<_> =
            last.filter(|(_, wrote)| !seen.texts.contains(*wrote) && !text.lines().any(|l| l == *wrote)).collect();
        if lost.is_empty() && !desk.litter().iter().any(|name| name.contains(".townmesh.")) || Instant::now() > end {
            break lost.into_iter().map(|(id, wrote)| (id.clone(), wrote.clone())).collect::<Vec<_>>();
        }
    };
    println!("applied {applied}, changed {changed}, rescued {}, beads written {}", seen.rescued, written.len());
    assert!(lost.is_empty(), "{} lost of {}: {:?}", lost.len(), written.len(), &lost[..lost.len().min(5)]);
    assert!(changed > 5, "no race: applied {applied}, changed {changed}");
    let litter: Vec<String> = desk.litter().into_iter().filter(|name| name.contains(".townmesh.")).collect();
    assert_eq!(litter, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_edit_of_a_fast_writer_is_lost() {
    stress(Duration::from_micros(300)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_edit_of_a_slower_writer_is_lost() {
    stress(Duration::from_millis(4)).await;
}

/// Where the file of the next test is.
static STEPS_OF: std::sync::Mutex<Option<std::path::PathBuf>> = std::sync::Mutex::new(None);

/// What it looked like at each step, and how many files lay beside it.
static STEPS: std::sync::Mutex<Vec<(Step, String, usize)>> = std::sync::Mutex::new(Vec::new());

#[tokio::test]
async fn the_steps_of_a_commit_are_told_when_they_are() {
    let on_step = |step| {
        let path = STEPS_OF.lock().unwrap().clone().unwrap();
        let beside = names(path.parent().unwrap()).len() - 1;
        STEPS.lock().unwrap().push((step, std::fs::read_to_string(&path).unwrap(), beside));
    };
    let (old, new) = (file(&[line("a", 1)]), file(&[line("a", 2)]));
    let mut desk = Desk::open_with(Some(&old), Options { on_step, ..options() });
    *STEPS_OF.lock().unwrap() = Some(desk.file());
    let first = desk.snapshot().await;
    desk.handle.apply(first.generation, vec![("a".into(), Some(line("a", 2)))]).await.unwrap();
    assert_eq!(*STEPS.lock().unwrap(), [(Step::Written, old, 1), (Step::Swapped, new, 1)]);
    assert_eq!(desk.litter(), Vec::<String>::new());
}
