//! What a program says about itself: lines of JSON in a file that is followed while it runs.
//!
//! The file is the program's to write, so it may do anything with it. It is read through a descriptor that was opened
//! before the program ran, never by its name; it may be cut, and lines may be half. What goes over a limit is neither
//! taken nor kept: then the file is emptied at every look.

use crate::event::{Event, Report, ReportError, Skipped};
use crate::text;
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest line, in bytes.
pub const REPORT_LINE_BYTES_MAX: usize = 16 * 1024;

/// Most lines of a job, wrong ones too.
pub const REPORT_LINES_MAX: u64 = 10_000;

/// Most bytes of a job's lines.
pub const REPORT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(50);

/// One line as it is written: `{"usage":{"tokens_in":1,"tokens_out":2,"money_micros":3}}`, `{"note":"…"}` or
/// `{"progress":50}`. Numbers that are missing are 0, names that we do not know are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Usage(Usage),
    Note(String),
    Progress(u8),
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Usage {
    tokens_in: u64,
    tokens_out: u64,
    money_micros: u64,
}

fn parse(line: &[u8]) -> Result<Report, ReportError> {
    match serde_json::from_slice(line).map_err(|_| ReportError::Malformed)? {
        Line::Usage(Usage { tokens_in, tokens_out, money_micros }) => {
            Ok(Report::Usage { tokens_in, tokens_out, money_micros })
        }
        Line::Note(note) => Ok(Report::Note(text::one_line(&note, REPORT_LINE_BYTES_MAX))),
        Line::Progress(percent @ ..=100) => Ok(Report::Progress { percent }),
        Line::Progress(_) => Err(ReportError::Malformed),
    }
}

/// Follows a report file.
pub(crate) struct Tail {
    id: String,
    file: File,
    at: u64,
    lines: Lines,
}

impl Tail {
    /// Makes the file anew.
    pub(crate) fn create(id: &str, path: &Path) -> io::Result<Tail> {
        crate::dirs::remove(path)?;
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Tail { id: id.into(), file, at: 0, lines: Lines::default() })
    }

    /// Hands reports over, those that are written before `over` to the last. What was skipped.
    pub(crate) async fn follow(mut self, events: &mpsc::Sender<Event>, over: &CancellationToken) -> Option<Skipped> {
        let mut part = vec![0; 64 * 1024];
        loop {
            // Asked before reading: what is written before the end is read after it.
            let last = over.is_cancelled();
            while let Some(bytes) = self.read(&mut part) {
                for report in self.lines.take(bytes) {
                    self.hand_over(report, events).await;
                }
            }
            if last {
                if let Some(report) = self.lines.end() {
                    self.hand_over(report, events).await;
                }
                return self.lines.skipped;
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn hand_over(&self, report: Result<Report, ReportError>, events: &mpsc::Sender<Event>) {
        match report {
            // Nobody listening is no reason to end the program.
            Ok(report) => drop(events.send(Event::Report(report)).await),
            Err(error) => tracing::debug!(id = %self.id, %error, "skips a report"),
        }
    }

    /// The next bytes; none if there are none now.
    fn read<'a>(&mut self, part: &'a mut [u8]) -> Option<&'a [u8]> {
        if self.lines.full() {
            let _ = self.file.set_len(0);
            return None;
        }
        if self.file.metadata().is_ok_and(|metadata| metadata.len() < self.at) {
            // It was cut, and is written from the beginning.
            self.at = 0;
        }
        let read = self.file.read_at(part, self.at).unwrap_or(0);
        self.at += read as u64;
        part.get(..read).filter(|bytes| !bytes.is_empty())
    }
}

/// Makes reports of bytes, as many as the limits let through.
#[derive(Default)]
struct Lines {
    /// The line that has no end yet.
    line: Vec<u8>,
    /// It is too long, and passed over up to its end.
    too_long: bool,
    lines: u64,
    bytes: u64,
    skipped: Option<Skipped>,
    full: bool,
}

impl Lines {
    fn full(&self) -> bool {
        self.full
    }

    fn take(&mut self, bytes: &[u8]) -> Vec<Result<Report, ReportError>> {
        let mut reports = Vec::new();
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            if self.full {
                break;
            }
            self.bytes += part.len() as u64;
            if self.bytes > REPORT_BYTES_MAX {
                reports.push(self.stop(ReportError::TooManyBytes));
                break;
            }
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if self.line.len() + text.len() > REPORT_LINE_BYTES_MAX {
                self.too_long = true;
                self.line.clear();
            }
            if !self.too_long {
                self.line.extend_from_slice(text);
            }
            if ended {
                reports.extend(self.end());
            }
        }
        reports
    }

    /// The line is at its end.
    fn end(&mut self) -> Option<Result<Report, ReportError>> {
        let line = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        if self.full || !too_long && line.trim_ascii().is_empty() {
            return None;
        }
        if self.lines == REPORT_LINES_MAX {
            return Some(self.stop(ReportError::TooManyLines));
        }
        self.lines += 1;
        let report = if too_long { Err(ReportError::LineTooLong) } else { parse(&line) };
        Some(report.map_err(|error| self.skip(error)))
    }

    fn skip(&mut self, error: ReportError) -> ReportError {
        let skipped = self.skipped.get_or_insert(Skipped { lines: 0, first: error });
        skipped.lines += 1;
        error
    }

    fn stop(&mut self, error: ReportError) -> Result<Report, ReportError> {
        self.full = true;
        Err(self.skip(error))
    }
}
