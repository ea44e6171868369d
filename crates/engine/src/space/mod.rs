//! Spaces: what is replicated together, who may, and how one becomes a member.

mod charter;
mod coordinator;
mod create;
mod history;
mod join;
mod ticket;

pub(crate) use charter::read_chain;
pub(crate) use join::PendingJoin;

use crate::checkpoint::Checkpoints;
use crate::input::AskId;
use crate::op::Op;
use crate::records::space::SpaceRecord;
use crate::sync::{Ends, RemoteTip};
use identity::{CharterChain, Event, SpaceKey};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use types::{EventId, KeyId, PeerId, PubKey, SpaceId, UnixMs, Writer};

/// A pull under way.
#[derive(Debug)]
pub(crate) struct Pull {
    pub(crate) ask: AskId,
    pub(crate) peer: PeerId,
    /// New ops so far.
    pub(crate) applied: u64,
    /// Writers whose ops did not join on to what we hold.
    pub(crate) gaps: BTreeSet<Writer>,
    /// It fetches ops below the base; so many were missing when it began.
    pub(crate) fills: Option<u64>,
    /// Pages so far.
    pub(crate) pages: u64,
}

/// A space as it lives in memory: its records plus what is known of peers.
pub(crate) struct Space {
    pub(crate) id: SpaceId,
    pub(crate) record: SpaceRecord,
    pub(crate) h: String,
    pub(crate) topic: String,
    pub(crate) charter: CharterChain,
    pub(crate) keys: Vec<SpaceKey>,
    /// Ends of every chain that we hold.
    pub(crate) ends: Ends,
    /// Ops kept aside until this machine's clock reaches them.
    pub(crate) waiting: usize,
    /// Writers whose next op waits: until when (Unix ms).
    pub(crate) blocked: HashMap<Writer, u64>,
    /// Ops that were refused: not asked for again.
    pub(crate) refused: HashSet<EventId>,
    pub(crate) peer_heads: BTreeMap<PeerId, Vec<RemoteTip>>,
    pub(crate) asked_at: HashMap<PeerId, UnixMs>,
    pub(crate) ask_again: BTreeSet<PeerId>,
    /// How far below our own end to ask, for writers whose chains have parted.
    pub(crate) back: HashMap<Writer, u64>,
    pub(crate) pull: Option<Pull>,
    pub(crate) exchange_at: UnixMs,
    /// When to see whether what was gossiped has arrived.
    pub(crate) confirm_at: Option<UnixMs>,
    pub(crate) checkpoints: Checkpoints,
}

impl Space {
    pub(crate) fn new(id: SpaceId, record: SpaceRecord, charter: CharterChain, now: UnixMs) -> Space {
        let keys: Vec<SpaceKey> = record.keys.iter().map(|k| SpaceKey::from_bytes(*k)).collect();
        let (h, topic) = names(&id, &keys);
        Space {
            id,
            record,
            h,
            topic,
            charter,
            keys,
            ends: Ends::new(),
            waiting: 0,
            blocked: HashMap::new(),
            refused: HashSet::new(),
            peer_heads: BTreeMap::new(),
            asked_at: HashMap::new(),
            ask_again: BTreeSet::new(),
            back: HashMap::new(),
            pull: None,
            exchange_at: crate::sync::first_exchange(now),
            confirm_at: None,
            checkpoints: Checkpoints::default(),
        }
    }

    /// What is told of the charter: its newest version, or a hash over several concurrent ones. A peer that lacks one
    /// of them would not notice by the id of another that it holds.
    pub(crate) fn charter_stamp(&self) -> EventId {
        match self.charter.heads().as_slice() {
            [only] => *only,
            several => {
                EventId(several.iter().fold(Sha256::new(), |hash, id| hash.chain_update(id.0)).finalize().into())
            }
        }
    }

    /// Whether an op goes on from an end of its writer's chain.
    pub(crate) fn follows_an_end(&self, op: &Op) -> bool {
        let ends = self.ends.get(&op.writer);
        op.prev.as_ref().zip(ends).is_some_and(|(prev, ends)| ends.contains(op.seq - 1, prev))
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<&SpaceKey> {
        self.keys.iter().find(|k| k.id() == *id)
    }

    /// Tags and content of an event: sealed under the newest key, or in the clear when the space is public.
    pub(crate) fn close(&self, author: &PubKey, kind: u16, body: &[u8], nonce: [u8; 24]) -> (Vec<Vec<String>>, String) {
        close(self.keys.last(), &self.h, author, kind, body, nonce)
    }

    /// The body of an event of this space, or the code of what is wrong with it.
    pub(crate) fn open(&self, event: &Event) -> Result<Vec<u8>, &'static str> {
        if event.tag("h") != Some(self.h.as_str()) {
            return Err("wrong_space");
        }
        if self.record.public {
            return Ok(event.content().as_bytes().to_vec());
        }
        let id: KeyId = event.tag("k").and_then(|k| k.parse().ok()).ok_or("no_key_id")?;
        let key = self.key(&id).ok_or("unknown_key")?;
        identity::open(key, &event.pubkey(), event.kind(), &self.h, event.content(), proto::limits::EVENT_BYTES_MAX)
            .map_err(|_| "unsealable")
    }
}

/// `h` tag and topic of a space.
pub(crate) fn names(id: &SpaceId, keys: &[SpaceKey]) -> (String, String) {
    match (keys.first(), keys.last()) {
        (Some(secret), Some(newest)) => (identity::h_tag(secret), identity::topic(newest)),
        _ => (id.to_string(), identity::public_topic(id)),
    }
}

/// Tags and content of an event of a space with this newest key (none: public).
pub(crate) fn close(
    key: Option<&SpaceKey>,
    h: &str,
    author: &PubKey,
    kind: u16,
    body: &[u8],
    nonce: [u8; 24],
) -> (Vec<Vec<String>>, String) {
    let tag = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut tags = vec![tag("v", "1"), tag("h", h)];
    match key {
        Some(key) => {
            tags.push(tag("k", &key.id().to_string()));
            (tags, identity::seal(key, author, kind, h, body, nonce))
        }
        None => (tags, String::from_utf8_lossy(body).into_owned()),
    }
}
