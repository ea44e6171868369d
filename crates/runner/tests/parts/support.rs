//! A host with a repository, jobs for it, and conditions that are waited for.

use runner::{End, Event, Handle, Job, Options, Report, Runners};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a repository of one commit, and runners.
pub struct Host {
    pub dir: TempDir,
    pub runners: Runners,
}

impl Host {
    pub fn new() -> Host {
        Host::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        git(dir.path(), &["init", "-q", "-b", "main", "repo"]);
        std::fs::write(repo.join("file"), "one\n").unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", "first"]);
        let mut options = Options::new(dir.path().join("runner"));
        change(&mut options);
        let runners = Runners::open(options).unwrap();
        Host { dir, runners }
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    pub fn head(&self) -> String {
        git(&self.repo(), &["rev-parse", "HEAD"])
    }

    /// A file or directory of the runners.
    pub fn own(&self, path: &str) -> PathBuf {
        self.dir.path().join("runner").join(path)
    }

    /// A job that runs a shell script in the repository.
    pub fn job(&self, script: &str) -> Job {
        Job { repo: Some(self.repo()), ..job(script) }
    }

    pub fn start(&self, job: Job) -> Running {
        let (handle, events) = self.runners.start(job).unwrap();
        Running { handle, events }
    }

    /// Runs it to its end.
    pub async fn run(&self, job: Job) -> Vec<Event> {
        self.start(job).events().await
    }

    /// Runs it to its end; that.
    pub async fn end(&self, job: Job) -> End {
        end_of(&self.run(job).await)
    }

    /// The whole log of the job that [`job`] makes.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.own("logs/ab12.log")).unwrap_or_default()).into_owned()
    }

    /// Waits until a job has said something.
    pub async fn said(&self, what: &str) {
        wait_for(&format!("{what:?} in the log"), || self.log().contains(what)).await;
    }

    /// What a path of a commit says.
    pub fn show(&self, commit: &str, path: &str) -> String {
        git(&self.repo(), &["show", &format!("{commit}:{path}")])
    }

    /// All refs of ours, and what they point to.
    pub fn refs(&self) -> Vec<String> {
        let refs = git(&self.repo(), &["for-each-ref", "--format=%(refname) %(objectname)", "refs/townmesh"]);
        refs.lines().map(String::from).collect()
    }

    /// Nothing but logs is left of any job.
    pub fn assert_clean(&self) {
        for place in ["trees", "aside", "jobs"] {
            let left: Vec<_> = std::fs::read_dir(self.own(place)).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.is_empty(), "{place}: {left:?}");
        }
        let worktrees = git(&self.repo(), &["worktree", "list"]);
        assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
    }
}

/// A job that was started.
pub struct Running {
    pub handle: Handle,
    events: mpsc::Receiver<Event>,
}

impl Running {
    /// The next event, `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time")
    }

    /// All events that come yet.
    pub async fn events(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Waits for the program to run; its worktree.
    pub async fn started(&mut self) -> PathBuf {
        match self.next().await {
            Some(Event::Started { worktree }) => worktree,
            other => panic!("not started: {other:?}"),
        }
    }
}

/// A job without a repository.
pub fn job(script: &str) -> Job {
    Job {
        id: "ab12".into(),
        bead: "tm-1".into(),
        title: "a title".into(),
        fence: (3, 7),
        bead_json: "{\"id\":\"tm-1\"}\n".into(),
        argv: ["sh", "-c", script].map(String::from).into(),
        repo: None,
        base: None,
        push: None,
        env: Vec::new(),
        time_max: PATIENCE,
        sandbox: None,
    }
}

/// The one end among events, which comes last.
pub fn end_of(events: &[Event]) -> End {
    let ends = events.iter().filter(|event| matches!(event, Event::Ended(_))).count();
    match events.last() {
        Some(Event::Ended(end)) if ends == 1 => end.clone(),
        _ => panic!("no end, or not last: {events:?}"),
    }
}

/// The commit of an end that is done.
pub fn commit_of(end: &End) -> String {
    match end {
        End::Done { commit: Some(commit), branch: Some(branch) } => {
            assert_eq!(branch, "refs/townmesh/tm-1/3.7");
            commit.clone()
        }
        other => panic!("no result: {other:?}"),
    }
}

/// The reports among events.
pub fn reports_of(events: &[Event]) -> Vec<Report> {
    let report = |event: &Event| if let Event::Report(report) = event { Some(report.clone()) } else { None };
    events.iter().filter_map(report).collect()
}

pub fn note(text: &str) -> Report {
    Report::Note(text.into())
}

/// Runs git as a user would; what it says.
pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(["-c", "user.name=test", "-c", "user.email=test@localhost"]).args(arguments);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_string()
}

/// Waits until it is so.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs: one that nobody has reaped does not.
pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// When a process started: field 22 of its `stat`.
pub fn start_of(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap()
}

/// The number after a word that a program said.
pub fn number_after(log: &str, word: &str) -> u32 {
    let rest = log.split_once(word).unwrap_or_else(|| panic!("no {word} in {log}")).1;
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Quotes for a shell.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// Set in a process that [`again`] started.
const AGAIN: &str = "RUNNER_TEST_AGAIN";

/// Runs one test again as a process of its own, with another variable: those are the whole process's. Says whether this
/// is that process.
pub fn again(test: &str, name: &str, value: &Path) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(AGAIN, "1").env(name, value).env_remove("GIT_CONFIG_GLOBAL");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{test} is not its name: {said}");
    false
}
