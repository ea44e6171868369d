//! A file changed: which of it is news, which is old, which lines are gone.

use super::attach::delete_line;
use super::{REST_MS_MAX, Workspace, line_hash, state_id};
use crate::effect::WorkspaceEffect;
use crate::engine::{Cx, Engine};
use crate::input::{ApplyResult, FileSnapshot, Generation, WorkspaceId, WorkspaceInput};
use crate::records::shadow::{self, ShadowRecord};
use crate::records::workspace as rec;
use beads::{Bead, BeadId, Parsed, Shadow, Unit, Write, create_writes, diff, instant_ns, parse_line};
use std::collections::{BTreeMap, BTreeSet};
use types::{Dot, SpaceId, Table, ViewError};

/// As many lines may vanish at once without a question, or one in a hundred, whichever is more.
const DELETES_MIN: u64 = 20;

/// The writes that a file's changed lines amount to, and what their shadows become.
#[derive(Default)]
struct News {
    writes: Vec<Write>,
    /// Line ids and their beads as the file now shows them.
    shown: Vec<(String, Bead, Option<ShadowRecord>)>,
    stale: BTreeSet<String>,
    broken: Vec<(u32, String)>,
}

impl Engine {
    pub(crate) fn workspace_input(&mut self, cx: &mut Cx<'_>, input: WorkspaceInput) -> Result<(), ViewError> {
        match input {
            WorkspaceInput::Snapshot { workspace, snapshot } => self.snapshot(cx, workspace, snapshot),
            WorkspaceInput::Prepared { workspace, attempt, generation } => {
                self.prepared(cx, workspace, attempt, generation)
            }
            WorkspaceInput::Applied { workspace, attempt, result } => self.applied(cx, workspace, attempt, result),
            WorkspaceInput::Failed { workspace, reason } => {
                cx.warn("workspace_failed", reason.clone());
                if let Some(ws) = self.workspaces.get_mut(&workspace) {
                    ws.failed = Some((reason, cx.up));
                }
                Ok(())
            }
        }
    }

    fn snapshot(&mut self, cx: &mut Cx<'_>, id: WorkspaceId, snapshot: FileSnapshot) -> Result<(), ViewError> {
        if !self.workspaces.contains_key(&id) {
            return Ok(());
        }
        self.promote_intent(cx, id, &snapshot.generation)?;
        self.promote_lines(cx, id, &snapshot)?;
        let Some(ws) = self.workspaces.get_mut(&id) else { return Ok(()) };
        ws.base = Some(snapshot.generation);
        ws.failed = None;
        ws.broken = snapshot.broken.clone();
        ws.repeated = snapshot.repeated.len();
        if ws.flight.is_some() {
            // What was on its way was built on an older file: compare again.
            cx.workspace(WorkspaceEffect::Abort(id));
            Self::give_up_flight(cx, ws);
        }
        let space = ws.space;
        let current = ws.record.generation == Some(snapshot.generation);
        let key = rec::generation_key(id, &snapshot.generation);
        let known = cx.txn.has(Table::Workspaces, &key)?;
        if snapshot.first {
            self.all_dirty(cx, id, space)?;
        }
        if current && !snapshot.first {
            return Ok(());
        }
        if known && !current {
            self.restore(id, &snapshot);
            return Ok(());
        }
        if self.may_write(&space).is_err() {
            self.restore(id, &snapshot);
            return Ok(());
        }
        self.take_in_file(cx, id, &snapshot)
    }

    /// The file went back to a version that was there before (a checkout): nothing of it is news.
    fn restore(&mut self, id: WorkspaceId, snapshot: &FileSnapshot) {
        let Some(ws) = self.workspaces.get_mut(&id) else { return };
        for line in &snapshot.changed {
            if let Ok(Parsed::Issue(bead)) = parse_line(&line.text) {
                ws.forced.insert(bead.id.to_string());
            }
        }
        ws.forced.extend(snapshot.missing.iter().cloned());
        self.count("stale_file");
    }

