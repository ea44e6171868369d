//! What is to be executed, and what is checked before anything is touched.

use crate::sandbox::{NoSandbox, SANDBOX_PATH};
use sha2::{Digest as _, Sha256};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest id of a bead, in bytes: it becomes a variable of the program.
const BEAD_BYTES_MAX: usize = 4096;

/// Longest readable part of a bead's name in a ref, in bytes.
const NAME_BYTES_MAX: usize = 80;

/// Variables that the runner sets itself.
const RESERVED: &[&str] = &["TOWNMESH_BEAD", "TOWNMESH_ATTEMPT", "TOWNMESH_GRANT", "TOWNMESH_BASE", "TOWNMESH_REPORT"];

/// A piece of work that was granted to this host.
#[derive(Debug, Clone)]
pub struct Job {
    /// The grant's id: 1 to 64 lower-case hex digits. It names the job's files.
    pub id: String,
    /// The bead's id, whatever it contains.
    pub bead: String,
    /// The bead's title, whatever it contains.
    pub title: String,
    /// Epoch and number of the grant. The number is shown to people as "attempt n".
    pub fence: (u64, u64),
    /// The bead, for the program's standard input.
    pub bead_json: String,
    /// The program and its arguments; no shell reads them. A name without a slash is looked up on `PATH`, a relative
    /// path begins in the worktree.
    pub argv: Vec<String>,
    /// The git repository, with or without a work tree. `None`: an empty directory, of which nothing is kept.
    pub repo: Option<PathBuf>,
    /// The commit to begin at, 40 or 64 hex digits. `None`: the repository's `HEAD`.
    pub base: Option<String>,
    /// Where a result is pushed to: a remote's name, a path or a URL. `None`: it stays in the repository.
    pub push: Option<String>,
    /// More variables for the program. Their names begin with `TOWNMESH_`.
    pub env: Vec<(String, String)>,
    /// How long the program may run.
    pub time_max: Duration,
    /// What the program may not see. `None`: it runs as the user, with everything the user has.
    pub sandbox: Option<Sandbox>,
}

/// A program that sees its worktree and the system's programs, and nothing else of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sandbox {
    /// Whether it uses the host's network. That is all of it: servers that listen on this host only, too.
    pub network: bool,
}

/// Why a job was not even begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The id is no name for files.
    #[error("the id of a job is 1 to 64 lower-case hex digits")]
    BadId,
    /// The bead's id is too long.
    #[error("the id of the bead is longer than {BEAD_BYTES_MAX} bytes")]
    BeadTooLong,
    /// The base is no full commit id.
    #[error("the base is no commit id of 40 or 64 hex digits")]
    BadBase,
    /// A base or a place to push to, and no repository.
    #[error("a job without a repository has no base and pushes nothing")]
    NoRepository,
    /// What to push to would be taken for an option.
    #[error("cannot push to {0:?}")]
    BadPush(String),
    /// An argument that no program can be given.
    #[error("argument {0} contains a zero byte")]
    BadArgument(usize),
    /// A variable that is not the caller's to set.
    #[error("cannot set the variable {0:?}: its name has to begin with TOWNMESH_ and not to be one that is set anyway")]
    BadVariable(String),
    /// There is nothing to run.
    #[error("no program is given")]
    NoProgram,
    /// The program is not there.
    #[error("there is no program {0:?}")]
    UnknownProgram(String),
    /// A job of this id has not ended.
    #[error("the job runs already")]
    Runs,
    /// A sandbox was asked for, and there is none to be had.
    #[error(transparent)]
    NoSandbox(#[from] NoSandbox),
    /// Called from outside a tokio runtime.
    #[error("there is no runtime to run it")]
    NoRuntime,
}

