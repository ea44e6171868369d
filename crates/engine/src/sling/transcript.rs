//! Everything that was said about the work on one bead, and what it means together: a function of the set of steps.

use super::step::{self, Ended, Outcome, Say, Step, Terms};
use beads::{BeadState, Birth, WorkStep};
use identity::CharterChain;
use std::collections::{BTreeMap, HashMap};
use types::{EventId, Fence, PubKey, UnixSecs, Usage};

/// Verified steps that are remembered, so that a bead's transcript is not verified at every look.
const REMEMBERED_MAX: usize = 4_096;

/// Somebody wants a bead worked on.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) id: EventId,
    pub(crate) by: PubKey,
    pub(crate) at: UnixSecs,
    pub(crate) target: String,
    pub(crate) key: String,
    /// The convoy that it is part of; empty: none.
    pub(crate) convoy: String,
    pub(crate) terms: Terms,
    /// Why nothing more comes of it.
    pub(crate) ended: Option<OfferEnd>,
}

/// How an offer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfferEnd {
    /// A result of this grant was accepted.
    Accepted(EventId),
    /// The coordinator gave it up.
    Cancelled(String),
}

/// A bead was given to a worker.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) id: EventId,
    pub(crate) fence: Fence,
    pub(crate) by: PubKey,
    pub(crate) at: UnixSecs,
    pub(crate) offer: EventId,
    pub(crate) prev: Option<EventId>,
    pub(crate) worker: PubKey,
    pub(crate) terms: Terms,
    pub(crate) accepted: Option<UnixSecs>,
    /// Who works there.
    pub(crate) runner: String,
    /// For which rig.
    pub(crate) rig: String,
    /// What was used since it was granted, by when that was said, and what else was said.
    pub(crate) usage: Vec<(UnixSecs, Usage, String)>,
    pub(crate) declined: Option<String>,
    /// The worker's results, by their ids; one, unless it is at fault.
    pub(crate) results: BTreeMap<EventId, (UnixSecs, Outcome)>,
    /// What the coordinator made of one of them.
    pub(crate) verdict: Option<(EventId, bool, String)>,
    /// What a person made of a result that was not accepted.
    pub(crate) reviewed: Option<(bool, String)>,
    pub(crate) cancelled: Option<String>,
}

impl Grant {
    /// Whether its worker may still work under it, as far as its transcript goes.
    pub(crate) fn is_live(&self) -> bool {
        self.declined.is_none() && self.cancelled.is_none() && self.verdict.is_none()
    }

    /// What was used under it, as far as that is signed.
    pub(crate) fn used(&self) -> Usage {
        self.usage.iter().fold(Usage::default(), |most, (_, used, _)| most.most(*used))
    }

    /// One word for where it stands.
    pub(crate) fn state(&self) -> &'static str {
        match &self.verdict {
            Some((_, true, _)) => "accepted",
            Some((_, false, _)) => "rejected",
            None if self.cancelled.is_some() => "cancelled",
            None if self.declined.is_some() => "declined",
            None if !self.results.is_empty() => "result",
            None if self.accepted.is_some() => "working",
            None => "granted",
        }
    }
}

/// The transcript of one bead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// The oldest first.
    pub(crate) offers: Vec<Offer>,
    /// By their fences. Of several under one fence the one with the lowest id counts.
    pub(crate) grants: BTreeMap<Fence, Grant>,
    /// Grants that contradict one that counts: two signatures over one fence.
    pub(crate) contradicting: Vec<EventId>,
}

/// Steps that were verified already, by the half of their id under which a bead keeps them.
#[derive(Debug, Default)]
pub(crate) struct Remembered(HashMap<String, Option<Step>>);

impl Remembered {
    fn read(&mut self, h: &str, bead: &beads::BeadId, kept: &WorkStep) -> Option<Step> {
        // The same event is another thing in another space.
        let key = format!("{h} {}", kept.event);
        if let Some(step) = self.0.get(&key) {
            return step.clone().filter(|step| step.bead == *bead);
        }
        let step = step::read(h, bead, kept);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(key, step.clone());
        step
    }
}

impl Transcript {
    /// Reads what a bead keeps. What is not signed by who may say it has no effect. `births`: those of the bead as it is
    /// shown.
    pub(crate) fn read(
        state: &BeadState,
        births: &[Birth],
        h: &str,
        charter: &CharterChain,
        remembered: &mut Remembered,
    ) -> Transcript {
        let mut out = Transcript::default();
        let steps = state.work().filter_map(|(_, kept)| remembered.read(h, state.id(), &kept));
        let mut rest = Vec::new();
        // In the order of their ids: the same wherever they are read.
        let steps: BTreeMap<EventId, Step> =
            steps.filter(|step| births.contains(&step.birth)).map(|step| (step.id, step)).collect();
        for step in steps.into_values() {
            match &step.say {
                Say::Offer { .. } => out.offer(step, charter),
                Say::Grant { .. } => out.grant(step, charter),
                _ => rest.push(step),
            }
        }
        for step in rest {
            out.answer(&step, charter);
        }
        for grant in out.grants.values_mut() {
            grant.usage.sort_by_key(|(at, used, _)| (*at, used.tokens(), used.money_micros));
        }
        out.end_accepted();
        out.offers.sort_by_key(|offer| (offer.at, offer.id));
        out
    }