    fn take_in_file(&mut self, cx: &mut Cx<'_>, id: WorkspaceId, snapshot: &FileSnapshot) -> Result<(), ViewError> {
        let Some(ws) = self.workspaces.get(&id) else { return Ok(()) };
        let (space, fresh) = (ws.space, ws.record.fresh);
        let mut news = self.read_lines(cx, id, snapshot)?;
        let whole = snapshot.broken.is_empty() && news.broken.is_empty();
        let gone = self.gone(cx, id, snapshot)?;
        let limit = DELETES_MIN.max(snapshot.beads_total / 100);
        if let Some(ws) = self.workspaces.get(&id).filter(|_| gone.len() as u64 <= limit) {
            // Whoever read the file before we wrote a line may write it without that line: an older file, no delete.
            let young = gone.iter().filter(|(line_id, _)| ws.is_young(line_id, cx.up));
            news.stale.extend(young.map(|(line_id, _)| line_id.clone()));
        }
        let mut question = Vec::new();
        if whole && news.stale.is_empty() && gone.len() as u64 <= limit {
            for (line_id, shadow) in &gone {
                news.writes.push(delete_line(&shadow.shadow));
                cx.txn.delete(Table::Shadows, shadow::key(id, line_id));
            }
        } else if whole && news.stale.is_empty() {
            question = gone.iter().map(|(line_id, _)| line_id.clone()).collect();
            cx.warn(
                "many_lines_gone",
                format!("{} lines vanished at once: townmesh space deletes --accept or --restore", question.len()),
            );
        }
        let actor = format!("{}:file", self.name);
        let dots = self.commit(cx, space, &actor, std::mem::take(&mut news.writes))?;
        if fresh {
            self.take_repeated(cx, space, &actor, snapshot)?;
        }
        self.keep_shadows(cx, id, space, news.shown, &dots)?;
        let Some(ws) = self.workspaces.get_mut(&id) else { return Ok(()) };
        if !whole || !news.stale.is_empty() || !question.is_empty() {
            let restore = gone.iter().map(|(line_id, _)| line_id.clone()).filter(|l| !question.contains(l));
            if whole {
                ws.forced.extend(restore);
            }
        }
        ws.forced.extend(news.stale);
        ws.broken.extend(news.broken);
        let asked = !question.is_empty();
        ws.record.question = question;
        if whole && !asked {
            ws.record.fresh = false;
            ws.ancestors = BTreeMap::new();
            for old in std::mem::take(&mut ws.record.past) {
                Self::remember_generation(cx, ws, old)?;
            }
            Self::remember_generation(cx, ws, snapshot.generation)?;
        }
        if fresh && whole {
            self.all_dirty(cx, id, space)?;
        }
        let Some(ws) = self.workspaces.get(&id) else { return Ok(()) };
        cx.txn.put_record(Table::Workspaces, rec::key(id), &ws.record);
        Ok(())
    }

    /// Lines under an id that another line has are claims about the same bead, weighed once the first are in.
    fn take_repeated(
        &mut self,
        cx: &mut Cx<'_>,
        space: SpaceId,
        actor: &str,
        snapshot: &FileSnapshot,
    ) -> Result<(), ViewError> {
        for line in &snapshot.repeated {
            if let Ok(Parsed::Issue(bead)) = parse_line(&line.text) {
                let writes = self.baseline(cx, &space, &bead, None)?.1;
                self.commit(cx, space, actor, writes)?;
            }
        }
        Ok(())
    }

    /// Compares every changed line with its shadow.
    fn read_lines(&mut self, cx: &mut Cx<'_>, id: WorkspaceId, snapshot: &FileSnapshot) -> Result<News, ViewError> {
        let mut news = News::default();
        let mut seen = BTreeSet::new();
        for line in &snapshot.changed {
            let bead = match parse_line(&line.text) {
                Ok(Parsed::Issue(bead)) => bead,
                Ok(_) => continue,
                Err(err) => {
                    news.broken.push((line.line_no, err.to_string()));
                    continue;
                }
            };
            if !seen.insert(bead.id.to_string()) {
                continue;
            }
            self.read_line(cx, id, bead, &mut news)?;
        }
        Ok(news)
    }

