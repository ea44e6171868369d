//! The state of one coupled file and what is done with it. Everything here may block on the disk.

use super::event::{Applied, ApplyError, Event, Snapshot};
use super::generation::{Generation, MISSING, blob_id};
use super::prepare::{self, Prepared};
use super::read::{self, Content, ReadError, Stamp};
use super::scan::{Known, Scan, Span, scan};
use super::swap::{self, Aside, Linger};
use super::{Options, rescue};
use crate::task::Coupling;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How soon to look again at a file that changed while it was read, or too short ago to trust its time stamp.
const AGAIN: Duration = Duration::from_millis(20);
const AGAIN_RACY: Duration = Duration::from_millis(100);

/// Displaced files that are watched at once, and the bytes that are kept for comparison. When there are more, the
/// oldest are given up early, but never before they were watched for [`LINGER_MIN`]: a commit waits for that.
const LINGERS_MAX: usize = 64;
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER_MIN: Duration = Duration::from_millis(500);

pub(crate) struct Worker {
    path: PathBuf,
    options: Options,
    known: Known,
    /// The generation that was last reported or applied; `None` before the first look.
    reported: Option<Generation>,
    /// Where the lines of the reported generation stand, if all of them can be read.
    spans: Option<Vec<Span>>,
    /// What the file looks like when it surely has the reported generation: it was read, and its last change was long
    /// enough ago for a further one to leave a trace.
    trusted: Option<Stamp>,
    /// What the file looked like at the last look (`Some(None)`: it was not there).
    stamp: Option<Option<Stamp>>,
    /// A version that is not believed yet, and since when it has been like that.
    pending: Option<(Generation, Instant)>,
    /// When to look again whatever the time stamp says.
    again: Option<Instant>,
    /// Somebody was told that a snapshot follows.
    owed: bool,
    failed: Option<ReadError>,
    lingers: Vec<Linger>,
    events: VecDeque<Event>,
}

