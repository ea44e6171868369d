//! Where the runner's files are, and how they are written and removed.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The runner's own directory. Names are made of job ids, which are checked to be hex.
#[derive(Debug, Clone)]
pub(crate) struct Dirs(PathBuf);

impl Dirs {
    /// Makes what is missing; nobody else may look into it.
    pub(crate) fn make(dir: &Path) -> io::Result<Dirs> {
        private_dir(dir)?;
        // git writes absolute paths into its notes about worktrees.
        let dirs = Dirs(dir.canonicalize()?);
        for dir in [dirs.jobs(), dirs.trees(), dirs.logs(), dirs.asides(), dirs.sandbox()] {
            private_dir(&dir)?;
        }
        Ok(dirs)
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.0.join("jobs")
    }

    pub(crate) fn trees(&self) -> PathBuf {
        self.0.join("trees")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    pub(crate) fn asides(&self) -> PathBuf {
        self.0.join("aside")
    }

    pub(crate) fn sandbox(&self) -> PathBuf {
        self.0.join("sandbox")
    }

    pub(crate) fn note(&self, id: &str) -> PathBuf {
        self.jobs().join(format!("{id}.json"))
    }

    pub(crate) fn tree(&self, id: &str) -> PathBuf {
        self.trees().join(id)
    }

    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.logs().join(format!("{id}.log"))
    }

    pub(crate) fn aside(&self, id: &str) -> PathBuf {
        self.asides().join(id)
    }

    pub(crate) fn report(&self, id: &str) -> PathBuf {
        self.aside(id).join("report")
    }

    /// Where a sandbox says which process it is.
    pub(crate) fn info(&self, id: &str) -> PathBuf {
        self.aside(id).join("sandbox.json")
    }
}

/// The names in a directory; none if it cannot be read.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Writes a file so that it is there whole or not at all, after a loss of power too.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

/// Removes a file or a directory with everything in it, without following links. That it is not there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match try_remove(path) {
        // Programs leave directories that may not be written to (caches of modules do that).
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            try_remove(path)
        }
        // Something that was killed just now may have made a last file.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => try_remove(path),
        other => other,
    }
}

fn try_remove(path: &Path) -> io::Result<()> {
    let result = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory below writable. Nobody changes the tree meanwhile: who ran in it has ended.
fn open_up(path: &Path) {
    let mut dirs = vec![path.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        if !dir.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        let _ = std::fs::set_permissions(&dir, Permissions::from_mode(0o700));
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        dirs.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
}
