//! How commands speak: human text or one JSON document on stdout, the rest on stderr.

use crate::{CliError, Exit};
use serde_json::Value;
use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

/// Where a command's words go.
#[derive(Debug)]
pub struct Output {
    json: bool,
    started: Instant,
    tty: bool,
}

impl Output {
    /// Speaks JSON or human text.
    pub fn new(json: bool) -> Output {
        Output { json, started: Instant::now(), tty: io::stderr().is_terminal() }
    }

    /// Whether the answer is one JSON document.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Prints the answer: `value` as JSON, or what `human` writes.
    ///
    /// # Errors
    /// `disk` when stdout cannot be written. A reader that has gone away is no error.
    pub fn data(&self, value: &Value, human: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Exit, CliError> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = if self.json {
            serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            human(&mut out)
        };
        match written.and_then(|()| out.flush()) {
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Err(err) => Err(CliError::disk("stdout", &err)),
            Ok(()) => Ok(Exit::Ok),
        }
    }

    /// A line for people on stderr; silent under `--json`.
    pub fn note(&self, text: &str) {
        if !self.json {
            // Nobody is left to tell when stderr is closed.
            let _closed = writeln!(io::stderr(), "{text}");
        }
    }

    /// A step that is done, as `init` and `join` print them; silent under `--json`.
    pub fn step(&self, text: &str) {
        if !self.json {
            let mark = if self.colour() { "\x1b[32m✓\x1b[0m" } else { "✓" };
            let _closed = writeln!(io::stderr(), "  {mark} {text}");
        }
    }

    /// How far things are: on a terminal at once, otherwise after the first second and then once a second.
    pub fn progress(&self) -> Progress<'_> {
        Progress { output: self, last: None, open: false }
    }

    /// Prints a failure on stderr and returns the exit code that goes with it.
    pub fn error(&self, err: &CliError) -> Exit {
        let mut out = io::stderr().lock();
        let _closed = if self.json {
            let text = serde_json::to_string(err).unwrap_or_else(|_| err.message.clone());
            writeln!(out, "{text}")
        } else {
            let label = if self.colour() { "\x1b[31merror\x1b[0m" } else { "error" };
            writeln!(out, "{label}: {} ({})", err.message, err.code)
                .and_then(|()| err.hints.iter().try_for_each(|hint| writeln!(out, "  hint: {hint}")))
        };
        err.exit()
    }

    /// Colour on stderr: a terminal, and `NO_COLOR` (no-color.org) not set.
    fn colour(&self) -> bool {
        self.tty && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
    }
}

/// Progress of one command on stderr.
pub struct Progress<'a> {
    output: &'a Output,
    last: Option<Instant>,
    open: bool,
}

impl Progress<'_> {
    /// Shows how far things are, if it is time for it.
    pub fn show(&mut self, text: &str) {
        let due = match self.last {
            Some(last) => last.elapsed() >= Duration::from_millis(if self.output.tty { 100 } else { 1_000 }),
            None => self.output.tty || self.output.started.elapsed() >= Duration::from_secs(1),
        };
        if self.output.json || !due {
            return;
        }
        self.last = Some(Instant::now());
        let mut out = io::stderr().lock();
        let _closed = if self.output.tty {
            self.open = true;
            write!(out, "\r\x1b[K{text}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{text}")
        };
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.open {
            let mut out = io::stderr().lock();
            let _closed = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

/// A text field of a JSON object, for people; empty when it is missing.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number of a JSON object; zero when it is missing.
pub fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// An array of a JSON object; empty when it is missing.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value on one line for people, shortened and without control characters: what peers write must not
/// steer anybody's terminal.
pub fn one_line(value: &Value, width: usize) -> String {
    let raw = match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let clean = raw.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.clone().take(width).collect();
    if clean.count() > width {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(one_line(&json!("a\u{1b}[2Jb\nc"), 80), "a [2Jb c");
        assert_eq!(one_line(&json!("äöü"), 2), "äö…");
        assert_eq!(one_line(&json!(null), 9), "(none)");
    }
}
