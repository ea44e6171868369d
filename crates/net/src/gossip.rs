//! Gossip: the settings that facts and measurements chose, the messages that wait for a verdict, and fault injection.
//!
//! The envelope is unsigned (the events inside are signed), and a message's id is its content, so that a second copy
//! is dropped before anybody looks at it. The mesh is small: larger ones collapse long before the rates that we want.
//! `flood_publish` is off: publishing fills up to `mesh_n` with other subscribers by itself, which is all of them in
//! the meshes for which flooding would help.

use crate::error::Error;
use libp2p::PeerId;
use libp2p::gossipsub::{
    self, AllowAllSubscriptionFilter, IdentityTransform, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, ValidationMode,
};
use proto::limits::{GOSSIP_BYTES_MAX, GOSSIP_QUEUE_MAX, GOSSIP_WANTED_MAX, TOPICS_PER_PEER_MAX};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Messages that may wait for a verdict. libp2p itself forgets them after five seconds.
const VERDICTS_MAX: usize = 8192;

fn message_id(message: &gossipsub::Message) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(message.topic.as_str().as_bytes());
    hash.update(&message.data);
    MessageId::new(&hash.finalize()[..20])
}

/// The settings.
fn config() -> Result<gossipsub::Config, Error> {
    gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        // Room for the envelope around the payload.
        .max_transmit_size(GOSSIP_BYTES_MAX + 1024)
        .duplicate_cache_time(Duration::from_secs(600))
        .mesh_n(4)
        .mesh_n_low(3)
        .mesh_n_high(5)
        .mesh_outbound_min(1)
        .gossip_lazy(2)
        .flood_publish(false)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(Duration::from_secs(1))
        .prune_backoff(Duration::from_secs(5))
        .unsubscribe_backoff(Duration::from_secs(1))
        .graft_flood_threshold(Duration::from_millis(500))
        // Whole messages wait there, for each slow peer; what finds no room is caught up with.
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .max_control_messages_sent(GOSSIP_WANTED_MAX)
        .build()
        .map_err(|error| Error::Setup { part: "gossip", reason: error.to_string() })
}

/// Gossip in which a peer has only so many topics.
pub(crate) type Behaviour =
    gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

/// The behaviour.
pub(crate) fn behaviour() -> Result<Behaviour, Error> {
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: TOPICS_PER_PEER_MAX,
        max_subscriptions_per_request: TOPICS_PER_PEER_MAX,
    };
    let setup = |reason: String| Error::Setup { part: "gossip", reason };
    let mut behaviour =
        gossipsub::Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config()?, filter)
            .map_err(|error| setup(error.to_owned()))?;
    let (params, thresholds) = scoring();
    behaviour.with_peer_score(params, thresholds).map_err(setup)?;
    Ok(behaviour)
}

/// Scores in which every peer has zero points for ever. They are on because without them gossipsub never forgets a
/// message that a peer offered, was asked for and did not deliver: each one costs memory for as long as the node
/// runs, and is not asked of anybody else. Whom to shun is decided by [`crate::budget`].
fn scoring() -> (PeerScoreParams, PeerScoreThresholds) {
    let params = PeerScoreParams {
        app_specific_weight: 0.0,
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_weight: 0.0,
        slow_peer_weight: 0.0,
        retain_score: Duration::ZERO,
        ..PeerScoreParams::default()
    };
    (params, PeerScoreThresholds { opportunistic_graft_threshold: 0.0, ..PeerScoreThresholds::default() })
}

/// Messages that wait for a verdict, by our number; the oldest give way.
#[derive(Default)]
pub(crate) struct Waiting {
    next: u64,
    messages: HashMap<u64, (MessageId, PeerId)>,
    order: VecDeque<u64>,
}

impl Waiting {
    /// Keeps a message; the number is for the verdict.
    pub(crate) fn insert(&mut self, id: MessageId, from: PeerId) -> u64 {
        if self.order.len() == VERDICTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.next += 1;
        self.messages.insert(self.next, (id, from));
        self.order.push_back(self.next);
        self.next
    }

    /// Takes a message out, once.
    pub(crate) fn remove(&mut self, number: u64) -> Option<(MessageId, PeerId)> {
        let message = self.messages.remove(&number)?;
        // Verdicts come almost in order, so this looks at few.
        while self.order.front().is_some_and(|oldest| !self.messages.contains_key(oldest)) {
            self.order.pop_front();
        }
        Some(message)
    }
}

