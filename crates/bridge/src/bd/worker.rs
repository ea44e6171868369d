//! The state of one coupled database and what is done with it. Everything here may block on bd.

use super::Options;
use super::export::{self, Issues};
use super::fields::{Line, second, text};
use super::held::{Held, Import, carry, settle};
use super::plan::{Plan, Wanted, newest, plan};
use super::probe::{self, Stamp};
use super::store;
use super::tool::{BdError, Tool};
use super::write::{self, NotTaken};
use crate::files::{
    Applied, ApplyError, Event, Generation, Known, ReadError, Snapshot, blob_id, check, edit, refuse_broken, scan,
};
use crate::task::Coupling;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a write is tried that somebody's edit got ahead of.
const ROUNDS_MAX: usize = 3;

/// How long to wait until bd's whole seconds tell an edit to come from what is there.
const SECOND_WAIT_MAX: Duration = Duration::from_secs(3);

/// How many times rarer than files bd itself is asked, where there are no files to look at.
const BLIND: u32 = 10;

/// How soon to look again after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The longest pause before bd is offered again what it refused.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// A new version of what bd shows; nothing of it is in bd yet.
#[derive(Debug)]
pub struct Prepared {
    /// The generation that the commit brings.
    pub generation: Generation,
    /// The generation that it builds on.
    pub expected: Generation,
    lines: Wanted,
    content: Vec<u8>,
    known: Known,
}

pub(crate) struct Worker {
    tool: Tool,
    dir: PathBuf,
    options: Options,
    detected: bool,
    /// What bd showed at the last look.
    issues: Issues,
    held: BTreeMap<String, Held>,
    /// The file does not have all of that yet.
    unsaved: bool,
    /// Lines that bd should show and does not yet: somebody's edits got ahead of them.
    owed: BTreeSet<String>,
    /// When to offer bd again what it refused, and how long to wait after that.
    refused_at: Instant,
    refused_pause: Duration,
    /// The beads file that the reported lines amount to.
    content: Vec<u8>,
    view: Issues,
    known: Known,
    reported: Option<Generation>,
    stamp: Option<Stamp>,
    /// When bd was last asked without a need.
    read_at: Instant,
    /// When to compare everything whatever the stamp says.
    compare_at: Instant,
    /// A snapshot is to follow, even without a change.
    promised: bool,
    failed: Option<ReadError>,
    nonce: u128,
}

impl Worker {
    pub(crate) fn new(dir: PathBuf, options: Options) -> Result<Worker, ReadError> {
        let held = options.held.as_deref().map(store::load).transpose()?.unwrap_or_default();
        Ok(Worker {
            tool: Tool::new(&options.program, &dir, options.limits.clone()),
            dir,
            detected: false,
            issues: Issues::new(),
            held,
            unsaved: false,
            owed: BTreeSet::new(),
            refused_at: Instant::now(),
            refused_pause: options.refused,
            options,
            content: Vec::new(),
            view: Issues::new(),
            known: Known::default(),
            reported: None,
            stamp: None,
            read_at: Instant::now(),
            compare_at: Instant::now(),
            promised: false,
            failed: None,
            nonce: 0,
        })
    }

    fn look_at_bd(&mut self, now: Instant) -> Result<Option<Snapshot>, ReadError> {
        // That all is well again is told, too.
        self.promised |= self.failed.is_some();
        if self.reported.is_some() && !self.promised && now < self.compare_at && self.failed.is_none() {
            let stamp = probe::stamp(&self.dir);
            let quiet = stamp == self.stamp;
            if quiet && (stamp.is_some() || now < self.read_at + self.options.poll * BLIND) {
                return Ok(None);
            }
        }
        self.read_at = now;
        self.read()?;
        self.offer_again(now);
        if !self.owed.is_empty() {
            let view = export::view(&self.issues, &self.held);
            let owed = std::mem::take(&mut self.owed);
            let wanted = owed.iter().map(|id| (id.clone(), view.get(id).cloned())).collect();
            self.write(wanted).inspect_err(|_| self.owed.extend(owed))?;
        }
        self.compare_at = now + self.options.compare;
        self.report()
    }

    /// What bd does not have although it should is written again now and then.
    fn offer_again(&mut self, now: Instant) {
        if now >= self.refused_at {
            self.owed.extend(self.held.iter().filter(|(_, held)| held.is_refused()).map(|(id, _)| id.clone()));
            self.refused_at = now + self.refused_pause;
            self.refused_pause = (self.refused_pause * 2).min(REFUSED_PAUSE_MAX);
        }
    }

