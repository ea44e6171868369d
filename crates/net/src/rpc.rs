//! Requests in bounded numbers. libp2p has no queue for them: what exceeds its limit of streams fails, or is dropped
//! by the other side without a word.

use crate::behaviour::Place;
use crate::codec;
use crate::codec::Answer;
use crate::error::RequestError;
use libp2p::request_response::{InboundRequestId, OutboundFailure, OutboundRequestId, ResponseChannel};
use proto::limits::{RPC_BYTES_MAX, RPC_CONCURRENT_MAX};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use types::PeerId;

/// Our requests to one peer.
#[derive(Default)]
struct Slots {
    /// Sent, or answered but the answer not yet taken.
    used: usize,
    queue: VecDeque<Queued>,
}

/// A request that waits for a slot.
struct Queued {
    id: u64,
    body: Vec<u8>,
    since: Instant,
}

/// Our requests.
pub(crate) struct Outgoing {
    peers: HashMap<PeerId, Slots>,
    sent: HashMap<(Place, OutboundRequestId), (PeerId, u64)>,
    queue_max: usize,
    wait_max: Duration,
}

impl Outgoing {
    pub(crate) fn new(queue_max: usize, wait_max: Duration) -> Outgoing {
        Outgoing { peers: HashMap::new(), sent: HashMap::new(), queue_max, wait_max }
    }

    /// Queues a request.
    pub(crate) fn push(&mut self, peer: PeerId, id: u64, body: Vec<u8>, now: Instant) -> Result<(), RequestError> {
        if body.len() > RPC_BYTES_MAX {
            return Err(RequestError::TooLarge { max: RPC_BYTES_MAX });
        }
        let slots = self.peers.entry(peer).or_default();
        if slots.queue.len() >= self.queue_max {
            return Err(RequestError::Busy);
        }
        slots.queue.push_back(Queued { id, body, since: now });
        Ok(())
    }

    /// The next request to this peer that may be sent now; its slot is taken.
    pub(crate) fn pop(&mut self, peer: &PeerId) -> Option<(u64, Vec<u8>)> {
        let slots = self.peers.get_mut(peer)?;
        if slots.used >= RPC_CONCURRENT_MAX {
            return None;
        }
        let Queued { id, body, .. } = slots.queue.pop_front()?;
        slots.used += 1;
        Some((id, body))
    }

    /// It was sent under this libp2p id.
    pub(crate) fn sent(&mut self, request: (Place, OutboundRequestId), peer: PeerId, id: u64) {
        self.sent.insert(request, (peer, id));
    }

    /// It is answered, or failed; the slot stays taken until [`Outgoing::free`].
    pub(crate) fn answered(&mut self, request: &(Place, OutboundRequestId)) -> Option<(PeerId, u64)> {
        self.sent.remove(request)
    }