impl Worker {
    pub(crate) fn new(path: PathBuf, options: Options) -> Worker {
        Worker {
            path,
            options,
            known: Known::default(),
            reported: None,
            spans: None,
            trusted: None,
            stamp: None,
            pending: None,
            again: None,
            owed: false,
            failed: None,
            lingers: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Looks after the leftovers of an earlier run.
    pub(crate) fn recover(&mut self) -> std::io::Result<()> {
        let Ok(target) = prepare::resolve(&self.path) else { return Ok(()) };
        self.events.extend(swap::recover(&target)?.into_iter().map(Event::Rescued));
        Ok(())
    }

    /// When to look again, if nothing else happens.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let settled = self.pending.map(|(_, since)| since + self.options.settle);
        let lingering = self.lingers.iter().map(|linger| linger.due(self.options.settle)).min();
        [settled, self.again, lingering].into_iter().flatten().min().unwrap_or(now + self.options.poll)
    }

    /// Looks at the file; the next thing to report, if there is one. To be called until it returns `None`.
    pub(crate) fn look(&mut self) -> Option<Event> {
        let now = Instant::now();
        self.tend(now);
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        match self.look_at_file(now) {
            Ok(snapshot) => {
                self.failed = None;
                snapshot.map(|snapshot| Event::Snapshot(Box::new(snapshot)))
            }
            Err(error) => {
                self.pending = None;
                self.again = None;
                let news = self.failed.as_ref() != Some(&error);
                self.failed = Some(error.clone());
                news.then_some(Event::Failed(error))
            }
        }
    }

    fn look_at_file(&mut self, now: Instant) -> Result<Option<Snapshot>, ReadError> {
        let due = |at: Instant| at <= now;
        // That all is well again is told, too.
        self.owed |= self.failed.is_some();
        // A link without a target is no file that somebody deleted, though from outside it looks just so.
        prepare::resolve(&self.path)?;
        let waited = self.pending.is_some_and(|(_, since)| due(since + self.options.settle));
        if !waited && !self.again.is_some_and(due) && !self.owed && self.stamp == Some(read::stamp(&self.path)?) {
            return Ok(None);
        }
        self.again = None;
        let Some(content) = read::read(&self.path)? else { return Ok(self.take_missing(now)) };
        match &content.stamp {
            None => {
                // It is anything but still.
                self.pending = None;
                self.again = Some(now + AGAIN);
                return Ok(None);
            }
            Some(stamp) if stamp.is_racy(SystemTime::now()) => self.again = Some(now + AGAIN_RACY),
            Some(_) => {}
        }
        let calm = self.again.is_none();
        let (generation, snapshot) = self.take_content(&content, now)?;
        self.trusted = content.stamp.clone().filter(|_| calm && self.reported == Some(generation));
        self.stamp = Some(content.stamp);
        Ok(snapshot)
    }

    fn take_missing(&mut self, now: Instant) -> Option<Snapshot> {
        self.stamp = Some(None);
        if self.reported == Some(MISSING) && !self.owed {
            self.pending = None;
            return None;
        }
        // Many tools write a file by deleting it first.
        if self.reported.is_some() && !self.owed && !self.is_settled(MISSING, now) {
            return None;
        }
        let first = self.reported.is_none();
        self.report(MISSING);
        Some(Snapshot { generation: MISSING, ends_cleanly: true, first, ..Snapshot::default() })
    }

    fn take_content(&mut self, content: &Content, now: Instant) -> Result<(Generation, Option<Snapshot>), ReadError> {
        let generation = blob_id(&content.bytes);
        if self.reported == Some(generation) && !self.owed {
            self.pending = None;
            return Ok((generation, None));
        }
        let Scan { known, spans, snapshot } = {
            let scan = scan(&content.bytes, generation, &self.known)?;
            // New lines are believed at once; that lines are gone, or that a line is broken, may only mean that
            // somebody is still writing.
            let believed = scan.is_whole() && scan.snapshot.missing.is_empty();
            if !believed && !self.is_settled(generation, now) {
                return Ok((generation, None));
            }
            scan
        };
        let first = self.reported.is_none();
        let from_git_history = self.options.history.contains(&generation);
        self.known = known;
        self.report(generation);
        self.spans = (snapshot.broken_total == 0).then_some(spans);
        Ok((generation, Some(Snapshot { first, from_git_history, ..snapshot })))
    }

    /// Whether the file has had this generation for long enough; starts the clock if it is new.
    fn is_settled(&mut self, generation: Generation, now: Instant) -> bool {
        match self.pending {
            Some((pending, since)) if pending == generation => now >= since + self.options.settle,
            _ => {
                self.pending = Some((generation, now));
                false
            }
        }
    }

    fn report(&mut self, generation: Generation) {
        self.reported = Some(generation);
        self.spans = None;
        self.trusted = None;
        self.pending = None;
        self.owed = false;
    }

    /// Everything is new again.
    pub(crate) fn rescan(&mut self) {
        self.known.forget();
        self.reported = None;
        self.spans = None;
        self.trusted = None;
        self.stamp = None;
        self.pending = None;
        self.failed = None;
    }

    pub(crate) fn prepare(
        &mut self,
        expected: Generation,
        lines: &[(String, Option<String>)],
    ) -> Result<Prepared, ApplyError> {
        if self.reported != Some(expected) {
            return self.changed();
        }
        let seen = self.trusted.as_ref().zip(self.spans.as_deref());
        match prepare::prepare(&self.path, expected, &self.known, seen, lines) {
            Err(ApplyError::Changed) => self.changed(),
            other => other,
        }
    }

    pub(crate) fn commit(&mut self, mut prepared: Prepared) -> Result<Applied, ApplyError> {
        let stays = prepare::resolve(&self.path)? == prepared.target;
        if self.reported != Some(prepared.expected) || !stays {
            return self.changed();
        }
        let generation = prepared.generation;
        self.make_room();
        let mut aside = Aside::default();
        let result = swap::swap(&mut prepared, self.options.on_step, &mut aside);
        self.put_aside(aside);
        match result {
            Ok(()) => {
                self.report(generation);
                match scan(&prepared.content, generation, &self.known) {
                    Ok(scan) => (self.known, self.spans) = (scan.known, Some(scan.spans)),
                    Err(_) => self.rescan(),
                }
                // That the file still has what was put there is looked at soon, and at once if it changes again.
                self.stamp = read::stamp(&self.path).ok();
                self.again = Some(Instant::now() + AGAIN_RACY);
                Ok(Applied { generation })
            }
            Err(ApplyError::Changed) => self.changed(),
            Err(other) => Err(other),
        }
    }

    fn put_aside(&mut self, aside: Aside) {
        self.lingers.extend(aside.lingers);
        for bytes in aside.passing {
            self.take_passing(&bytes);
        }
    }

    /// Reports a version that was in the file for a moment. What is not in it may still be in the file.
    fn take_passing(&mut self, bytes: &[u8]) {
        let generation = blob_id(bytes);
        let Ok(mut scan) = scan(bytes, generation, &self.known) else { return };
        if self.reported == Some(generation) || !scan.is_whole() {
            return;
        }
        scan.snapshot.missing.clear();
        scan.known.keep_missing(&self.known);
        let first = self.reported.is_none();
        let from_git_history = self.options.history.contains(&generation);
        self.known = scan.known;
        self.report(generation);
        self.stamp = None;
        let snapshot = Snapshot { first, from_git_history, ..scan.snapshot };
        self.events.push_back(Event::Snapshot(Box::new(snapshot)));
    }

    fn changed<T>(&mut self) -> Result<T, ApplyError> {
        self.owed = true;
        Err(ApplyError::Changed)
    }

    pub(crate) fn read_line(&self, id: &str) -> Result<Option<String>, ApplyError> {
        let Some(content) = read::read(&self.path)? else { return Ok(None) };
        let scan = scan(&content.bytes, MISSING, &self.known)?;
        let span = scan.spans.iter().find(|span| span.id.as_deref() == Some(id));
        Ok(span.map(|span| String::from_utf8_lossy(&content.bytes[span.text.clone()]).into_owned()))
    }

    /// How many of the oldest displaced files are too many.
    fn crowded(&self) -> usize {
        let mut bytes = 0;
        let fitting = self.lingers.iter().rev().take(LINGERS_MAX).take_while(|linger| {
            bytes += linger.base.len();
            bytes <= LINGER_BYTES_MAX
        });
        // The youngest fits whatever its size.
        self.lingers.len() - fitting.count().max(1).min(self.lingers.len())
    }

    /// Slows down whoever commits faster than displaced files can be watched.
    fn make_room(&mut self) {
        while self.crowded() > 0 {
            let oldest = self.lingers.iter().map(Linger::since).min();
            let wait = oldest.map(|since| (since + LINGER_MIN).saturating_duration_since(Instant::now()));
            std::thread::sleep(wait.unwrap_or_default());
            let before = self.lingers.len();
            self.tend(Instant::now());
            if self.lingers.len() >= before {
                return;
            }
        }
    }

    /// Looks after displaced files.
    fn tend(&mut self, now: Instant) {
        let crowded = self.crowded();
        let settle = self.options.settle;
        let lingers = std::mem::take(&mut self.lingers);
        let mut aside = Aside::default();
        for (n, mut linger) in lingers.into_iter().enumerate() {
            let last = now >= linger.until || n < crowded && now >= linger.since() + LINGER_MIN;
            match linger.check(now, settle, last, &mut aside) {
                Tended::Watch => self.lingers.push(linger),
                Tended::Done => linger.discard(),
                Tended::Lost(content) => self.events.extend(linger.keep(&content).map(Event::Rescued)),
            }
        }
        self.put_aside(aside);
    }
}

impl Coupling for Worker {
    type Prepared = Prepared;