    /// Asks bd for everything.
    fn read(&mut self) -> Result<(), BdError> {
        if !self.detected {
            self.tool.version()?;
            self.detected = true;
        }
        // What changes while bd reads is met at the next look.
        let stamp = probe::stamp(&self.dir);
        self.issues = export::parse(&self.tool.export()?)?;
        self.stamp = stamp;
        let issues = &self.issues;
        self.held.retain(|id, held| held.shown.is_none() || issues.contains_key(id));
        Ok(())
    }

    /// What bd shows by now is what the next edit is told from: an edit back to what stood there after our last write
    /// is an edit, too.
    fn advance(&mut self) -> Result<(), ReadError> {
        for (id, held) in &mut self.held {
            self.unsaved |= self.issues.get(id).is_some_and(|now| held.advance(now));
        }
        if self.unsaved {
            store::save(self.options.held.as_deref(), &self.held)?;
            self.unsaved = false;
        }
        Ok(())
    }

    /// Compares what bd shows with what was reported.
    fn report(&mut self) -> Result<Option<Snapshot>, ReadError> {
        self.advance()?;
        let view = export::view(&self.issues, &self.held);
        let first = self.reported.is_none();
        if !first && !self.promised && view == self.view {
            return Ok(None);
        }
        // That nothing changed is the same version, told again.
        let content = if self.content.is_empty() || view != self.view {
            export::document(&view, self.next_nonce())
        } else {
            std::mem::take(&mut self.content)
        };
        let generation = blob_id(&content);
        let scan = scan(&content, generation, &self.known)?;
        self.known = scan.known;
        self.content = content;
        self.view = view;
        self.reported = Some(generation);
        self.promised = false;
        Ok(Some(Snapshot { first, ..scan.snapshot }))
    }