    /// The reader took an answer of this peer.
    pub(crate) fn free(&mut self, peer: &PeerId) {
        if let Some(slots) = self.peers.get_mut(peer) {
            slots.used = slots.used.saturating_sub(1);
            if slots.used == 0 && slots.queue.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    /// The peer is gone: takes out what still waited.
    pub(crate) fn gone(&mut self, peer: &PeerId) -> Vec<u64> {
        let Some(slots) = self.peers.get_mut(peer) else { return Vec::new() };
        let ids = slots.queue.drain(..).map(|queued| queued.id).collect();
        if slots.used == 0 {
            self.peers.remove(peer);
        }
        ids
    }

    /// Takes out what waited too long for a slot.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<u64> {
        let mut ids = Vec::new();
        for slots in self.peers.values_mut() {
            while slots.queue.front().is_some_and(|queued| now.duration_since(queued.since) > self.wait_max) {
                ids.extend(slots.queue.pop_front().map(|queued| queued.id));
            }
        }
        self.peers.retain(|_, slots| slots.used > 0 || !slots.queue.is_empty());
        ids
    }
}

/// What a failure means to the caller.
pub(crate) fn failure(error: OutboundFailure) -> RequestError {
    match error {
        OutboundFailure::DialFailure => RequestError::NotConnected,
        OutboundFailure::Timeout => RequestError::Timeout,
        OutboundFailure::ConnectionClosed => RequestError::Closed,
        OutboundFailure::UnsupportedProtocols => RequestError::Unsupported,
        OutboundFailure::Io(error) if codec::is_too_large(&error) => RequestError::TooLarge { max: RPC_BYTES_MAX },
        OutboundFailure::Io(error) => RequestError::Stream(error.to_string()),
    }
}

/// What an answer means to the caller.
pub(crate) fn result(answer: Answer) -> Result<Vec<u8>, RequestError> {
    match answer {
        Answer::Body(body) => Ok(body),
        Answer::Busy => Err(RequestError::Busy),
        Answer::TooLarge => Err(RequestError::TooLarge { max: RPC_BYTES_MAX }),
    }
}

/// Which request of which protocol.
type Asked = (Place, InboundRequestId);

/// Requests of peers that wait for our answer.
#[derive(Default)]
pub(crate) struct Incoming {
    next: u64,
    waiting: HashMap<u64, (PeerId, Asked, ResponseChannel<Answer>)>,
    numbers: HashMap<Asked, u64>,
    per_peer: HashMap<PeerId, usize>,
}

impl Incoming {
    /// Keeps a request; gives the channel back when the peer has too many.
    pub(crate) fn insert(
        &mut self,
        peer: PeerId,
        request: (Place, InboundRequestId),
        channel: ResponseChannel<Answer>,
    ) -> Result<u64, ResponseChannel<Answer>> {
        let count = self.per_peer.entry(peer).or_default();
        if *count >= RPC_CONCURRENT_MAX {
            return Err(channel);
        }
        *count += 1;
        self.next += 1;
        self.numbers.insert(request, self.next);
        self.waiting.insert(self.next, (peer, request, channel));
        Ok(self.next)
    }

    /// Takes a request out to answer it.
    pub(crate) fn remove(&mut self, number: u64) -> Option<ResponseChannel<Answer>> {
        let (peer, request, channel) = self.waiting.remove(&number)?;
        self.numbers.remove(&request);
        if let Some(count) = self.per_peer.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_peer.remove(&peer);
            }
        }
        Some(channel)
    }

    /// The request broke off.
    pub(crate) fn broken(&mut self, request: &(Place, InboundRequestId)) {
        if let Some(number) = self.numbers.get(request).copied() {
            drop(self.remove(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_queue_are_bounded_and_free_up() {
        let (peer, now) = (PeerId::from_ed25519([1; 32]), Instant::now());
        let mut out = Outgoing::new(40, Duration::from_secs(1));
        for id in 0..40 {
            out.push(peer, id, vec![], now).unwrap();
        }
        assert_eq!(out.push(peer, 40, vec![], now), Err(RequestError::Busy));
        let mut sent = 0;
        while out.pop(&peer).is_some() {
            sent += 1;
        }
        assert_eq!(sent, RPC_CONCURRENT_MAX);
        out.free(&peer);
        assert_eq!(out.pop(&peer), Some((RPC_CONCURRENT_MAX as u64, vec![])));
        assert!(out.expired(now).is_empty());
        assert_eq!(out.expired(now + Duration::from_secs(2)).len(), 40 - RPC_CONCURRENT_MAX - 1);
        assert_eq!(
            out.push(peer, 50, vec![0; RPC_BYTES_MAX + 1], now),
            Err(RequestError::TooLarge { max: RPC_BYTES_MAX })
        );
        out.push(peer, 51, vec![], now).unwrap();
        assert_eq!(out.gone(&peer), [51]);
        for _ in 0..RPC_CONCURRENT_MAX {
            out.free(&peer);
        }
        assert!(out.peers.is_empty());
    }
}