    fn read_line(&self, cx: &Cx<'_>, id: WorkspaceId, bead: Bead, news: &mut News) -> Result<(), ViewError> {
        let Some(ws) = self.workspaces.get(&id) else { return Ok(()) };
        let line_id = bead.id.to_string();
        let record: Option<ShadowRecord> = cx.txn.record(Table::Shadows, &shadow::key(id, &line_id))?;
        if let Some(record) = record {
            if record.line == line_hash(&bead) {
                return Ok(());
            }
            let change = diff(&record.shadow, &bead);
            // The times of two versions may be equal: ops of several hosts arrive in any order.
            let read_before = ws.is_young(&line_id, cx.up) && record.past.contains(&line_hash(&bead));
            if change.stale || read_before {
                // Older than what the line showed last. What it said before is no news; what nobody has seen before (an
                // edit under a slow clock, a branch from elsewhere) is kept beside what is shown, below it.
                if !record.past.contains(&line_hash(&bead)) {
                    news.writes.extend(self.baseline(cx, &ws.space, &bead, None)?.1);
                }
                news.stale.insert(line_id);
                return Ok(());
            }
            let echo = self.echoes(cx, &ws.space, &line_id)?;
            let own = change.writes.into_iter().filter(|w| {
                w.unit.is_companion() || echo.get(&w.unit) != Some(&beads::canonical_hash(&w.unit, w.value.as_ref()))
            });
            let mut own: Vec<Write> = own.collect();
            if own.iter().all(|w| w.unit.is_companion()) && !echo.is_empty() {
                own.retain(|w| echo.get(&w.unit) != Some(&beads::canonical_hash(&w.unit, w.value.as_ref())));
            }
            news.writes.extend(own);
            news.shown.push((line_id, bead, Some(record)));
            return Ok(());
        }
        let unknown = bead_id(&line_id).is_none_or(|id| cx.txn.bead(&ws.space, &id).is_ok_and(|s| s.is_empty()));
        let writes = if unknown && !ws.record.fresh {
            create_writes(&bead, None)
        } else {
            self.baseline(cx, &ws.space, &bead, ws.ancestors.get(&line_id))?.1
        };
        news.writes.extend(writes);
        news.shown.push((line_id, bead, None));
        Ok(())
    }

    /// What a bead shows now, as hashes: an edit that says just that is an echo.
    fn echoes(&self, cx: &Cx<'_>, space: &SpaceId, line_id: &str) -> Result<BTreeMap<Unit, u64>, ViewError> {
        let Some(id) = bead_id(line_id) else { return Ok(BTreeMap::new()) };
        let shown = cx.txn.bead(space, &id)?.shown().into_iter().find(|s| s.shown_id.as_str() == line_id && !s.hidden);
        Ok(shown.map(|s| s.units.into_iter().map(|(unit, u)| (unit, u.hash)).collect()).unwrap_or_default())
    }

    /// Lines that the file no longer has although they were shown in it.
    fn gone(
        &self,
        cx: &Cx<'_>,
        id: WorkspaceId,
        snapshot: &FileSnapshot,
    ) -> Result<Vec<(String, ShadowRecord)>, ViewError> {
        let mut gone = Vec::new();
        if snapshot.first {
            // The bridge knows nothing before its first look: everything that was shown and is not there is gone.
            let there: BTreeSet<String> = snapshot
                .changed
                .iter()
                .filter_map(|line| match parse_line(&line.text) {
                    Ok(Parsed::Issue(bead)) => Some(bead.id.to_string()),
                    _ => None,
                })
                .collect();
            for (key, value) in cx.txn.collect(Table::Shadows, &shadow::prefix(id))? {
                if let Some(line_id) = shadow::parse(&key)
                    && !there.contains(line_id)
                {
                    gone.push((line_id.to_owned(), crate::records::unpack(Table::Shadows, &value)?));
                }
            }
            return Ok(gone);
        }
        for line_id in &snapshot.missing {
            if let Some(record) = cx.txn.record(Table::Shadows, &shadow::key(id, line_id))? {
                gone.push((line_id.clone(), record));
            }
        }
        Ok(gone)
    }

