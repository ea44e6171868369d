//! A node's home directory: everything that one node keeps, and nothing outside of it.

use crate::CliError;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A node's home: `config.toml`, `keys/`, `store/`, `control.sock`, `lock`, `log`, `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home under `dir`, made absolute; nothing is created.
    ///
    /// # Errors
    /// `disk` when the current directory cannot be found out.
    pub fn at(dir: &Path) -> Result<Home, CliError> {
        let dir = std::path::absolute(dir).map_err(|err| CliError::disk(dir.display(), &err))?;
        Ok(Home { dir })
    }

    /// The home that the environment names: `TOWNMESH_HOME`, else `townmesh` in the XDG data directory.
    ///
    /// # Errors
    /// `usage` when neither is known.
    pub fn from_env() -> Result<Home, CliError> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(dir) = set("TOWNMESH_HOME") {
            return Home::at(&dir);
        }
        // The XDG base directory specification: relative values are to be ignored.
        let data = set("XDG_DATA_HOME").filter(|dir| dir.is_absolute());
        match data.or_else(|| set("HOME").map(|home| home.join(".local/share"))) {
            Some(dir) => Home::at(&dir.join("townmesh")),
            None => Err(CliError::new("usage", "no home directory is known").hint("set TOWNMESH_HOME")),
        }
    }

    /// Creates the directories, readable by their owner only.
    ///
    /// # Errors
    /// `disk` when that is not possible.
    pub fn create(&self) -> Result<(), CliError> {
        for dir in [self.dir.clone(), self.keys()] {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&dir).map_err(|err| CliError::disk(dir.display(), &err))?;
        }
        Ok(())
    }

    /// Whether a node was set up here.
    pub fn is_initialised(&self) -> bool {
        self.host_key().exists()
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Settings.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Secret keys, mode 0700.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// This host's keys.
    pub fn host_key(&self) -> PathBuf {
        self.keys().join("host.key")
    }

    /// The owner's key; only on machines where `init` ran.
    pub fn owner_key(&self) -> PathBuf {
        self.keys().join("owner.key")
    }

    /// The database.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// What workspaces' own tools cannot hold, a file per workspace.
    pub fn held(&self) -> PathBuf {
        self.dir.join("held")
    }

    /// Where programs work on slung beads.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Where the daemon listens for commands.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// Held by the daemon as long as it runs, with its process id inside.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// What a background daemon says.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The ports that the daemon listened on last.
    pub fn ports(&self) -> PathBuf {
        self.dir.join("ports")
    }

    /// Names this home on this machine: a copied home has another one, a moved or restarted one has not.
    ///
    /// # Errors
    /// `disk` when the home cannot be looked at.
    pub fn fingerprint(&self) -> Result<[u8; 32], CliError> {
        use sha2::Digest as _;
        let meta = fs::metadata(&self.dir).map_err(|err| CliError::disk(self.dir.display(), &err))?;
        // Containers may have no machine id; device and inode still tell a copy from its original.
        let machine = fs::read("/etc/machine-id").unwrap_or_default();
        let mut hash = sha2::Sha256::new();
        hash.update(b"townmesh/home/1");
        hash.update((machine.len() as u64).to_be_bytes());
        hash.update(&machine);
        hash.update(meta.dev().to_be_bytes());
        hash.update(meta.ino().to_be_bytes());
        Ok(hash.finalize().into())
    }
}

/// Writes a file that only its owner may read: a temporary one first, synced, then renamed.
///
/// # Errors
/// What the system said.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temp = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temp)?;
    // The mode above holds for new files only; a left-over may have another one.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    if let Some(dir) = path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::at(&temp.path().join("a/b")).unwrap();
        assert!(!home.is_initialised());
        home.create().unwrap();
        home.create().unwrap();
        write_private(&home.host_key(), b"x").unwrap();
        let mode = |p: PathBuf| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.dir().to_owned()), 0o700);
        assert_eq!(mode(home.keys()), 0o700);
        assert_eq!(mode(home.host_key()), 0o600);
        assert!(home.is_initialised());
    }

    #[test]
    fn a_copied_home_has_another_fingerprint() {
        let temp = tempfile::tempdir().unwrap();
        let a = Home::at(&temp.path().join("a")).unwrap();
        let b = Home::at(&temp.path().join("b")).unwrap();
        a.create().unwrap();
        b.create().unwrap();
        let before = a.fingerprint().unwrap();
        assert_eq!(before, a.fingerprint().unwrap());
        assert_ne!(before, b.fingerprint().unwrap());
        let moved = Home::at(&temp.path().join("c")).unwrap();
        fs::rename(a.dir(), moved.dir()).unwrap();
        assert_eq!(before, moved.fingerprint().unwrap());
    }
}
