//! Programs that work on slung beads: how long each runs, and what comes of it.

use crate::rng::Rng;
use engine::{Ended, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use types::EventId;

/// One stretch of work: machine, bead, from, to (virtual ms).
#[derive(Clone, Debug)]
struct Stretch {
    at: usize,
    bead: String,
    from: u64,
    to: Option<u64>,
}

/// Who works on what, and who did.
#[derive(Default)]
pub(crate) struct Runs {
    running: BTreeMap<(usize, EventId), usize>,
    stretches: Vec<Stretch>,
}

impl Runs {
    pub(crate) fn begin(&mut self, at: usize, run: EventId, bead: String, now: u64) {
        self.running.insert((at, run), self.stretches.len());
        self.stretches.push(Stretch { at, bead, from: now, to: None });
    }

    /// Whether it was running.
    pub(crate) fn end(&mut self, at: usize, run: EventId, now: u64) -> bool {
        let Some(stretch) = self.running.remove(&(at, run)) else { return false };
        self.stretches[stretch].to = Some(now);
        true
    }

    /// A machine lost power, and its programs with it.
    pub(crate) fn power_cut(&mut self, at: usize, now: u64) {
        let gone: Vec<EventId> = self.running.keys().filter(|(of, _)| *of == at).map(|(_, run)| *run).collect();
        for run in gone {
            self.end(at, run, now);
        }
    }

    /// Machines that work right now.
    pub(crate) fn working(&self) -> Vec<usize> {
        self.running.keys().map(|(at, _)| *at).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Beads that two machines worked on for longer than this at once.
    pub(crate) fn overlaps(&self, more_than_ms: u64) -> Vec<String> {
        let mut out = Vec::new();
        for (n, one) in self.stretches.iter().enumerate() {
            for other in &self.stretches[n + 1..] {
                if one.bead != other.bead || one.at == other.at {
                    continue;
                }
                let from = one.from.max(other.from);
                let to = one.to.unwrap_or(u64::MAX).min(other.to.unwrap_or(u64::MAX));
                if to > from + more_than_ms {
                    out.push(format!("{} by {} and {} from {from} to {to}", one.bead, one.at, other.at));
                }
            }
        }
        out
    }
}

/// How long a run takes, in milliseconds, and what comes of it.
pub(crate) fn fate(rng: &mut Rng) -> (u64, Outcome) {
    let commit = Some(rng.bytes::<32>().iter().take(20).map(|b| format!("{b:02x}")).collect());
    let (ended, text) = match rng.below(100) {
        0..72 => (Ended::Done, "it works"),
        72..82 => (Ended::Failed, "tests fail"),
        82..90 => (Ended::Later, "not now"),
        _ => (Ended::Done, "nothing to do"),
    };
    let after = if rng.chance(0.2) { 8_000 + rng.below(12_000) } else { 50 + rng.below(4_000) };
    (after, Outcome { ended, commit, branch: None, text: text.to_owned() })
}
