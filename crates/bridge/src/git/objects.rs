//! Reading files of old commits through one long-running `git cat-file --batch`.

use super::run::{GitError, command};
use crate::process::Running;
use proto::limits::FILE_BYTES_MAX;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

/// How long one reader may live.
const TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// The longest answer line, in bytes: an object's name, kind and size, or the question back.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

/// A reader of a repository's objects.
pub struct Objects {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    running: Running,
}

impl Objects {
    /// Starts reading in a repository. It lives for an hour at most.
    ///
    /// # Errors
    /// [`GitError`]; that `repo` is no repository shows at the first question.
    pub fn open(repo: &Path) -> Result<Objects, GitError> {
        let mut git = command(repo);
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped());
        let (running, stdout) = Running::start(git, TIME_MAX)?;
        let stdin = running.take_stdin().ok_or_else(|| GitError::NotRun("no pipe".into()))?;
        Ok(Objects { stdin, stdout, running })
    }

    /// A file as a commit has it; `None` if the commit or the file is not there. `path` is relative to the
    /// repository's top.
    ///
    /// # Errors
    /// [`GitError`]; `TooLarge` beyond `FILE_BYTES_MAX`. After an error the reader is of no more use.
    pub fn show(&mut self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        if commit.contains(['\n', ' ']) || path.contains('\n') {
            return Err(GitError::Unexpected("a name with a line break".into()));
        }
        let asked = self.stdin.write_all(format!("{commit}:{path}\n").as_bytes()).and_then(|()| self.stdin.flush());
        let mut head = Vec::new();
        let got = (&mut self.stdout).take(HEAD_BYTES_MAX).read_until(b'\n', &mut head);
        if asked.is_err() || !matches!(got, Ok(1..)) {
            return Err(self.failure());
        }
        let head = String::from_utf8_lossy(&head);
        let mut words = head.trim_end().rsplitn(3, ' ');
        let (last, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if last == "missing" || last == "ambiguous" {
            return Ok(None);
        }
        let size: u64 = last.parse().map_err(|_| GitError::Unexpected(head.trim_end().chars().take(200).collect()))?;
        if size > FILE_BYTES_MAX as u64 {
            return Err(GitError::TooLarge(FILE_BYTES_MAX as u64));
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or(0) + 1];
        self.stdout.read_exact(&mut content).map_err(|_| self.failure())?;
        content.pop();
        Ok((kind == "blob").then_some(content))
    }

    fn failure(&mut self) -> GitError {
        self.running.kill();
        match self.running.finish() {
            Ok((_, stderr)) if stderr.contains("not a git repository") => GitError::NoRepository,
            Ok((_, stderr)) => GitError::Failed(stderr),
            Err(error) => error.into(),
        }
    }
}
