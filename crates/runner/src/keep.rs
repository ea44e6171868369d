//! Nothing that a program did to its tree is lost: it becomes a commit, and the commit a ref of the repository.
//!
//! A worktree shares its repository's objects, so the commit is there as soon as it is made. A clone's objects are handed
//! out of the sandbox as a pack: every git that reads the clone runs inside, because its settings (filters, file
//! watchers and the like) are commands that the program chose. What comes out is bytes, and they are taken in as
//! strictly as those of a stranger.

use crate::git::{GitError, ask, ask_id, git, refused};
use crate::job::result_ref;
use crate::note::{Note, TreeNote};
use crate::process::{HelperError, Input, help};
use crate::runners::Options;
use crate::text;
use crate::tree::Tree;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Longest title in a commit's message.
const TITLE_CHARS_MAX: usize = 200;

/// Packs with fewer objects become single objects, as git itself does it: a repository of many small packs is slow.
const UNPACK_OBJECTS_MAX: u32 = 100;

/// What was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) commit: String,
    pub(crate) branch: String,
}

/// Why something was not kept. The tree stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error("cannot keep what was changed: {0}")]
    Git(#[from] GitError),
    #[error("cannot keep what was changed: git: {0}")]
    Helper(#[from] HelperError),
    #[error("cannot keep what was changed: {0}")]
    Io(#[from] io::Error),
    #[error("cannot keep what was changed: there is no sandbox any more")]
    NoSandbox,
    #[error("cannot push the result: {0}")]
    Push(GitError),
}

/// What became of a tree's changes.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `None`: nothing was changed, or there is no repository.
    pub(crate) kept: Option<Kept>,
    /// What git could not read and therefore is in no commit; its complaints.
    pub(crate) left: Option<String>,
}

/// Commits what is in the tree, and points the attempt's ref to it.
pub(crate) async fn keep(tree: &Tree, options: &Options, done: bool) -> Result<Outcome, KeepError> {
    let (repo, base) = match &tree.note.tree {
        TreeNote::Scratch => return Ok(Outcome::default()),
        TreeNote::Worktree { repo, base, .. } | TreeNote::Clone { repo, base } => (repo, base),
    };
    let (commit, left) = commit(tree, base, options, done).await?;
    if commit == *base {
        return Ok(Outcome { kept: None, left });
    }
    if let TreeNote::Clone { .. } = tree.note.tree {
        let pack = pack(tree, base, &commit, options).await?;
        take_in(repo, &pack, options).await?;
        // It said so; now it has to be so.
        let mut command = git(repo);
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]).arg(format!("{commit}^{{commit}}"));
        if ask_id(command, Input::Nothing, options.git_time_max).await? != commit {
            return Err(GitError::Nonsense.into());
        }
    }
    let branch = result_ref(&tree.note.bead, tree.note.fence);
    let mut command = git(repo);
    command.args(["update-ref", "--no-deref", &branch, &commit]);
    ask(command, Input::Nothing, options.git_time_max).await?;
    Ok(Outcome { kept: Some(Kept { commit, branch }), left })
}

/// The commit of everything in the tree, and what could not be read.
async fn commit(tree: &Tree, base: &str, options: &Options, done: bool) -> Result<(String, Option<String>), KeepError> {
    let time_max = options.git_time_max;
    let step = |arguments: &[&str]| {
        let mut command = tree.git().ok_or(KeepError::NoSandbox)?;
        command.args(arguments);
        Ok::<_, KeepError>(command)
    };
    // Where the program left off; on a branch without a commit, where it began.
    let head = step(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
    let head = ask_id(head, Input::Nothing, time_max).await.unwrap_or_else(|_| base.to_string());
    ask(step(&["read-tree", "--reset", &head])?, Input::Nothing, time_max).await?;
    let add = step(&["add", "--all", "--ignore-errors", "--", "."])?;
    let left = match ask(add, Input::Nothing, time_max).await {
        Ok(_) => None,
        Err(GitError::Refused { said, .. }) => Some(said),
        Err(other) => return Err(other.into()),
    };
    let now = ask_id(step(&["write-tree"])?, Input::Nothing, time_max).await?;
    let before = step(&["rev-parse", "--verify", "--quiet", &format!("{head}^{{tree}}")])?;
    if ask_id(before, Input::Nothing, time_max).await? == now {
        return Ok((head, left));
    }
    let command = step(&["commit-tree", &now, "-p", &head, "-F", "-"])?;
    let message = message(&tree.note, done).into_bytes();
    Ok((ask_id(command, Input::Bytes(message), time_max).await?, left))
}

fn message(note: &Note, done: bool) -> String {
    let (bead, title) = (text::one_line(&note.bead, TITLE_CHARS_MAX), text::one_line(&note.title, TITLE_CHARS_MAX));
    let unfinished = if done { "" } else { " (unfinished)" };
    format!("{bead}: {title}{unfinished}\n\nattempt {}\n", note.fence.1)
}

/// Has the objects written to a file that were made since the base.
async fn pack(tree: &Tree, base: &str, commit: &str, options: &Options) -> Result<PathBuf, KeepError> {
    let path = tree.aside.join("result.pack");
    // Of an earlier try; git takes the right to write away from packs.
    crate::tree::remove(&path).await?;
    let mut command = tree.git().ok_or(KeepError::NoSandbox)?;
    command.args(["pack-objects", "--revs", "--delta-base-offset", "--stdout", "-q"]);
    let wanted = format!("{commit}\n^{base}\n").into_bytes();
    let mut file = tokio::fs::File::create(&path).await?;
    let time_max = options.git_time_max;
    let helped = help(command, Input::Bytes(wanted), time_max, options.result_bytes_max, &mut file).await?;
    if !helped.status.success() {
        return Err(refused(helped).into());
    }
    Ok(path)
}

/// Takes a stranger's pack in, if every object in it is sound and nothing that they name is missing. That is found out
/// where the pack lies; before it is, nothing of it is in the repository.
async fn take_in(repo: &Path, pack: &Path, options: &Options) -> Result<(), KeepError> {
    let mut file = File::open(pack)?;
    let mut header = [0; 12];
    file.read_exact(&mut header)?;
    let [b'P', b'A', b'C', b'K', .., a, b, c, d] = header else { return Err(GitError::Nonsense.into()) };
    let mut command = git(repo);
    command.args(["index-pack", "--strict"]).arg(pack);
    ask(command, Input::Nothing, options.git_time_max).await?;
    let mut command = git(repo);
    if u32::from_be_bytes([a, b, c, d]) < UNPACK_OBJECTS_MAX {
        command.args(["unpack-objects", "-q"]);
    } else {
        command.args(["index-pack", "--stdin"]);
    }
    ask(command, Input::File(File::open(pack)?), options.git_time_max).await?;
    Ok(())
}

/// Pushes what was kept.
pub(crate) async fn push(repo: &Path, to: &str, kept: &Kept, options: &Options) -> Result<(), KeepError> {
    let mut command = git(repo);
    // Forced: the ref is this attempt's alone, and the attempt may have pushed before the node was killed.
    let what = format!("+{}:{}", kept.commit, kept.branch);
    command.args(["push", "--quiet", "--no-verify", "--recurse-submodules=no", "--", to, &what]);
    ask(command, Input::Nothing, options.push_time_max).await.map_err(KeepError::Push)?;
    Ok(())
}