    fn offer(&mut self, step: Step, charter: &CharterChain) {
        if let (Say::Offer { target, key, convoy, terms }, true) = (step.say, charter.ever_member(&step.by)) {
            self.offers.push(Offer { id: step.id, by: step.by, at: step.at, target, key, convoy, terms, ended: None });
        }
    }

    fn grant(&mut self, step: Step, chain: &CharterChain) {
        let (Say::Grant { offer, charter, prev, worker, terms }, Some((id, fence))) = (step.say, step.grant) else {
            return;
        };
        // Whoever signs it was the coordinator under the version that it names, and the fence is of that epoch.
        let named = chain.version(&charter).is_some_and(|version| version.coordinator == Some(step.by));
        if !named || chain.turn(&charter).map(|turn| turn.0) != Some(fence.epoch) {
            return;
        }
        if self.grants.contains_key(&fence) {
            self.contradicting.push(id);
            return;
        }
        let grant = Grant {
            id,
            fence,
            by: step.by,
            at: step.at,
            offer,
            prev,
            worker,
            rig: terms.rig.clone(),
            terms,
            accepted: None,
            runner: String::new(),
            usage: Vec::new(),
            declined: None,
            results: BTreeMap::new(),
            verdict: None,
            reviewed: None,
            cancelled: None,
        };
        self.grants.insert(fence, grant);
    }

    fn answer(&mut self, step: &Step, chain: &CharterChain) {
        let coordinates = |by: &PubKey| chain.coordinator() == Some(*by);
        if let Say::Cancel { offer: Some(offer), why } = &step.say {
            let granted = self.grants.values().any(|grant| grant.offer == *offer && grant.by == step.by);
            if let Some(offer) = self.offers.iter_mut().find(|known| known.id == *offer)
                && (granted || coordinates(&step.by) || offer.by == step.by)
            {
                offer.ended.get_or_insert(OfferEnd::Cancelled(why.clone()));
            }
        }
        let Some((id, fence)) = step.grant else { return };
        let Some(grant) = self.grants.get_mut(&fence).filter(|grant| grant.id == id) else { return };
        match &step.say {
            Say::Accept { runner, rig } if step.by == grant.worker => {
                grant.accepted = Some(step.at);
                grant.runner.clone_from(runner);
                if grant.rig.is_empty() {
                    grant.rig.clone_from(rig);
                }
            }
            Say::Usage { used, note } if step.by == grant.worker => grant.usage.push((step.at, *used, note.clone())),
            Say::Decline { why } if step.by == grant.worker => grant.declined = Some(why.clone()),
            Say::Result(outcome) if step.by == grant.worker => {
                grant.results.insert(step.id, (step.at, outcome.clone()));
            }
            // Only who granted it may accept: whoever coordinates later gives a grant of its own.
            Say::Verdict { of, good, why } if step.by == grant.by && grant.verdict.is_none() => {
                grant.verdict = Some((*of, *good, why.clone()));
            }
            Say::Review { good, why, .. } if chain.ever_member(&step.by) => {
                grant.reviewed.get_or_insert_with(|| (*good, why.clone()));
            }
            Say::Cancel { why, .. } if step.by == grant.by || coordinates(&step.by) => {
                grant.cancelled.get_or_insert(why.clone());
            }
            _ => {}
        }
    }

    /// Of an offer's grants only the one with the highest fence can have an accepted result: one that an earlier
    /// coordinator accepted while somebody else coordinated already is kept for review.
    fn end_accepted(&mut self) {
        let newest: BTreeMap<EventId, Fence> = self.grants.values().map(|grant| (grant.offer, grant.fence)).collect();
        for grant in self.grants.values_mut() {
            if matches!(grant.verdict, Some((_, true, _))) && newest.get(&grant.offer) != Some(&grant.fence) {
                grant.verdict = None;
                grant.cancelled.get_or_insert_with(|| "granted again by another coordinator".to_owned());
            }
        }
        let accepted = self.grants.values().filter(|grant| matches!(grant.verdict, Some((_, true, _))));
        let accepted: BTreeMap<EventId, EventId> = accepted.map(|grant| (grant.offer, grant.id)).collect();
        for offer in &mut self.offers {
            if let Some(grant) = accepted.get(&offer.id) {
                offer.ended = Some(OfferEnd::Accepted(*grant));
            }
        }
    }

    /// The grant that counts.
    pub(crate) fn current(&self) -> Option<&Grant> {
        self.grants.values().next_back()
    }

    /// What is to be done next: the oldest offer that has not ended.
    pub(crate) fn open(&self) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.ended.is_none())
    }

    /// The newest offer.
    pub(crate) fn newest(&self) -> Option<&Offer> {
        self.offers.last()
    }

    pub(crate) fn by_id(&self, id: &EventId) -> Option<&Grant> {
        self.grants.values().find(|grant| grant.id == *id)
    }

    /// Grants under which somebody has done something that was not accepted: kept for a person to look at.
    pub(crate) fn to_review(&self) -> impl Iterator<Item = (&Grant, &Outcome)> {
        let waiting = |grant: &&Grant| grant.verdict.is_none() && grant.reviewed.is_none();
        let current = self.current().filter(|grant| grant.is_live()).map(|grant| grant.id);
        self.grants
            .values()
            .filter(waiting)
            .filter(move |grant| Some(grant.id) != current)
            .filter_map(|grant| Some((grant, &grant.results.values().next()?.1)))
            .filter(|(_, outcome)| outcome.ended != Ended::Stopped || outcome.commit.is_some())
    }
}
