//! The tree that a program works in: made, found again after a restart, removed.

use crate::dirs::{self, Dirs, private_dir};
use crate::git::{GitError, ask, ask_id, git};
use crate::job::{Job, Sandbox};
use crate::note::{Found, Note, TreeNote};
use crate::process::Input;
use crate::runners::Inner;
use crate::sandbox::{self, Bwrap, View};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Name and address of who commits when nobody else does.
pub(crate) const AUTHOR: (&str, &str) = ("townmesh", "townmesh@localhost");

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("cannot make the worktree: {0}")]
    Io(#[from] io::Error),
    #[error("cannot make the worktree: {0}")]
    Git(#[from] GitError),
    #[error("the repository {} has no commit {base}", .repo.display())]
    NoBase { repo: PathBuf, base: String },
    #[error("the note about the job cannot be read: {}", .0.display())]
    Unknown(PathBuf),
    #[error("an earlier worktree of the job was made for another repository or sandbox")]
    Other,
}

/// A job's tree and what belongs to it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    /// For files of ours that the program has no business with.
    pub(crate) aside: PathBuf,
    pub(crate) note: Note,
    /// What a clone needs for every git of ours: its settings are the program's, so nobody outside obeys them.
    pub(crate) bwrap: Option<Bwrap>,
}

impl Tree {
    /// What a note speaks of.
    pub(crate) fn of_note(dirs: &Dirs, id: &str, note: Note, bwrap: Option<Bwrap>) -> Tree {
        Tree { id: id.into(), path: dirs.tree(id), aside: dirs.aside(id), note, bwrap }
    }

    /// The job's tree: as an earlier node left it, or a new one.
    pub(crate) async fn prepare(inner: &Inner, job: &Job, bwrap: Option<Bwrap>) -> Result<Tree, TreeError> {
        let (dirs, time_max) = (&inner.dirs, inner.options.git_time_max);
        private_dir(&dirs.aside(&job.id))?;
        match Note::find(dirs, &job.id) {
            Found::Note(note) if dirs.tree(&job.id).is_dir() => {
                if !fits(&note.tree, job) {
                    return Err(TreeError::Other);
                }
                return Ok(Tree::of_note(dirs, &job.id, *note, bwrap));
            }
            Found::Unknown => return Err(TreeError::Unknown(dirs.note(&job.id))),
            // The earlier node was killed as it cleared up. What is made now is not whole until there is a new note.
            Found::Note(_) => remove(&dirs.note(&job.id)).await?,
            Found::Nothing => {}
        }
        let path = dirs.tree(&job.id);
        remove(&path).await?;
        let tree = match &job.repo {
            None => {
                private_dir(&path)?;
                TreeNote::Scratch
            }
            Some(repo) => {
                let repo = repo.canonicalize()?;
                let base = base(&repo, job.base.as_deref(), time_max).await?;
                if job.sandbox.is_some() {
                    clone(&repo, &base, &path, time_max).await?;
                    TreeNote::Clone { repo, base }
                } else {
                    let git_dir = worktree(inner, &repo, &base, &path).await?;
                    TreeNote::Worktree { repo, git_dir, base }
                }
            }
        };
        let tree = Tree::of_note(dirs, &job.id, Note::new(&job.bead, &job.title, job.fence, tree), bwrap);
        tree.keep_index()?;
        tree.note.write(dirs, &job.id)?;
        Ok(tree)
    }

    /// Our own index of the tree. The tree's own may be locked, half merged, or told to overlook files; this one knows
    /// the files as they were checked out, so only what changed since has to be read.
    pub(crate) fn index(&self) -> PathBuf {
        self.aside.join("git").join("index")
    }

