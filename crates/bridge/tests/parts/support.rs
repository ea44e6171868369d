use bridge::{Event, Handle, Options, Snapshot, Workspace};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// Nothing here should take this long; a test that waits for it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A workspace directory of its own, coupled.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub handle: Handle,
    pub events: Receiver<Event>,
}

pub fn options() -> Options {
    Options { settle: Duration::from_millis(100), ..Options::default() }
}

impl Desk {
    /// With this file, or with none.
    pub fn open(content: Option<&str>) -> Desk {
        Desk::open_with(content, options())
    }

    pub fn open_with(content: Option<&str>, options: Options) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".beads")).unwrap();
        if let Some(content) = content {
            std::fs::write(dir.path().join(".beads/issues.jsonl"), content).unwrap();
        }
        Desk::attach(dir, options)
    }

    pub fn attach(dir: tempfile::TempDir, options: Options) -> Desk {
        let (handle, events) = Workspace::open(dir.path(), options).unwrap();
        Desk { dir, handle, events }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join(".beads/issues.jsonl")
    }

    pub fn read(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    pub fn write(&self, content: &str) {
        std::fs::write(self.file(), content).unwrap();
    }

    /// As careful tools do it.
    pub fn write_by_rename(&self, content: &str) {
        let temp = self.dir.path().join(".beads/.other-tool");
        std::fs::write(&temp, content).unwrap();
        std::fs::rename(temp, self.file()).unwrap();
    }

    pub async fn event(&mut self) -> Event {
        next(&mut self.events, DEADLINE).await
    }

    pub async fn snapshot(&mut self) -> Snapshot {
        as_snapshot(self.event().await)
    }

    /// Names beside the file that are not the file.
    pub fn litter(&self) -> Vec<String> {
        names(&self.dir.path().join(".beads")).into_iter().filter(|name| name != "issues.jsonl").collect()
    }
}

pub async fn next(events: &mut Receiver<Event>, deadline: Duration) -> Event {
    tokio::time::timeout(deadline, events.recv()).await.expect("an event in time").expect("a living task")
}

pub fn as_snapshot(event: Event) -> Snapshot {
    match event {
        Event::Snapshot(snapshot) => *snapshot,
        other => panic!("not a snapshot: {other:?}"),
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn line(id: &str, n: u32) -> String {
    format!("{{\"id\":\"{id}\",\"n\":{n}}}")
}

pub fn file(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

pub fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.changed.iter().map(|line| line.id.as_str()).collect()
}

/// A file of the shared real data, if it is there.
pub fn shared(name: &str) -> Option<String> {
    let path = format!("{}/../../../shared/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: no {name} in the shared data");
    }
    text
}
