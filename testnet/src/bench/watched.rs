//! A file beside slung work: somebody writes one into a directory that somebody else watches. Nothing in it is signed, or
//! synced to the disk, or leaves the machine.

use super::sling::PACE;
use crate::latency::Times;
use crate::node::PATIENCE;
use anyhow::{Context as _, Result, ensure};
use rustix::fs::inotify;
use serde_json::Value;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// What the writer's file is called before it is whole.
const TEMPORARY: &str = ".new";

/// From the beginning of a write, over the rename into its place, to the watcher's having read the new file. The first
/// `warm_up` are not measured.
///
/// # Errors
/// What the system said.
pub fn file_watch(dir: &Path, payload: &Value, writes: usize, warm_up: usize) -> Result<Times> {
    std::fs::create_dir_all(dir)?;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, dir, inotify::WatchFlags::MOVED_TO)?;
    let (tell, heard) = sync_channel(1);
    let place = dir.to_owned();
    let watching = std::thread::spawn(move || -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(watch, &mut buffer);
        for _ in 0..writes + warm_up {
            let name = reader.next()?.file_name().context("a name")?.to_str()?.to_owned();
            let read: Value = serde_json::from_slice(&std::fs::read(place.join(&name))?)?;
            tell.send((name, read, Instant::now()))?;
        }
        Ok(())
    });
    let mut times = Vec::with_capacity(writes);
    for at in 0..writes + warm_up {
        std::thread::sleep(PACE);
        let name = format!("{at}.json");
        let started = Instant::now();
        let temporary = dir.join(TEMPORARY);
        std::fs::write(&temporary, payload.to_string())?;
        std::fs::rename(&temporary, dir.join(&name))?;
        let (seen, read, when) = heard.recv_timeout(PATIENCE).context("the watcher did not see a file")?;
        ensure!(seen == name && read == *payload, "the watcher saw {seen}, where {name} was written");
        if at >= warm_up {
            times.push(when.saturating_duration_since(started));
        }
    }
    watching.join().map_err(|_| anyhow::anyhow!("the watching thread panicked"))??;
    Ok(Times::new(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let times = file_watch(dir.path(), &serde_json::json!({"a": 1}), 5, 2).unwrap();
        assert_eq!(times.count(), 5);
    }
}
