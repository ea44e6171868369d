//! What was dropped, refused or failed, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// How often each thing happened since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64),* }

        /// The counters as the tasks share them.
        #[derive(Debug, Default)]
        pub(crate) struct Shared { $(pub(crate) $name: AtomicU64),* }

        impl Shared {
            /// The numbers now.
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counters! {
    /// Commands of `try_` calls that found the queue full.
    commands_dropped,
    /// Dials that reached nobody.
    dials_failed,
    /// Incoming connections that failed before they stood, limits included.
    inbound_failed,
    /// Connections refused because the peer's key is not Ed25519.
    foreign_keys,
    /// Incoming connections refused at the door: too many from one address, too many strangers, or banned.
    connections_refused,
    /// Connections closed because their peer came anew and the old one did not answer.
    stale_closed,
    /// Connections of strangers closed because their time was over.
    strangers_closed,
    /// Things that peers did more often than they may.
    over_rate,
    /// Peers disconnected because they broke the rules too often.
    banned,
    /// Connections closed because pings failed.
    pings_lost,
    /// Gossip messages handed up.
    gossip_received,
    /// Gossip messages dropped because the reader of events was slow.
    gossip_dropped,
    /// Gossip messages dropped by fault injection.
    gossip_injected_losses,
    /// Gossip messages judged invalid.
    gossip_rejected,
    /// Verdicts that came too late.
    verdicts_late,
    /// Messages published to at least one peer.
    published,
    /// Messages published while nobody listened, or gossip is off.
    published_to_nobody,
    /// Messages that were published before.
    published_twice,
    /// Messages that could not be published: too large, or all queues full.
    publish_failed,
    /// Peers whose gossip queue overflowed.
    slow_peers,
    /// How often topics were announced anew, to mend a one-way mesh.
    resubscribed,
    /// Our requests that failed, for whatever reason.
    requests_failed,
    /// Requests of peers answered "busy".
    requests_refused,
    /// Requests of peers that broke off, were too large or malformed.
    requests_broken,
    /// Answers of ours that were too large, or came too late.
    answers_lost,
    /// Pull streams of peers refused because they have too many.
    pulls_refused,
    /// Pull streams of peers that broke off, asked too much or stood still.
    pulls_broken,
    /// Addresses found on the local network and dropped because too many wait.
    discoveries_dropped,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