    fn deadline(&self, now: Instant) -> Instant {
        Worker::deadline(self, now)
    }

    fn look(&mut self) -> Option<Event> {
        Worker::look(self)
    }

    fn prepare(&mut self, expected: Generation, lines: &[(String, Option<String>)]) -> Result<Prepared, ApplyError> {
        Worker::prepare(self, expected, lines)
    }

    fn commit(&mut self, prepared: Prepared) -> Result<Applied, ApplyError> {
        Worker::commit(self, prepared)
    }

    fn read_line(&mut self, id: &str) -> Result<Option<String>, ApplyError> {
        Worker::read_line(self, id)
    }

    fn rescan(&mut self) {
        Worker::rescan(self);
    }
}

enum Tended {
    /// Go on watching.
    Watch,
    /// Nothing in it that is not elsewhere.
    Done,
    /// It holds something that could not be carried over.
    Lost(Vec<u8>),
}

impl Linger {
    /// Since when it is watched.
    fn since(&self) -> Instant {
        self.until - swap::LINGER
    }

    /// When to check again.
    fn due(&self, settle: Duration) -> Instant {
        self.until.min(self.seen.0 + settle).max(self.seen.0 + AGAIN)
    }

    /// Carries over what somebody wrote into the file, once it has been still for a while.
    fn check(&mut self, now: Instant, settle: Duration, last: bool, aside: &mut Aside) -> Tended {
        let stamp = self.file.metadata().ok().map(|meta| Stamp::of(&meta));
        let still = stamp == self.seen.1;
        if !still {
            self.seen = (now, stamp);
            self.verified = false;
        }
        if !last && (!still || now < self.seen.0 + settle) {
            return Tended::Watch;
        }
        let rest = if last { Tended::Done } else { Tended::Watch };
        // Whatever comes of this, the next look is not sooner.
        self.seen.0 = now;
        if self.verified {
            return rest;
        }
        let Ok(content) = read::read_open(&mut self.file, &self.target) else { return Tended::Done };
        if content.bytes == self.base {
            self.verified = true;
            return rest;
        }
        let Some(edits) = rescue::edits(&self.base, &content.bytes) else {
            return if last { Tended::Lost(content.bytes) } else { Tended::Watch };
        };
        if !edits.is_empty() && rescue::replay(&self.target, &edits, self.younger, aside).is_err() {
            return if last { Tended::Lost(content.bytes) } else { Tended::Watch };
        }
        self.base = content.bytes;
        self.discard();
        rest
    }

    fn discard(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a displaced file");
        }
    }

    /// Gives the content a name that nobody of us removes.
    fn keep(mut self, content: &[u8]) -> Option<PathBuf> {
        let kept = match self.path.take() {
            Some(path) => swap::keep(&path, &self.target, blob_id(content)),
            None => write_kept(&self.target, content),
        };
        kept.inspect_err(|error| tracing::error!(path = %self.target.display(), %error, "cannot keep a version")).ok()
    }
}

fn write_kept(target: &Path, content: &[u8]) -> std::io::Result<PathBuf> {
    let kept = swap::kept_path(target, blob_id(content));
    std::fs::write(&kept, content)?;
    Ok(kept)
}
