//! The fast path: topics, messages, verdicts, and the mending of a mesh that works in one direction only.
//!
//! gossipsub announces topics once, on the first connection to a peer. A peer that restarts with its old key before
//! the old connection was noticed as dead never hears our topics: its messages do not reach us. Two signs betray
//! that: a message from a peer of whom we know no subscription to its topic (we are the restarted one), and a
//! connection that failed while another one to the same peer stands (the peer is). Either makes us announce all
//! topics anew, at most once per cooldown.

use super::{Service, from_libp2p};
use crate::budget::Act;
use crate::counters::count;
use crate::event::{Event, MessageRef, Verdict};
use crate::outbox::Item;
use libp2p::PeerId as Libp2pId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageId, PublishError};
use proto::limits::GOSSIP_BYTES_MAX;
use std::time::Instant;

/// When topics were and will be announced anew.
#[derive(Default)]
pub(super) struct Mend {
    wanted: bool,
    last: Option<Instant>,
}

impl Service {
    pub(super) fn subscribe(&mut self, topic: String) {
        if let Some(gossip) = self.swarm.behaviour_mut().gossip_mut()
            && let Err(error) = gossip.subscribe(&IdentTopic::new(&topic))
        {
            tracing::warn!(%error, "subscribing");
        }
        self.topics.insert(topic);
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) {
        if let Some(gossip) = self.swarm.behaviour_mut().gossip_mut() {
            gossip.unsubscribe(&IdentTopic::new(topic));
        }
        self.topics.remove(topic);
        self.known.retain(|(_, known)| known != topic);
    }

    pub(super) fn publish(&mut self, topic: &str, data: Vec<u8>) {
        let Some(gossip) = self.swarm.behaviour_mut().gossip_mut() else {
            return count(&self.counters.published_to_nobody);
        };
        if data.len() > GOSSIP_BYTES_MAX {
            return count(&self.counters.publish_failed);
        }
        let counter = match gossip.publish(IdentTopic::new(topic), data) {
            Ok(_) => &self.counters.published,
            Err(PublishError::NoPeersSubscribedToTopic) => &self.counters.published_to_nobody,
            Err(PublishError::Duplicate) => &self.counters.published_twice,
            Err(error) => {
                tracing::debug!(%error, "publishing");
                &self.counters.publish_failed
            }
        };
        count(counter);
    }

    pub(super) fn judge(&mut self, message: MessageRef, verdict: Verdict) {
        let Some((id, from)) = self.waiting.remove(message.0) else {
            return count(&self.counters.verdicts_late);
        };
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => {
                count(&self.counters.gossip_rejected);
                self.offend(&from);
                MessageAcceptance::Reject
            }
        };
        if !self.report(&id, &from, acceptance) {
            count(&self.counters.verdicts_late);
        }
    }

    fn report(&mut self, id: &MessageId, from: &Libp2pId, acceptance: MessageAcceptance) -> bool {
        let gossip = self.swarm.behaviour_mut().gossip_mut();
        gossip.is_some_and(|gossip| gossip.report_message_validation_result(id, from, acceptance))
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.on_message(propagation_source, message_id, message);
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                self.known.remove(&(peer_id, topic.into_string()));
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "gossip to this peer is slow");
                count(&self.counters.slow_peers);
            }
            _ => {}
        }
    }

    fn on_message(&mut self, from: Libp2pId, id: MessageId, message: gossipsub::Message) {
        let topic = message.topic.clone().into_string();
        self.notice_one_way(from, &topic);
        if self.loss.strikes() {
            count(&self.counters.gossip_injected_losses);
            self.report(&id, &from, MessageAcceptance::Ignore);
            return;
        }
        let (Some(peer), true) = (from_libp2p(&from), message.data.len() <= GOSSIP_BYTES_MAX) else {
            count(&self.counters.gossip_rejected);
            self.report(&id, &from, MessageAcceptance::Reject);
            return;
        };
        if !self.allow(peer, Act::Gossip(message.data.len())) {
            self.report(&id, &from, MessageAcceptance::Ignore);
            return;
        }
        if !self.outbox.has_room_for_gossip() {
            count(&self.counters.gossip_dropped);
            self.report(&id, &from, MessageAcceptance::Ignore);
            return;
        }
        count(&self.counters.gossip_received);
        self.touch(peer);
        let number = MessageRef(self.waiting.insert(id, from));
        self.outbox.push(Item::Gossip(Event::Gossip { peer, topic, data: message.data, message: number }));
    }

    /// A message from a peer of whom we know no subscription: we missed its announcement.
    fn notice_one_way(&mut self, from: Libp2pId, topic: &str) {
        if !self.topics.contains(topic) || self.known.contains(&(from, topic.to_owned())) {
            return;
        }
        let Some(gossip) = self.swarm.behaviour().gossip() else { return };
        let subscribed = gossip
            .all_peers()
            .any(|(peer, topics)| *peer == from && topics.iter().any(|known| known.as_str() == topic));
        if subscribed {
            self.known.insert((from, topic.to_owned()));
        } else {
            self.want_mending();
        }
    }

    /// Asks for all topics to be announced anew.
    pub(super) fn want_mending(&mut self) {
        self.mend.wanted = true;
        self.mend_if_due(Instant::now());
    }

    pub(super) fn mend_if_due(&mut self, now: Instant) {
        let cooldown = self.limits.resubscribe_cooldown;
        if !self.mend.wanted || self.mend.last.is_some_and(|last| now.duration_since(last) < cooldown) {
            return;
        }
        self.mend = Mend { wanted: false, last: Some(now) };
        let Some(gossip) = self.swarm.behaviour_mut().gossip_mut() else { return };
        count(&self.counters.resubscribed);
        for topic in &self.topics {
            let topic = IdentTopic::new(topic);
            gossip.unsubscribe(&topic);
            if let Err(error) = gossip.subscribe(&topic) {
                tracing::warn!(%error, "subscribing anew");
            }
        }
    }
}
