//! One real node: its home, its workspace directory, its process.

use crate::binary::binary;
use crate::wait::wait_until;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a node may take to answer or to end.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code; -1 when a signal ended it.
    pub exit: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Output {
    /// The JSON document on stdout.
    ///
    /// # Errors
    /// When the command failed or printed something else.
    pub fn json(&self) -> Result<Value> {
        ensure!(self.exit == 0, "exit {}: {}{}", self.exit, self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).with_context(|| format!("not one JSON document: {:?}", self.stdout))
    }

    /// The error on stderr of a command that was run with `--json`.
    ///
    /// # Errors
    /// When the command worked or printed something else.
    pub fn error(&self) -> Result<Value> {
        ensure!(self.exit != 0, "it worked: {}", self.stdout);
        let line = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("not a JSON error: {:?}", self.stderr))
    }
}

/// One real node.
#[derive(Debug)]
pub struct Node {
    /// Its name in the mesh.
    pub name: String,
    /// `TOWNMESH_HOME`.
    pub home: PathBuf,
    /// A directory with a beads file, or one that will have it.
    pub work: PathBuf,
    /// The build that it runs; `None`: the one of [`binary`]. Changing it takes effect at the next start.
    pub binary: Option<PathBuf>,
    /// Environment of its processes.
    pub env: BTreeMap<String, String>,
    /// The daemon, while it runs.
    pub child: Option<Child>,
    /// A program with its arguments that runs all commands, the daemon too, for example in a mount namespace.
    pub wrapper: Vec<String>,
    log: PathBuf,
}

impl Node {
    /// A node under `dir` that does not run yet: on loopback only, without mDNS.
    ///
    /// # Errors
    /// When its directories cannot be made.
    pub fn new(dir: &Path, name: &str) -> Result<Node> {
        let base = dir.join(name);
        let (home, work) = (base.join("home"), base.join("app"));
        std::fs::create_dir_all(&work)?;
        let env = [
            ("TOWNMESH_LISTEN", "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1"),
            ("TOWNMESH_MDNS", "0"),
            ("TOWNMESH_LOG", "info"),
        ];
        let env = env.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Ok(Node {
            name: name.to_owned(),
            home,
            work,
            binary: None,
            env,
            child: None,
            wrapper: Vec::new(),
            log: base.join("log"),
        })
    }

    /// Where its daemon's log goes.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// The beads file of its workspace directory.
    pub fn file(&self) -> PathBuf {
        self.work.join(".beads/issues.jsonl")
    }

