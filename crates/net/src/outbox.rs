//! What waits for a slow reader of events, in bounded form. No clock, no channel: the service moves things on.

use crate::event::Event;
use crate::paths::Path;
use std::collections::{HashMap, VecDeque};
use types::PeerId;

/// Peers with undelivered addresses from the local network.
const FOUND_PEERS_MAX: usize = 256;
/// Addresses of one of them.
const FOUND_ADDRS_MAX: usize = 16;
/// Undelivered listen addresses; an interface storm drops the oldest.
const LISTENING_MAX: usize = 64;

/// What changed about one peer since the reader last heard of it.
#[derive(Default)]
struct Change {
    gone: bool,
    here: Option<Path>,
    path: Option<Path>,
    rtt_us: Option<u64>,
    found: Vec<String>,
}

/// Something that waits in order.
pub(crate) enum Item {
    /// A gossip message.
    Gossip(Event),
    /// A peer's request.
    Request(Event),
    /// The answer to a request of ours; delivering it frees a slot of that peer's.
    Answer(Event, Option<PeerId>),
}

/// Events that wait for room in the channel.
pub(crate) struct Outbox {
    changes: HashMap<PeerId, Change>,
    order: VecDeque<PeerId>,
    listening: VecDeque<String>,
    items: VecDeque<Item>,
    gossip: usize,
    gossip_max: usize,
    requests: usize,
    requests_max: usize,
    found: usize,
}