/// A seeded coin for fault injection (SplitMix64).
pub(crate) struct Loss {
    state: u64,
    share: f64,
}

impl Loss {
    pub(crate) fn new(share: f64, seed: u64) -> Loss {
        Loss { state: seed, share }
    }

    /// Whether the next message is lost.
    pub(crate) fn strikes(&mut self) -> bool {
        if self.share <= 0.0 {
            return false;
        }
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((z >> 11) as f64 / (1u64 << 53) as f64) < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The measured settings: a small mesh, no flooding, unsigned envelopes.
    #[test]
    fn the_settings_are_the_measured_ones() {
        let config = config().unwrap();
        let topic = gossipsub::IdentTopic::new("x").hash();
        let mesh = (config.mesh_n_low(), config.mesh_n(), config.mesh_n_high(), config.mesh_outbound_min());
        assert_eq!(mesh, (3, 4, 5, 1));
        assert_eq!((config.gossip_lazy(), config.flood_publish()), (2, false));
        assert!(matches!(config.validation_mode(), ValidationMode::Anonymous));
        assert!(config.validate_messages());
        assert_eq!(config.max_transmit_size_for_topic(&topic), GOSSIP_BYTES_MAX + 1024);
        assert_eq!(config.connection_handler_queue_len(), GOSSIP_QUEUE_MAX);
        assert_eq!(config.heartbeat_interval(), Duration::from_secs(1));
        assert_eq!(config.duplicate_cache_time(), Duration::from_secs(600));
        assert_eq!(config.max_control_messages_sent(), GOSSIP_WANTED_MAX);
        assert!(behaviour().is_ok());
    }

    /// Scores are kept only so that broken promises are forgotten: nothing that a peer does changes its own.
    #[test]
    fn scores_are_on_and_say_nothing() {
        let (params, thresholds) = scoring();
        let weights = [
            params.app_specific_weight,
            params.ip_colocation_factor_weight,
            params.behaviour_penalty_weight,
            params.slow_peer_weight,
        ];
        assert!(params.topics.is_empty() && weights.iter().all(|weight| *weight == 0.0), "{weights:?}");
        // Zero points are never too few.
        assert!(thresholds.opportunistic_graft_threshold <= 0.0 && thresholds.gossip_threshold < 0.0);
        // A second time is refused: they are on.
        assert!(behaviour().unwrap().with_peer_score(params, thresholds).is_err());
    }

    #[test]
    fn ids_are_content() {
        let message = |topic: &str, data: &[u8]| gossipsub::Message {
            source: None,
            data: data.to_vec(),
            sequence_number: None,
            topic: gossipsub::IdentTopic::new(topic).hash(),
        };
        assert_eq!(message_id(&message("a", b"x")), message_id(&message("a", b"x")));
        assert_ne!(message_id(&message("a", b"x")), message_id(&message("b", b"x")));
        assert_eq!(message_id(&message("a", b"x")).0, Sha256::digest(b"ax")[..20]);
    }

    #[test]
    fn messages_without_a_verdict_give_way() {
        let mut waiting = Waiting::default();
        let peer = PeerId::random();
        let first = waiting.insert(MessageId::new(b"0"), peer);
        let second = waiting.insert(MessageId::new(b"1"), peer);
        for n in 0..VERDICTS_MAX - 1 {
            waiting.insert(MessageId::new(&n.to_be_bytes()), peer);
        }
        assert_eq!(waiting.remove(first), None);
        assert!(waiting.remove(second).is_some());
        assert_eq!(waiting.remove(second), None);
        assert!(waiting.order.len() <= VERDICTS_MAX && waiting.messages.len() < VERDICTS_MAX);
    }

    #[test]
    fn loss_is_seeded_and_about_its_share() {
        let draw = |seed| {
            let mut loss = Loss::new(0.3, seed);
            (0..10_000).map(|_| loss.strikes()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let lost = draw(1).iter().filter(|lost| **lost).count();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!(!Loss::new(0.0, 1).strikes());
        assert!(Loss::new(1.0, 1).strikes());
    }
}
