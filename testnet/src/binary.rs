//! Where the binary `townmesh` is, and how it gets there.

use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The binary: `TOWNMESH_BIN`, else the one in the target directory that this program was built in. There it is
/// built once if it is missing or older than its sources (scripts build it beforehand; cargo builds binaries for
/// tests of their own package only).
///
/// # Errors
/// When it cannot be built or found.
pub fn binary() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(|| find().map_err(|err| format!("{err:#}"))) {
        Ok(path) => Ok(path),
        Err(err) => bail!("{err}"),
    }
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TOWNMESH_BIN") {
        let path = PathBuf::from(path);
        return path.canonicalize().with_context(|| format!("TOWNMESH_BIN={}", path.display()));
    }
    let own = std::env::current_exe().context("own path")?;
    let mut profile_dir = own.parent().context("own directory")?;
    if profile_dir.ends_with("deps") {
        profile_dir = profile_dir.parent().context("target directory")?;
    }
    let target = profile_dir.parent().context("target directory")?;
    let path = profile_dir.join("townmesh");
    // Several test processes may find it missing at once: one builds, the others wait.
    let lock = File::create(target.join(".townmesh-testnet.lock")).context("lock in the target directory")?;
    lock.lock().context("waiting for another build")?;
    if !fresh(&path) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "townmesh-node", "--bin", "townmesh"]);
        if profile_dir.ends_with("release") {
            build.arg("--release");
        }
        build.env("CARGO_TARGET_DIR", target).current_dir(workspace());
        if !build.status().context("running cargo")?.success() {
            bail!("cargo build -p townmesh-node failed");
        }
    }
    path.canonicalize().with_context(|| format!("no binary at {}", path.display()))
}

/// The project's root.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn fresh(binary: &Path) -> bool {
    let Ok(built) = binary.metadata().and_then(|meta| meta.modified()) else { return false };
    let root = workspace();
    let mut newest = SystemTime::UNIX_EPOCH;
    for dir in ["node/src", "crates", "proto/src"] {
        visit(&root.join(dir), &mut newest);
    }
    newest <= built
}

/// The newest change of a source file of the libraries that the binary is made of.
fn visit(dir: &Path, newest: &mut SystemTime) {
    let skip = ["tests", "sim", "benches", "examples"];
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !skip.iter().any(|name| path.ends_with(name)) {
                visit(&path, newest);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs")
            && let Ok(at) = entry.metadata().and_then(|meta| meta.modified())
        {
            *newest = at.max(*newest);
        }
    }
}
