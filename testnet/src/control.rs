//! The local API as any program may speak it: JSON lines over a unix socket, written down here once more so that what
//! measures and judges the project shares no code with it.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A connection to a node.
#[derive(Debug)]
pub struct Control {
    reader: BufReader<UnixStream>,
    /// What was read of a line that is not whole yet: a read may run out of patience in the middle of one.
    line: Vec<u8>,
    next: u64,
}

impl Control {
    /// Connects to the node of a home.
    ///
    /// # Errors
    /// When it does not run.
    pub fn connect(home: &Path) -> Result<Control> {
        let socket = home.join("control.sock");
        let stream = UnixStream::connect(&socket).with_context(|| socket.display().to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Control { reader: BufReader::new(stream), line: Vec::new(), next: 1 })
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// The node's error, or that it does not answer.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.call_with(method, params, |_| {})
    }

    /// [`Control::call`]; `progress` hears at once what the node says before its result.
    ///
    /// # Errors
    /// As [`Control::call`].
    pub fn call_with(&mut self, method: &str, params: &Value, mut progress: impl FnMut(&Value)) -> Result<Value> {
        self.send(method, params)?;
        loop {
            let mut answer = self.read()?;
            if let Some(told) = answer.get("progress").filter(|told| !told.is_null()) {
                progress(told);
                continue;
            }
            ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
            return Ok(answer["result"].take());
        }
    }

    /// Asks to be told which beads change; [`Control::changed`] hears it. Returns once the node watches.
    ///
    /// # Errors
    /// As [`Control::call`].
    pub fn watch(&mut self) -> Result<()> {
        self.send("beads.watch", &json!({}))?;
        self.changed().map(drop)
    }

    /// The ids that changed next. Empty when nothing did for a while.
    ///
    /// # Errors
    /// When the watch ended, or when the node lost count.
    pub fn changed(&mut self) -> Result<Vec<String>> {
        let answer = self.read()?;
        ensure!(answer["error"].is_null(), "beads.watch: {}", answer["error"]);
        let told = &answer["progress"];
        ensure!(told["all"] != true, "too much changed at once");
        let ids = told["changed"].as_array().context("not a change")?;
        Ok(ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
    }

    /// For waiting in another thread: a read that takes longer fails.
    ///
    /// # Errors
    /// What the system said.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.reader.get_ref().set_read_timeout(Some(patience))?)
    }

    fn send(&mut self, method: &str, params: &Value) -> Result<()> {
        let mut line = json!({"id": self.next, "method": method, "params": params}).to_string();
        self.next += 1;
        line.push('\n');
        Ok(self.reader.get_mut().write_all(line.as_bytes())?)
    }

    fn read(&mut self) -> Result<Value> {
        if self.reader.read_until(b'\n', &mut self.line)? == 0 {
            bail!("the node closed the connection");
        }
        let line = std::mem::take(&mut self.line);
        Ok(serde_json::from_slice(&line)?)
    }
}