    /// After the commit: each taken-in line's shadow is what the file shows, with the dots that stand for it.
    fn keep_shadows(
        &mut self,
        cx: &mut Cx<'_>,
        id: WorkspaceId,
        space: SpaceId,
        lines: Vec<(String, Bead, Option<ShadowRecord>)>,
        dots: &BTreeMap<(BeadId, Unit), Dot>,
    ) -> Result<(), ViewError> {
        for (line_id, bead, before) in lines {
            let hash = line_hash(&bead);
            let Some(id_of) = bead_id(&line_id) else { continue };
            let state = cx.txn.bead(&space, &id_of)?;
            let shown = state.shown().into_iter().find(|s| s.shown_id.as_str() == line_id && !s.hidden);
            let shadow = match (&shown, &before) {
                (Some(shown), _) if line_hash(&shown.bead) == hash => Some(Shadow::of(shown)),
                (_, Some(before)) => Some(after_edit(before.shadow.clone(), &bead, &id_of, dots)),
                // A line that differs from what is shown: the file gets that next, but has not shown it yet.
                (Some(shown), None) => Some(after_edit(Shadow::of(shown).seen_in(&bead), &bead, &id_of, dots)),
                (None, None) => {
                    // Deleted already, by somebody who saw it somewhere else: here it goes, too.
                    if let Some(ws) = self.workspaces.get_mut(&id) {
                        ws.forced.insert(line_id.clone());
                    }
                    None
                }
            };
            let record = shadow.map(|shadow| ShadowRecord::next(hash, shadow, before.as_ref()));
            match record {
                Some(record) => cx.txn.put_record(Table::Shadows, shadow::key(id, &line_id), &record),
                None => cx.txn.delete(Table::Shadows, shadow::key(id, &line_id)),
            }
            if let Some(ws) = self.workspaces.get_mut(&id) {
                ws.dirty.insert(state_id(&line_id).to_owned());
            }
        }
        Ok(())
    }

    /// Every bead of the space and every line that was shown is compared again.
    pub(crate) fn all_dirty(&mut self, cx: &Cx<'_>, id: WorkspaceId, space: SpaceId) -> Result<(), ViewError> {
        let mut ids = BTreeSet::new();
        for (key, _) in cx.txn.collect(Table::Beads, &space.0)? {
            ids.extend(crate::records::bead::parse(&key).map(str::to_owned));
        }
        for (key, _) in cx.txn.collect(Table::Shadows, &shadow::prefix(id))? {
            ids.extend(shadow::parse(&key).map(|line| state_id(line).to_owned()));
        }
        if let Some(ws) = self.workspaces.get_mut(&id) {
            ws.dirty.extend(ids);
        }
        Ok(())
    }

    /// Notes that a whole-file version was taken in or written; meeting it again later is a checkout, not an edit.
    pub(crate) fn remember_generation(
        cx: &mut Cx<'_>,
        ws: &mut Workspace,
        generation: Generation,
    ) -> Result<(), ViewError> {
        ws.record.generation = Some(generation);
        let key = rec::generation_key(ws.id, &generation);
        if cx.txn.has(Table::Workspaces, &key)? {
            return Ok(());
        }
        let number = ws.record.next_generation;
        ws.record.next_generation += 1;
        cx.txn.put_record(Table::Workspaces, key, &number);
        cx.txn.put_record(Table::Workspaces, rec::number_key(ws.id, number), &generation);
        if let Some(old) = number.checked_sub(rec::GENERATIONS_MAX) {
            let old_key = rec::number_key(ws.id, old);
            if let Some(oldest) = cx.txn.record::<Generation>(Table::Workspaces, &old_key)? {
                cx.txn.delete(Table::Workspaces, rec::generation_key(ws.id, &oldest));
            }
            cx.txn.delete(Table::Workspaces, old_key);
        }
        Ok(())
    }