    /// Puts a beads file into the workspace directory, whole or not at all, as tools do it.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_file(&self, content: &[u8]) -> Result<()> {
        let file = self.file();
        std::fs::create_dir_all(self.work.join(".beads"))?;
        let temp = file.with_extension("jsonl.new");
        std::fs::write(&temp, content)?;
        Ok(std::fs::rename(temp, file)?)
    }

    /// The lines of its beads file, by id.
    ///
    /// # Errors
    /// When a line is not JSON.
    pub fn file_beads(&self) -> Result<BTreeMap<String, Value>> {
        let text = match std::fs::read_to_string(self.file()) {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(err) => return Err(err.into()),
        };
        crate::compare::by_id(&text)
    }

    /// Changes one line of the beads file as an editor would: the whole file is written anew.
    ///
    /// # Errors
    /// When the file has no such line.
    pub fn edit_line(&self, id: &str, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let text = std::fs::read_to_string(self.file())?;
        let mut edit = Some(edit);
        let mut out = String::with_capacity(text.len() + 64);
        for line in text.lines() {
            let is_it = line.contains(id) && serde_json::from_str::<Value>(line).is_ok_and(|v| v["id"] == id);
            match edit.take_if(|_| is_it) {
                Some(edit) => {
                    let mut bead: Value = serde_json::from_str(line)?;
                    edit(&mut bead);
                    out.push_str(&bead.to_string());
                }
                None => out.push_str(line),
            }
            out.push('\n');
        }
        ensure!(edit.is_none(), "no line with id {id} in {}", self.file().display());
        self.write_file(out.as_bytes())
    }

    fn command(&self, args: &[&str]) -> Result<Command> {
        let binary = match &self.binary {
            Some(path) => path,
            None => binary()?,
        };
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, first)) => {
                let mut command = Command::new(wrapper);
                command.args(first).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.args(args).current_dir(&self.work).env("TOWNMESH_HOME", &self.home).envs(&self.env);
        Ok(command)
    }

    /// Runs a command in the workspace directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        self.cli_with(args, "")
    }

    /// [`Node::cli`] with something on stdin.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn cli_with(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut command = self.command(args)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut pipe = child.stdin.take().context("stdin")?;
        let input = stdin.to_owned();
        // A command that does not read its stdin closes it: that is no failure of the test.
        let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()).is_ok());
        let output = child.wait_with_output()?;
        let _read = writer.join();
        Ok(Output {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs a command with `--json` and returns its document.
    ///
    /// # Errors
    /// When it fails.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let args = [args, &["--json"]].concat();
        self.cli(&args)?.json().with_context(|| format!("{}: townmesh {}", self.name, args.join(" ")))
    }

    /// Runs a command with `--json` that has to fail; its exit code and its error.
    ///
    /// # Errors
    /// When it works.
    pub fn fails(&self, args: &[&str]) -> Result<(i32, Value)> {
        let args = [args, &["--json"]].concat();
        let output = self.cli(&args)?;
        let error = output.error().with_context(|| format!("{}: townmesh {}", self.name, args.join(" ")))?;
        Ok((output.exit, error))
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub fn up(&mut self) -> Result<()> {
        self.up_with(&[])
    }

    /// [`Node::up`] with flags.
    ///
    /// # Errors
    /// As [`Node::up`].
    pub fn up_with(&mut self, flags: &[&str]) -> Result<()> {
        self.spawn(flags)?;
        wait_until(&format!("{} answers", self.name), PATIENCE, || {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status}: {}", self.name, self.log_tail());
            }
            let output = self.cli(&["status", "--json"])?;
            Ok(if output.exit == 0 { Ok(()) } else { Err(output.stderr) })
        })
    }

    /// Starts the daemon and does not wait.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn spawn(&mut self, flags: &[&str]) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.command(&[&["up"], flags].concat())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// How the daemon ended, if it did.
    ///
    /// # Errors
    /// What the system said.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// Kills the daemon, as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The daemon's process, for killing it while others use the node ([`kill_now`]).
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<rustix::process::Pid> {
        let child = self.child.as_ref().with_context(|| format!("{} does not run", self.name))?;
        i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("process id")
    }

    /// Asks the daemon to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it does not run or does not end in time.
    pub fn term(&mut self) -> Result<ExitStatus> {
        rustix::process::kill_process(self.pid()?, rustix::process::Signal::TERM)?;
        wait_until(&format!("{} ends", self.name), PATIENCE, || {
            Ok(self.ended()?.ok_or_else(|| "still running".to_owned()))
        })
    }

    /// Ends the daemon cleanly and starts it again.
    ///
    /// # Errors
    /// As [`Node::term`] and [`Node::up`].
    pub fn restart(&mut self) -> Result<()> {
        self.term()?;
        self.up()
    }

    /// Its first space as `status` shows it.
    ///
    /// # Errors
    /// When there is none.
    pub fn space(&self) -> Result<Value> {
        let mut status = self.json(&["status"])?;
        let space = status["spaces"].get_mut(0).map(Value::take);
        space.with_context(|| format!("{} has no space", self.name))
    }

    /// Everything it exports, by id.
    ///
    /// # Errors
    /// When the export fails.
    pub fn export(&self) -> Result<BTreeMap<String, Value>> {
        let output = self.cli(&["beads", "export"])?;
        ensure!(output.exit == 0, "{}: export: {}", self.name, output.stderr);
        crate::compare::by_id(&output.stdout)
    }

    /// The end of the daemon's log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(4_000);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(err) = self.kill() {
            eprintln!("{}: cannot be killed: {err:#}", self.name);
        }
    }
}

/// Ends a process at once (SIGKILL), whoever its parent is.
///
/// # Errors
/// When it is not there.
pub fn kill_now(pid: rustix::process::Pid) -> Result<()> {
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).context("kill")
}
