//! Token buckets: what a peer may do, how often. No clock in here: whoever asks brings the time.

use proto::limits::{self, Rate};
use std::collections::HashMap;
use std::time::Instant;
use types::PeerId;

/// One bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Bucket {
        Bucket { rate, left: rate.burst, at: now }
    }

    /// Takes so many tokens, or none when there are fewer.
    pub(crate) fn take(&mut self, tokens: f64, now: Instant) -> bool {
        self.refill(now);
        let enough = self.left >= tokens;
        if enough {
            self.left -= tokens;
        }
        enough
    }

    /// Whether nothing was taken for long enough that it is full.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate.per_second).min(self.rate.burst);
        self.at = self.at.max(now);
    }
}

/// What a peer wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ask something.
    Rpc,
    /// Open a pull stream.
    Pull,
    /// Hand over a gossip message of so many bytes.
    Gossip(usize),
    /// Say again who it is.
    Identify,
}

/// One peer's buckets.
struct Meters {
    rpc: Bucket,
    pull: Bucket,
    gossip: Bucket,
    gossip_bytes: Bucket,
    identify: Bucket,
    offences: Bucket,
}

impl Meters {
    fn new(member: bool, now: Instant) -> Meters {
        let bucket = |rate| Bucket::new(rate, now);
        Meters {
            rpc: bucket(if member { limits::RPC_RATE } else { limits::STRANGER_RPC_RATE }),
            pull: bucket(limits::PULL_RATE),
            gossip: bucket(limits::GOSSIP_RATE),
            gossip_bytes: bucket(limits::GOSSIP_BYTES_RATE),
            identify: bucket(limits::IDENTIFY_RATE),
            offences: bucket(limits::OFFENCES_RATE),
        }
    }
}

/// The buckets of all connected peers.
#[derive(Default)]
pub(crate) struct Budgets(HashMap<PeerId, (bool, Meters)>);

impl Budgets {
    fn meters(&mut self, peer: PeerId, member: bool, now: Instant) -> &mut Meters {
        let entry = self.0.entry(peer).or_insert_with(|| (member, Meters::new(member, now)));
        if entry.0 != member {
            *entry = (member, Meters::new(member, now));
        }
        &mut entry.1
    }

    /// Whether a peer may do this now.
    pub(crate) fn allow(&mut self, peer: PeerId, member: bool, act: Act, now: Instant) -> bool {
        let meters = self.meters(peer, member, now);
        match act {
            Act::Rpc => meters.rpc.take(1.0, now),
            Act::Pull => meters.pull.take(1.0, now),
            Act::Identify => meters.identify.take(1.0, now),
            Act::Gossip(bytes) => meters.gossip.take(1.0, now) && meters.gossip_bytes.take(bytes as f64, now),
        }
    }

    /// Notes an offence; false when it was one too many.
    pub(crate) fn offend(&mut self, peer: PeerId, member: bool, now: Instant) -> bool {
        self.meters(peer, member, now).offences.take(1.0, now)
    }

    /// The peer is gone.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate { burst: 3.0, per_second: 2.0 }, start);
        assert!(bucket.is_full(start));
        assert_eq!((0..5).filter(|_| bucket.take(1.0, start)).count(), 3);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| bucket.take(1.0, later)).count(), 2);
        // A clock that steps back gives nothing.
        assert!(!bucket.take(1.0, start));
        let long = start + Duration::from_secs(100);
        assert!(bucket.is_full(long) && bucket.take(3.0, long) && !bucket.take(1.0, long));
    }

    #[test]
    fn strangers_have_less_and_members_start_anew() {
        let (peer, now) = (PeerId::from_ed25519([1; 32]), Instant::now());
        let mut budgets = Budgets::default();
        let asks = |budgets: &mut Budgets, member| {
            (0..10_000).filter(|_| budgets.allow(peer, member, Act::Rpc, now)).count() as f64
        };
        assert_eq!(asks(&mut budgets, false), limits::STRANGER_RPC_RATE.burst);
        assert_eq!(asks(&mut budgets, true), limits::RPC_RATE.burst);
        let huge = limits::GOSSIP_BYTES_RATE.burst as usize;
        assert!(budgets.allow(peer, true, Act::Gossip(huge), now));
        assert!(!budgets.allow(peer, true, Act::Gossip(1), now));
        let offences = (0..10_000).take_while(|_| budgets.offend(peer, true, now)).count();
        assert_eq!(offences as f64, limits::OFFENCES_RATE.burst);
        budgets.forget(&peer);
        assert!(budgets.allow(peer, true, Act::Gossip(1), now));
    }
}