    fn keep_index(&self) -> io::Result<()> {
        let from = match &self.note.tree {
            TreeNote::Scratch => return Ok(()),
            TreeNote::Worktree { git_dir, .. } => git_dir.join("index"),
            TreeNote::Clone { .. } => self.path.join(".git").join("index"),
        };
        private_dir(&self.aside.join("git"))?;
        match std::fs::copy(from, self.index()) {
            // The commit has no files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    /// A git that works on the tree with our index; `None` if there is none.
    pub(crate) fn git(&self) -> Option<Command> {
        let mut command = match (&self.note.tree, &self.bwrap) {
            (TreeNote::Scratch, _) | (TreeNote::Clone { .. }, None) => return None,
            (TreeNote::Worktree { git_dir, .. }, _) => {
                let mut command = git(&self.path);
                // Not what the tree says: the program may have made it another repository's.
                command.arg("--git-dir").arg(git_dir).arg("--work-tree").arg(&self.path);
                command.env("GIT_INDEX_FILE", self.index());
                command
            }
            (TreeNote::Clone { .. }, Some(bwrap)) => {
                let more = vec![(self.aside.join("git"), sandbox::ASIDE)];
                let view = View { sandbox: Sandbox { network: false }, tree: &self.path, more, info: false };
                let mut command = Command::new(bwrap.program());
                command.args(bwrap.arguments(&view)).arg("git").args(crate::git::settings());
                command.env_clear().envs(sandbox::environment()).current_dir("/");
                command.env("LC_ALL", "C").env("GIT_INDEX_FILE", Path::new(sandbox::ASIDE).join("index"));
                command
            }
        };
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), AUTHOR.0).env(format!("GIT_{role}_EMAIL"), AUTHOR.1);
        }
        Some(command)
    }

    /// Removes it with everything that belongs to it; the note comes last, so that nothing is forgotten half removed.
    pub(crate) async fn remove(&self, inner: &Inner) -> Result<(), TreeError> {
        // At once: half a tree that a restarted node finds would look as if the program had removed the rest.
        let gone = self.path.with_extension("gone");
        remove(&gone).await?;
        match std::fs::rename(&self.path, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        remove(&gone).await?;
        if let TreeNote::Worktree { repo, .. } = &self.note.tree {
            // Of this worktree only: `prune` would forget the user's own, if they are on a disk that is not there now.
            let mut command = git(repo);
            command.args(["worktree", "remove", "--force", "--force", "--"]).arg(&self.path);
            let _alone = inner.worktrees.lock().await;
            if let Err(error) = ask(command, Input::Nothing, inner.options.git_time_max).await {
                tracing::warn!(id = %self.id, %error, "git still lists a worktree that is gone");
            }
        }
        remove(&self.aside).await?;
        remove(&inner.dirs.note(&self.id)).await?;
        Ok(())
    }
}

/// Removes without holding up the runtime.
pub(crate) async fn remove(path: &Path) -> io::Result<()> {
    let path = path.to_path_buf();
    tokio::task::spawn_blocking(move || dirs::remove(&path)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Whether a tree that is there is one for this job.
fn fits(tree: &TreeNote, job: &Job) -> bool {
    let wanted = job.repo.as_ref().and_then(|repo| repo.canonicalize().ok());
    match tree {
        TreeNote::Scratch => job.repo.is_none(),
        TreeNote::Worktree { repo, .. } => job.sandbox.is_none() && wanted.as_ref() == Some(repo),
        TreeNote::Clone { repo, .. } => job.sandbox.is_some() && wanted.as_ref() == Some(repo),
    }
}

/// The full id of the commit to begin at.
async fn base(repo: &Path, base: Option<&str>, time_max: Duration) -> Result<String, TreeError> {
    let base = base.unwrap_or("HEAD");
    let mut command = git(repo);
    command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(format!("{base}^{{commit}}"));
    match ask_id(command, Input::Nothing, time_max).await {
        // Asked quietly, it says nothing about a commit that it does not have, but it does about anything else.
        Err(GitError::Refused { said, .. }) if said.is_empty() => {
            Err(TreeError::NoBase { repo: repo.into(), base: base.into() })
        }
        other => Ok(other?),
    }
}

/// Adds a worktree; its own git directory.
async fn worktree(inner: &Inner, repo: &Path, base: &str, path: &Path) -> Result<PathBuf, TreeError> {
    let time_max = inner.options.git_time_max;
    let mut command = git(repo);
    // Twice forced: git may still list one that was not made whole, locked as long as it was being made.
    command.args(["worktree", "add", "--quiet", "--force", "--force", "--no-checkout", "--detach", "--"]);
    command.arg(path).arg(base);
    {
        let _alone = inner.worktrees.lock().await;
        ask(command, Input::Nothing, time_max).await?;
    }
    // Its files may take long, and nobody has to wait for them.
    let mut command = git(path);
    command.args(["reset", "--quiet", "--hard"]);
    ask(command, Input::Nothing, time_max).await?;
    let mut command = git(path);
    command.args(["rev-parse", "--absolute-git-dir"]);
    Ok(PathBuf::from(ask(command, Input::Nothing, time_max).await?))
}

/// Makes a repository that holds one commit's history and nothing else: no other branches, no word where it came from.
async fn clone(repo: &Path, base: &str, path: &Path, time_max: Duration) -> Result<(), TreeError> {
    let mut command = git(repo);
    command.args(["rev-parse", "--show-object-format"]);
    let format = ask(command, Input::Nothing, time_max).await?;
    private_dir(path)?;
    let in_clone = |arguments: &[&str]| {
        let mut command = git(path);
        command.args(arguments);
        command
    };
    // Inside of a sandbox are no settings of the user's. If they had a say here (about ends of lines, or filters), files
    // would look changed in there.
    let without_settings = |arguments: &[&str]| {
        let mut command = in_clone(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    };
    let format = format!("--object-format={format}");
    let mut fetch = in_clone(&["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow"]);
    fetch.args(["--no-recurse-submodules", "--"]).arg(repo).arg(base);
    let steps = [
        without_settings(&["init", "--quiet", "--template=", &format]),
        without_settings(&["config", "user.name", AUTHOR.0]),
        without_settings(&["config", "user.email", AUTHOR.1]),
        fetch,
        without_settings(&["checkout", "--quiet", "--detach", base]),
    ];
    for step in steps {
        ask(step, Input::Nothing, time_max).await?;
    }
    Ok(())
}
