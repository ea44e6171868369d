//! Disks of a test's own, mounted where only its nodes see them.

use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use testnet::{Net, Node, Output};

/// A mount namespace with a file system on a node's home. It ends when this is dropped.
pub struct Mounts {
    keeper: Child,
    home: String,
}

impl Mounts {
    /// Runs a shell script in a new mount namespace (`$1` is the node's home) and lets all commands of the node run
    /// there. `None`, with a line that says why, where that is not permitted.
    pub fn over(node: &mut Node, script: &str) -> Result<Option<Mounts>> {
        std::fs::create_dir_all(&node.home)?;
        let home = node.home.to_str().context("a path in UTF-8")?.to_owned();
        let root = rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        command.args(if root { ["-m"].as_slice() } else { &["-U", "-r", "-m"] });
        // The namespace lives as long as the last process in it: `cat` ends with its stdin.
        let script = format!("exec 2>&1; set -e; cd /; {script}; echo mounted; exec cat");
        command.args(["sh", "-c", &script, "sh", &home]);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut keeper = match spawned {
            Ok(keeper) => keeper,
            Err(err) => return Ok(skip(&format!("unshare cannot be run: {err}"))),
        };
        let mut said = String::new();
        let stdout = keeper.stdout.take().context("stdout")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "mounted" {
                let mounts = Mounts { keeper, home };
                node.wrapper = mounts.wrapper(node, root)?;
                return Ok(Some(mounts));
            }
            said = line;
        }
        let output = keeper.wait_with_output()?;
        Ok(skip(&format!("no mounts of our own: {said}{}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    fn wrapper(&self, node: &Node, root: bool) -> Result<Vec<String>> {
        let pid = self.keeper.id().to_string();
        let mut wrapper = vec!["nsenter", "-t", &pid, "-m"];
        if !root {
            wrapper.extend(["-U", "--preserve-credentials"]);
        }
        // The directory is looked up in there: a mount may lie over it.
        let dir = node.work.to_str().context("a path in UTF-8")?;
        wrapper.extend(["--", "sh", "-c", "cd \"$0\" && exec \"$@\"", dir]);
        Ok(wrapper.into_iter().map(str::to_owned).collect())
    }

    /// Runs a shell script where the node's mounts are seen; `$1` is its home.
    pub fn shell(&self, node: &Node, script: &str) -> Result<Output> {
        let (nsenter, args) = node.wrapper.split_first().context("wrapper")?;
        let output = Command::new(nsenter).args(args).args(["sh", "-c", script, "sh", &self.home]).output()?;
        Ok(Output {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// [`Mounts::shell`] that has to work.
    pub fn must(&self, node: &Node, script: &str) -> Result<String> {
        let output = self.shell(node, script)?;
        ensure!(output.exit == 0, "{script}: exit {}: {}{}", output.exit, output.stdout, output.stderr);
        Ok(output.stdout)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait();
    }
}

/// Two nodes; the second one's home is a file system that the script mounts.
pub fn net_over(script: &str) -> Result<Option<(Net, Mounts)>> {
    let mut net = Net::new(2)?;
    net[0].write_file(testnet::fixture::file(&testnet::fixture::lines(10, 7)).as_bytes())?;
    let Some(mounts) = Mounts::over(&mut net[1], script)? else { return Ok(None) };
    net.start()?;
    net.files_equal()?;
    Ok(Some((net, mounts)))
}

fn skip<T>(why: &str) -> Option<T> {
    println!("skipped: {why}");
    None
}