    fn applied(
        &mut self,
        cx: &mut Cx<'_>,
        id: WorkspaceId,
        attempt: u64,
        result: ApplyResult,
    ) -> Result<(), ViewError> {
        let flight = self.workspaces.get(&id).and_then(|ws| ws.flight.as_ref());
        let current = flight.is_some_and(|f| f.attempt == attempt);
        match result {
            ApplyResult::Done(generation) => {
                self.promote_intent(cx, id, &generation)?;
                if let Some(ws) = self.workspaces.get_mut(&id) {
                    if let Some(flight) = ws.flight.take_if(|f| f.attempt == attempt) {
                        ws.rest_until = cx.up.plus_ms(cx.up.since_ms(flight.begun).min(REST_MS_MAX));
                    }
                    ws.base = Some(generation);
                    ws.unwritten = None;
                }
                return Ok(());
            }
            ApplyResult::Failed(why) => {
                // That it can be read does not mean that it can be written: the next attempt waits, and people hear of it.
                cx.warn("workspace_write_failed", why.clone());
                if let Some(ws) = self.workspaces.get_mut(&id) {
                    ws.unwritten = Some((why, cx.up));
                    if current {
                        // How far it came shows in the next snapshot: until then the intent stays.
                        Self::take_up_again(ws);
                    }
                }
                return Ok(());
            }
            // A snapshot has ended that attempt already; the next one stands on it.
            _ if !current => return Ok(()),
            ApplyResult::Changed => {
                if let Some(ws) = self.workspaces.get_mut(&id) {
                    // The bridge reports the other version next; until then the file is nobody's base.
                    ws.base = None;
                }
            }
            ApplyResult::Broken(why) => {
                if let Some(ws) = self.workspaces.get_mut(&id) {
                    ws.broken.push((0, why));
                }
            }
        }
        cx.txn.delete(Table::Workspaces, rec::intent_key(id));
        if let Some(ws) = self.workspaces.get_mut(&id) {
            Self::give_up_flight(cx, ws);
        }
        Ok(())
    }

    fn give_up_flight(cx: &mut Cx<'_>, ws: &mut Workspace) {
        if Self::take_up_again(ws) {
            cx.txn.delete(Table::Workspaces, rec::intent_key(ws.id));
        }
    }

    /// What was on its way is to be compared again.
    fn take_up_again(ws: &mut Workspace) -> bool {
        let Some(flight) = ws.flight.take() else { return false };
        ws.dirty.extend(flight.states);
        ws.forced.extend(flight.shadows.into_iter().map(|(line_id, _)| line_id));
        true
    }
}

/// The id that a line's ops are about.
fn bead_id(line_id: &str) -> Option<BeadId> {
    state_id(line_id).parse().ok()
}

/// What a line shows after an edit that did not become what is shown: its changed units stand for the new dots.
fn after_edit(mut shadow: Shadow, bead: &Bead, id: &BeadId, dots: &BTreeMap<(BeadId, Unit), Dot>) -> Shadow {
    let now = bead.units();
    let changed = dots.iter().filter(|((of, unit), _)| of == id && unit.in_line());
    for ((_, unit), dot) in changed {
        let hash = beads::canonical_hash(unit, now.get(unit));
        shadow.units.insert(unit.clone(), (hash, vec![*dot]));
    }
    shadow.updated_at_ns = instant_ns(bead.text("updated_at")).or(shadow.updated_at_ns);
    shadow
}