impl Job {
    /// Whether everything can be used as what it is meant to be.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if !is_id(&self.id) {
            return Err(StartError::BadId);
        }
        if self.bead.len() > BEAD_BYTES_MAX {
            return Err(StartError::BeadTooLong);
        }
        if self.base.as_deref().is_some_and(|base| !is_commit(base)) {
            return Err(StartError::BadBase);
        }
        if self.repo.is_none() && (self.base.is_some() || self.push.is_some()) {
            return Err(StartError::NoRepository);
        }
        if let Some(push) = &self.push
            && (push.is_empty() || push.starts_with('-') || push.contains('\0'))
        {
            return Err(StartError::BadPush(push.clone()));
        }
        if let Some(at) = self.argv.iter().position(|argument| argument.contains('\0')) {
            return Err(StartError::BadArgument(at));
        }
        if let Some((name, _)) = self.env.iter().find(|(name, value)| !is_variable(name, value)) {
            return Err(StartError::BadVariable(name.clone()));
        }
        Ok(())
    }

    /// What is really executed: a path, so that nothing looks it up again.
    pub(crate) fn program(&self) -> Result<PathBuf, StartError> {
        let name = self.argv.first().filter(|name| !name.is_empty()).ok_or(StartError::NoProgram)?;
        if name.contains('/') {
            // A relative path begins in the worktree; `./` keeps it from being an option of whoever executes it.
            let path = Path::new(name);
            return Ok(if path.is_absolute() { path.to_path_buf() } else { Path::new(".").join(path) });
        }
        // A sandbox shows the host's own /usr, so what is found here is found there.
        let path = match self.sandbox {
            Some(_) => OsString::from(SANDBOX_PATH),
            None => std::env::var_os("PATH").unwrap_or_default(),
        };
        find_program(name, &path).ok_or_else(|| StartError::UnknownProgram(name.clone()))
    }

    /// The variables that tell the program what it works on.
    pub(crate) fn variables(&self, base: Option<&str>, report: &OsStr) -> Vec<(OsString, OsString)> {
        let bead = self.bead.replace('\0', "\u{fffd}");
        let attempt = self.fence.1.to_string();
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("TOWNMESH_BEAD".into(), bead.into()),
            ("TOWNMESH_ATTEMPT".into(), attempt.into()),
            ("TOWNMESH_GRANT".into(), self.id.clone().into()),
            ("TOWNMESH_REPORT".into(), report.into()),
        ];
        variables.extend(base.map(|base| ("TOWNMESH_BASE".into(), base.into())));
        variables.extend(self.env.iter().map(|(name, value)| (name.into(), value.into())));
        variables
    }
}

/// Whether it may name files.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether it is a full commit id.
pub(crate) fn is_commit(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_variable(name: &str, value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let rest = name.strip_prefix("TOWNMESH_").unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(plain) && !RESERVED.contains(&name) && !value.contains('\0')
}

/// Looks a name up as a shell does, but for directories that depend on where one is: that would be the worktree.
pub(crate) fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(name)).find(|file| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    })
}

/// The ref under which the changes of an attempt are kept, in the repository and where they are pushed to.
///
/// A bead's id may be anything: of one that is no plain name, what is plain is kept and a digest added.
pub fn result_ref(bead: &str, fence: (u64, u64)) -> String {
    format!("refs/townmesh/{}/{}.{}", plain_name(bead), fence.0, fence.1)
}

fn plain_name(bead: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let mut name: String = bead.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    // git refuses these, and `..` is nothing that one wants to meet in a path.
    while name.contains("..") {
        name = name.replace("..", ".");
    }
    name.truncate(NAME_BYTES_MAX);
    let name = name.trim_matches(['.', '-']);
    let name = name.strip_suffix(".lock").unwrap_or(name).trim_matches(['.', '-']);
    if name == bead && !name.is_empty() {
        return name.to_string();
    }
    // Two ids that look alike now must not share a ref, nor may a plain id look like a digested one.
    let digest = hex::encode(&Sha256::digest(bead.as_bytes())[..8]);
    format!("{name}={digest}")
}

#[cfg(test)]
mod tests {
    use super::{find_program, plain_name, result_ref};
    use std::ffi::OsStr;

    #[test]
    fn names_of_beads_are_plain_and_distinct() {
        assert_eq!(result_ref("tm-12.3", (4, 5)), "refs/townmesh/tm-12.3/4.5");
        let hostile = ["../x", "x", "/x", "-x", "x.lock", "x.lock.lock", "x..", "a/b", "a-b", "", ".", "x\n", "ä", "é"];
        let mut names: Vec<String> = hostile.iter().map(|bead| plain_name(bead)).collect();
        for name in &names {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
            assert!(name.chars().all(fine) && !name.starts_with(['-', '.']) && !name.contains(".."), "{name}");
            assert!(!name.ends_with(".lock") && !name.is_empty(), "{name}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), hostile.len());
        assert!(plain_name(&"x".repeat(5000)).len() < 100);
    }

    #[test]
    fn programs_are_not_looked_up_where_one_happens_to_be() {
        assert!(find_program("sh", OsStr::new("/nowhere:/bin")).is_some());
        assert!(find_program("lib.rs", OsStr::new(".:src:")).is_none());
        assert!(find_program("passwd", OsStr::new("/etc")).is_none(), "no program");
    }
}