    /// Never the same again, after a restart neither.
    fn next_nonce(&mut self) -> u128 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.nonce = now.max(self.nonce + 1);
        self.nonce
    }

    /// Makes bd show these lines, and keeps what it cannot hold.
    fn write(&mut self, mut wanted: Wanted) -> Result<(), ReadError> {
        for round in 1.. {
            let plan = plan(&self.issues, &wanted, self.present(&wanted));
            let mut not_taken = NotTaken::default();
            if !plan.is_empty() {
                // Issues that lose an edge to a deleted one go on saying that they have it.
                let view = export::view(&self.issues, &self.held);
                for (from, _) in &plan.unlink {
                    wanted.entry(from.clone()).or_insert_with(|| view.get(from).cloned());
                }
                not_taken = write::execute(&self.tool, &plan, &self.issues)?;
            }
            let before = std::mem::take(&mut self.issues);
            self.read().inspect_err(|_| self.issues.clone_from(&before))?;
            wanted = self.settle(&before, wanted, &plan, &not_taken);
            if wanted.is_empty() || round == ROUNDS_MAX {
                break;
            }
        }
        // Shown on, a deleted issue would look like a new one: it is the caller who has to come again.
        let undead = wanted.iter().find(|(_, line)| line.is_none()).map(|(id, _)| id.clone());
        self.owed = wanted.into_iter().filter_map(|(id, line)| line.map(|_| id)).collect();
        store::save(self.options.held.as_deref(), &self.held)?;
        match undead {
            Some(id) => {
                Err(BdError::Failed { command: "delete".into(), reason: format!("{id} is still there") }.into())
            }
            None => Ok(()),
        }
    }

    /// The present, in seconds; waits until it is later than what stands in the lines' `updated_at`. Otherwise an edit
    /// that comes between could not be told from what is written.
    fn present(&self, wanted: &Wanted) -> i64 {
        let present = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let until = Instant::now() + SECOND_WAIT_MAX;
        let newest = newest(&self.issues, wanted).unwrap_or(0);
        loop {
            let now = present().unwrap_or(i64::MAX);
            if now > newest.saturating_add(1) || Instant::now() >= until {
                return now;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What became of the lines. Returns those that have to be written again.
    fn settle(&mut self, before: &Issues, wanted: Wanted, plan: &Plan, not_taken: &NotTaken) -> Wanted {
        let mut again = Wanted::new();
        let at = |line: &Line| second(text(line, "updated_at"));
        let imported: BTreeMap<&str, Option<i64>> =
            plan.import.iter().map(|(id, line)| (id.as_str(), at(line))).collect();
        let left_out = |id: &String| not_taken.refused.contains(id) || not_taken.stale.contains(id);
        let taken = |id: &String| imported.contains_key(id.as_str()) && !left_out(id);
        let empty = Line::new();
        for (id, line) in wanted {
            let (was, is) = (before.get(&id), self.issues.get(&id));
            match (line, is) {
                (None, None) => drop(self.held.remove(&id)),
                (None, Some(_)) => drop(again.insert(id, None)),
                (Some(full), None) if was.is_none() && !taken(&id) => {
                    let fields = full.keys().cloned().collect();
                    self.held.insert(id, Held { full, shown: None, fields });
                }
                // Somebody deleted it, perhaps as soon as it was there.
                (Some(_), None) => drop(self.held.remove(&id)),
                (Some(full), Some(is)) if not_taken.stale.contains(&id) => {
                    let full = carry(&full, was.unwrap_or(&empty), is);
                    let held = Held { full: full.clone(), shown: Some(is.clone()), fields: Vec::new() };
                    self.held.insert(id.clone(), held);
                    again.insert(id, Some(full));
                }
                (Some(full), Some(is)) => {
                    // Our own `bd update` after it touches the issue, too.
                    let ours = not_taken.refused.contains(&id) || plan.update.iter().any(|(other, _)| *other == id);
                    let import = match imported.get(id.as_str()) {
                        Some(written) if ours && *written != at(is) => Import::Not,
                        Some(written) if *written == at(is) => Import::Untouched,
                        Some(_) => Import::Touched,
                        None => Import::Not,
                    };
                    let exists = |id: &str| self.issues.contains_key(id);
                    let settled = settle(was.unwrap_or(&empty), &full, is, import, exists);
                    if settled.stuck {
                        again.insert(id.clone(), Some(full.clone()));
                    }
                    if settled.lost.is_empty() && !settled.stuck {
                        self.held.remove(&id);
                    } else {
                        let fields = settled.lost.into_iter().collect();
                        self.held.insert(id, Held { full, shown: Some(settled.shown), fields });
                    }
                }
            }
        }
        again
    }

    fn changed<T>(&mut self) -> Result<T, ApplyError> {
        self.promised = true;
        Err(ApplyError::Changed)
    }
}

impl Coupling for Worker {
    type Prepared = Prepared;

    fn deadline(&self, now: Instant) -> Instant {
        if self.failed.is_some() { now + RETRY } else { now + self.options.poll }
    }

    fn look(&mut self) -> Option<Event> {
        match self.look_at_bd(Instant::now()) {
            Ok(snapshot) => {
                self.failed = None;
                snapshot.map(|snapshot| Event::Snapshot(Box::new(snapshot)))
            }
            Err(error) => {
                // It may be another bd the next time.
                self.detected = false;
                let news = self.failed.as_ref() != Some(&error);
                self.failed = Some(error.clone());
                news.then_some(Event::Failed(error))
            }
        }
    }

    fn prepare(&mut self, expected: Generation, lines: &[(String, Option<String>)]) -> Result<Prepared, ApplyError> {
        if self.reported != Some(expected) {
            return self.changed();
        }
        let edits = check(lines).map_err(|(id, error)| ApplyError::Line { id, error })?;
        let before = scan(&self.content, expected, &self.known)?;
        refuse_broken(&before)?;
        let mut content = edit(&self.content, &before.spans, edits);
        if content != self.content {
            content = export::renew(&content, self.next_nonce());
        }
        let generation = blob_id(&content);
        let known = scan(&content, generation, &before.known)?.known;
        // SAFETY of the discarded errors: `check` has read every text as a JSON object.
        let parse = |text: &String| serde_json::from_str(text).ok();
        let lines = lines.iter().map(|(id, text)| (id.clone(), text.as_ref().and_then(parse))).collect();
        Ok(Prepared { generation, expected, lines, content, known })
    }

    fn commit(&mut self, prepared: Prepared) -> Result<Applied, ApplyError> {
        let Prepared { generation, expected, lines, content, known } = prepared;
        if self.reported != Some(expected) {
            return self.changed();
        }
        if generation == expected {
            return Ok(Applied { generation });
        }
        self.read().map_err(ReadError::from)?;
        if export::view(&self.issues, &self.held) != self.view {
            return self.changed();
        }
        let mut view = self.view.clone();
        for (id, line) in &lines {
            match line {
                Some(line) => drop(view.insert(id.clone(), line.clone())),
                None => drop(view.remove(id)),
            }
        }
        self.refused_pause = self.options.refused;
        self.refused_at = Instant::now() + self.refused_pause;
        if let Err(error) = self.write(lines) {
            // How far bd came shows at the next look.
            self.promised = true;
            return Err(error.into());
        }
        self.content = content;
        self.known = known;
        self.view = view;
        self.reported = Some(generation);
        // What came between is reported next.
        self.stamp = None;
        Ok(Applied { generation })
    }

    fn read_line(&mut self, id: &str) -> Result<Option<String>, ApplyError> {
        self.read().map_err(ReadError::from)?;
        let view = export::view(&self.issues, &self.held);
        Ok(view.get(id).and_then(|line| serde_json::to_string(line).ok()))
    }

    fn rescan(&mut self) {
        self.known.forget();
        self.reported = None;
        self.stamp = None;
        self.failed = None;
    }
}