impl Outbox {
    pub(crate) fn new(gossip_max: usize, requests_max: usize) -> Outbox {
        Outbox {
            changes: HashMap::new(),
            order: VecDeque::new(),
            listening: VecDeque::new(),
            items: VecDeque::new(),
            gossip: 0,
            gossip_max,
            requests: 0,
            requests_max,
            found: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.listening.is_empty() && self.items.is_empty()
    }

    fn change(&mut self, peer: PeerId) -> &mut Change {
        let order = &mut self.order;
        self.changes.entry(peer).or_insert_with(|| {
            order.push_back(peer);
            Change::default()
        })
    }

    pub(crate) fn listening(&mut self, address: String) {
        if self.listening.len() == LISTENING_MAX {
            self.listening.pop_front();
        }
        self.listening.push_back(address);
    }

    pub(crate) fn connected(&mut self, peer: PeerId, path: Path) {
        self.change(peer).here = Some(path);
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        let change = self.change(peer);
        // A connection that the reader never heard of needs no end.
        if change.here.take().is_none() {
            change.gone = true;
        }
        change.path = None;
        change.rtt_us = None;
    }

    pub(crate) fn path_changed(&mut self, peer: PeerId, path: Path) {
        let change = self.change(peer);
        match &mut change.here {
            Some(here) => *here = path,
            None => change.path = Some(path),
        }
    }

    pub(crate) fn rtt(&mut self, peer: PeerId, micros: u64) {
        self.change(peer).rtt_us = Some(micros);
    }

    /// Whether it was taken.
    pub(crate) fn discovered(&mut self, peer: PeerId, address: String) -> bool {
        let fresh = self.changes.get(&peer).is_none_or(|change| change.found.is_empty());
        if fresh && self.found == FOUND_PEERS_MAX {
            return false;
        }
        self.found += usize::from(fresh);
        let found = &mut self.change(peer).found;
        if found.contains(&address) {
            return true;
        }
        found.len() < FOUND_ADDRS_MAX && {
            found.push(address);
            true
        }
    }

    /// Whether it was taken; an answer always is.
    pub(crate) fn push(&mut self, item: Item) -> bool {
        let (waiting, max) = match &item {
            Item::Gossip(_) => (&mut self.gossip, self.gossip_max),
            Item::Request(_) => (&mut self.requests, self.requests_max),
            Item::Answer(..) => {
                self.items.push_back(item);
                return true;
            }
        };
        if *waiting >= max {
            return false;
        }
        *waiting += 1;
        self.items.push_back(item);
        true
    }

    /// Whether a gossip message would be taken.
    pub(crate) fn has_room_for_gossip(&self) -> bool {
        self.gossip < self.gossip_max
    }

    /// The next event, and the peer of whom it frees a request slot.
    pub(crate) fn next(&mut self) -> Option<(Event, Option<PeerId>)> {
        if let Some(address) = self.listening.pop_front() {
            return Some((Event::Listening(address), None));
        }
        while let Some(peer) = self.order.front().copied() {
            if let Some(event) = self.next_change(peer) {
                return Some((event, None));
            }
            self.changes.remove(&peer);
            self.order.pop_front();
        }
        match self.items.pop_front()? {
            Item::Gossip(event) => {
                self.gossip -= 1;
                Some((event, None))
            }
            Item::Request(event) => {
                self.requests -= 1;
                Some((event, None))
            }
            Item::Answer(event, slot) => Some((event, slot)),
        }
    }

    fn next_change(&mut self, peer: PeerId) -> Option<Event> {
        let change = self.changes.get_mut(&peer)?;
        if std::mem::take(&mut change.gone) {
            return Some(Event::Disconnected { peer });
        }
        if let Some(Path { address, transport, outbound }) = change.here.take() {
            return Some(Event::Connected { peer, address, transport, outbound });
        }
        if let Some(Path { address, transport, outbound }) = change.path.take() {
            return Some(Event::PathChanged { peer, address, transport, outbound });
        }
        if let Some(micros) = change.rtt_us.take() {
            return Some(Event::Rtt { peer, micros });
        }
        if change.found.is_empty() {
            return None;
        }
        self.found -= 1;
        Some(Event::Discovered { peer, addrs: std::mem::take(&mut change.found) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(address: &str) -> Path {
        Path { address: address.into(), transport: "tcp", outbound: true }
    }

    fn drain(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.next())
            .map(|(event, _)| match event {
                Event::Connected { address, .. } => format!("+{address}"),
                Event::Disconnected { .. } => "-".into(),
                Event::PathChanged { address, .. } => format!("~{address}"),
                Event::Rtt { micros, .. } => micros.to_string(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn connection_events_coalesce_and_tell_a_gap() {
        let peer = PeerId::from_ed25519([1; 32]);
        let mut outbox = Outbox::new(1, 1);
        outbox.connected(peer, path("a"));
        outbox.rtt(peer, 5);
        outbox.rtt(peer, 6);
        outbox.path_changed(peer, path("b"));
        assert_eq!(drain(&mut outbox), ["+b", "6"]);
        outbox.disconnected(peer);
        outbox.connected(peer, path("c"));
        outbox.disconnected(peer);
        outbox.connected(peer, path("d"));
        assert_eq!(drain(&mut outbox), ["-", "+d"]);
        outbox.disconnected(peer);
        outbox.connected(peer, path("e"));
        outbox.disconnected(peer);
        assert_eq!(drain(&mut outbox), ["-"]);
        outbox.connected(peer, path("f"));
        outbox.disconnected(peer);
        assert!(drain(&mut outbox).is_empty() && outbox.is_empty());
    }

    #[test]
    fn gossip_requests_and_discoveries_are_bounded() {
        let peer = PeerId::from_ed25519([1; 32]);
        let mut outbox = Outbox::new(2, 1);
        let event = || Event::Listening("x".into());
        assert!(outbox.push(Item::Gossip(event())) && outbox.push(Item::Gossip(event())));
        assert!(!outbox.push(Item::Gossip(event())) && !outbox.has_room_for_gossip());
        assert!(outbox.push(Item::Request(event())) && !outbox.push(Item::Request(event())));
        assert!(outbox.push(Item::Answer(event(), Some(peer))));
        assert_eq!(std::iter::from_fn(|| outbox.next()).filter_map(|(_, slot)| slot).collect::<Vec<_>>(), [peer]);
        assert!(outbox.push(Item::Gossip(event())) && outbox.push(Item::Request(event())));
        for n in 0..=u8::MAX {
            assert!(outbox.discovered(PeerId::from_ed25519([n; 32]), "a".into()));
        }
        let mut other = [0; 32];
        other[0] = 1;
        assert!(!outbox.discovered(PeerId::from_ed25519(other), "a".into()));
        for n in 0..100 {
            outbox.discovered(peer, n.to_string());
        }
        assert_eq!(outbox.changes[&peer].found.len(), FOUND_ADDRS_MAX);
    }

    proptest! {
        /// Whatever happens and whenever the reader reads: it sees Connected and Disconnected in turn, and in the end the truth.
        #[test]
        fn the_reader_ends_up_with_the_truth(steps in proptest::collection::vec((0u8..3, any::<bool>()), 0..60)) {
            let peer = PeerId::from_ed25519([1; 32]);
            let mut outbox = Outbox::new(1, 1);
            let (mut real, mut seen) = (false, false);
            let mut read = |outbox: &mut Outbox, all: bool| {
                while let Some((event, _)) = outbox.next() {
                    match event {
                        Event::Connected { .. } => { assert!(!seen); seen = true; }
                        Event::Disconnected { .. } => { assert!(seen); seen = false; }
                        _ => assert!(seen),
                    }
                    if !all { break; }
                }
                seen
            };
            for (step, reads) in steps {
                match (step, real) {
                    (0, false) => { outbox.connected(peer, path("a")); real = true; }
                    (1, true) => { outbox.disconnected(peer); real = false; }
                    (2, true) => outbox.path_changed(peer, path("b")),
                    _ => {}
                }
                if reads { read(&mut outbox, false); }
            }
            prop_assert_eq!(read(&mut outbox, true), real);
        }
    }
}
