//! Being told early that a file changed. Only a hint: a slow poll stands behind it.

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// Watches the directories of a file and, if it is a link, of what it points to.
pub(crate) struct Watch {
    path: PathBuf,
    poke: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// What is watched: directories by number, since a new directory of the same name is another one.
    places: Vec<(PathBuf, Option<(u64, u64)>)>,
}

impl Watch {
    pub(crate) fn new(path: &Path, poke: Arc<Notify>) -> Watch {
        let mut watch = Watch { path: path.into(), poke, watcher: None, places: Vec::new() };
        watch.renew();
        watch
    }

    /// Watches anew if the file or a directory has moved.
    pub(crate) fn renew(&mut self) {
        let mut files: BTreeSet<PathBuf> = BTreeSet::from([self.path.clone()]);
        files.extend(std::fs::canonicalize(&self.path));
        let dirs: BTreeSet<PathBuf> = files.iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
        let places: Vec<_> = dirs.into_iter().map(|dir| (dir.clone(), number(&dir))).collect();
        if self.watcher.is_some() && places == self.places {
            return;
        }
        let names = files.iter().filter_map(|file| file.file_name().map(Into::into)).collect();
        let watcher = start(names, &places, self.poke.clone());
        self.watcher = watcher
            .inspect_err(|error| tracing::warn!(path = %self.path.display(), %error, "cannot watch; polling only"))
            .ok();
        self.places = places;
        // Whatever happened between the old watch and the new one.
        self.poke.notify_one();
    }
}

fn number(dir: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(dir).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn start(
    names: BTreeSet<OsString>,
    places: &[(PathBuf, Option<(u64, u64)>)],
    poke: Arc<Notify>,
) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| concerns(&event, &names)) {
            poke.notify_one();
        }
    })?;
    for (dir, _) in places {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Other files of the directory (a database, our own preparations) and mere reading, ours above all, do not count.
fn concerns(event: &notify::Event, names: &BTreeSet<OsString>) -> bool {
    let read = match event.kind {
        EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
        _ => false,
    };
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
    !read && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(named))
}
