//! What workers say while they work: what they used, how far they are.
//!
//! Each report goes to the coordinator at once, with a question about the lease, so that a budget that is used up ends the
//! work before its next step. Signed it is now and then and at the end.

use super::At;
use super::ledger;
use super::step::{self, About, Say};
use crate::engine::{Cx, Engine};
use crate::input::RunReport;
use crate::records::work;
use beads::{Shown, Write};
use proto::wire;
use types::{EventId, PubKey, SpaceId, Table, Usage, ViewError};

/// What a worker says of one grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Since the grant was given.
    pub(super) used: Usage,
    /// How far it is, 0 to 100.
    pub(super) percent: Option<u8>,
    /// For people.
    pub(super) note: String,
}

impl Heard {
    /// `None`: there is nothing to say.
    pub(super) fn to_wire(&self, grant: &EventId) -> Option<wire::Used> {
        (*self != Heard::default()).then(|| wire::Used {
            grant: grant.0.to_vec(),
            tokens_in: self.used.tokens_in,
            tokens_out: self.used.tokens_out,
            money_micros: self.used.money_micros,
            note: self.note.clone(),
            progress: self.percent.map_or(0, |percent| u32::from(percent) + 1),
        })
    }

    pub(super) fn from_wire(used: &wire::Used) -> Option<(EventId, Heard)> {
        let grant = <[u8; 32]>::try_from(used.grant.as_slice()).map(EventId).ok()?;
        let percent = match used.progress {
            0 => None,
            told => Some(u8::try_from(told - 1).ok().filter(|percent| *percent <= 100)?),
        };
        let sum = Usage { tokens_in: used.tokens_in, tokens_out: used.tokens_out, money_micros: used.money_micros };
        Some((grant, Heard { used: sum, percent, note: step::text(&used.note) }))
    }
}

impl Engine {
    /// A run on this host says something of itself.
    pub(crate) fn run_reported(&mut self, cx: &mut Cx<'_>, run: &EventId, report: &RunReport) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get_mut(run).filter(|hook| !hook.record.done) else { return Ok(()) };
        hook.record.used = hook.record.used.plus(report.used);
        if let Some(note) = &report.note {
            hook.says.1 = step::text(note);
        }
        if let Some(percent) = report.percent {
            hook.says.0 = Some(percent.min(100));
        }
        if !report.used.is_nothing() {
            cx.txn.put_record(Table::Work, work::hook_key(run), &hook.record);
        }
        hook.news = true;
        if hook.stopping.is_some() {
            return Ok(());
        }
        let (cap, asked) = (hook.record.cap, hook.asked || hook.record.tentative);
        if cap.reached_by(&hook.record.used) {
            // Whether the coordinator can be reached or not.
            return self.stop(cx, run, &ledger::cap_is_reached(&cap));
        }
        // One question at a time: the answer brings the next one.
        if asked { Ok(()) } else { self.ask_for_renewal(cx, run) }
    }

    /// Signs what was used, if that is news. For the caller to commit.
    pub(super) fn usage_write(&mut self, cx: &mut Cx<'_>, run: &EventId, shown: &Shown) -> Option<Write> {
        let hook = self.sling.hooks.get_mut(run).filter(|hook| hook.record.used != hook.record.told)?;
        let h = self.spaces.get(&SpaceId(hook.record.space))?.h.clone();
        hook.record.told = hook.record.used;
        hook.signed_at = cx.up;
        cx.txn.put_record(Table::Work, work::hook_key(run), &hook.record);
        let grant = Some((EventId(hook.record.grant), hook.record.fence));
        let about = About { h: &h, bead: &shown.id, birth: shown.birth, grant };
        let say = Say::Usage { used: hook.record.used, note: hook.says.1.clone() };
        let event = step::sign(&self.host, &about, &say, cx.now.secs(), crate::entropy::draw(cx.entropy));
        Some(step::write(&event, &about))
    }

    /// Signs what was used, and tells everybody.
    pub(super) fn say_usage(&mut self, cx: &mut Cx<'_>, run: &EventId) -> Result<(), ViewError> {
        let Some(hook) = self.sling.hooks.get(run) else { return Ok(()) };
        let space = SpaceId(hook.record.space);
        let Ok(bead) = hook.record.bead.parse() else { return Ok(()) };
        if hook.record.tentative || hook.record.used == hook.record.told || self.may_write(&space).is_err() {
            return Ok(());
        }
        let at: At = (space, bead);
        let Some((shown, _)) = self.transcript(cx, &at)? else { return Ok(()) };
        if let Some(write) = self.usage_write(cx, run, &shown) {
            let actor = self.actor();
            self.commit(cx, space, &actor, vec![write])?;
            if let Some(coordinator) = self.spaces.get(&space).and_then(|space| space.charter.coordinator()) {
                self.tell_last(cx, space, coordinator);
            }
            self.sling.stirred.insert(at);
        }
        Ok(())
    }

    /// The coordinator hears what a worker says of a grant.
    pub(super) fn heard(
        &mut self,
        cx: &mut Cx<'_>,
        at: &At,
        grant: &EventId,
        worker: &PubKey,
        heard: &Heard,
    ) -> Result<(), ViewError> {
        if !self.coordinates(&at.0) || *heard == Heard::default() || !self.ledger(cx, &at.0)?.is_of(grant, worker) {
            return Ok(());
        }
        if let Some(desk) = self.sling.desks.get_mut(at).filter(|desk| desk.grant == Some(*grant)) {
            desk.heard = (heard.percent, heard.note.clone());
        }
        if !heard.used.is_nothing() && self.note_used(cx, at, grant, heard.used)? {
            self.sling.stirred.insert(at.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_wire_and_hostile_ones_are_refused_or_cut() {
        let grant = EventId([7; 32]);
        let used = Usage { tokens_in: 1, tokens_out: u64::MAX, money_micros: 3 };
        let heard = Heard { used, percent: Some(100), note: "reads\nfiles".to_owned() };
        let wire = heard.to_wire(&grant).unwrap();
        assert_eq!(Heard::from_wire(&wire), Some((grant, heard.clone())));
        assert_eq!(Heard::default().to_wire(&grant), None);
        assert_eq!(Heard::from_wire(&wire::Used { progress: 102, ..wire.clone() }), None);
        assert_eq!(Heard::from_wire(&wire::Used { grant: vec![1; 31], ..wire.clone() }), None);
        let (_, long) = Heard::from_wire(&wire::Used { note: "\u{1b}x".repeat(5_000), ..wire }).unwrap();
        assert!(long.note.len() <= step::TEXT_BYTES_MAX && !long.note.contains('\u{1b}'));
    }
}
