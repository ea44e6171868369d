//! The JSON of a charter version, and its seal.

use super::body::{Charter, Cutoff, KeyEntry, Member, Removed, Role, Visibility};
use crate::text::is_label;
use crate::{Commitment, Event, NostrKey, SealError, SpaceKey, h_tag, kinds, seal};
use proto::limits::{EVENT_BYTES_MAX, MEMBERS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;
use types::{EventId, KeyId, MeshId, PeerId, PubKey, UnixSecs};

/// Version of the body's JSON.
pub const CHARTER_BODY_VERSION: u64 = 1;

/// Predecessors of one version.
const PREV_MAX: usize = 16;
/// Keys of a space.
const KEYS_MAX: usize = 512;
/// Incarnations that one removal names.
const CUTOFFS_MAX: usize = 512;
/// Roles of one member.
const ROLES_MAX: usize = 16;

/// Why a body is not a charter version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The event would be, or the body is, larger than an event may be.
    #[error("charter of {0} bytes")]
    TooLarge(usize),
    /// Not the JSON that was expected.
    #[error("malformed charter: {0}")]
    Malformed(String),
    /// Made by a newer program, whose rules this one does not know.
    #[error("charter body version {0} is newer than this program")]
    Newer(u64),
    /// A field that is out of range or contradicts another.
    #[error("the charter's {0} is invalid")]
    Field(&'static str),
    /// It does not open.
    #[error("sealed charter: {0}")]
    Seal(#[from] SealError),
    /// Its key is not held here.
    #[error("the charter's key {0} is not held here")]
    NoKey(KeyId),
}

#[derive(Serialize, Deserialize)]
struct Body {
    v: u64,
    n: u64,
    prev: Vec<EventId>,
    name: String,
    mesh: MeshId,
    visibility: String,
    members: Vec<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coordinator: Option<PubKey>,
    #[serde(default)]
    successors: Vec<PubKey>,
    #[serde(default)]
    witnesses: Vec<PubKey>,
    #[serde(default)]
    policy: Map<String, Value>,
    #[serde(default)]
    keys: Vec<KeyBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_key: Option<KeyId>,
    next_owner: String,
    #[serde(default)]
    removed: Vec<RemovedBody>,
}

const BODY_FIELDS: [&str; 15] = [
    "v",
    "n",
    "prev",
    "name",
    "mesh",
    "visibility",
    "members",
    "coordinator",
    "successors",
    "witnesses",
    "policy",
    "keys",
    "current_key",
    "next_owner",
    "removed",
];

#[derive(Serialize, Deserialize)]
struct KeyBody {
    id: KeyId,
}

#[derive(Serialize, Deserialize)]
struct MemberBody {
    npub: PubKey,
    peer_id: PeerId,
    name: String,
    owner: PubKey,
    roles: Vec<String>,
}

const MEMBER_FIELDS: [&str; 5] = ["npub", "peer_id", "name", "owner", "roles"];

#[derive(Serialize, Deserialize)]
struct RemovedBody {
    npub: PubKey,
    cutoffs: Vec<CutoffBody>,
}

#[derive(Serialize, Deserialize)]
struct CutoffBody {
    incarnation: u64,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
}

fn malformed(error: &dyn std::fmt::Display) -> BodyError {
    BodyError::Malformed(error.to_string())
}

fn without(mut map: Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    map.retain(|name, _| !known.contains(&name.as_str()));
    map
}

/// An object with its unknown fields behind the known ones.
fn with<T: Serialize>(known: &T, unknown: &Map<String, Value>) -> Map<String, Value> {
    // SAFETY: the bodies are structs of texts, numbers and JSON.
    #[allow(clippy::expect_used)]
    let value = serde_json::to_value(known).expect("plain data");
    let mut map = value.as_object().cloned().unwrap_or_default();
    for (name, value) in unknown {
        map.entry(name.clone()).or_insert_with(|| value.clone());
    }
    map
}

impl Member {
    fn encode(&self) -> Map<String, Value> {
        let roles = self.roles.iter().map(Role::to_string).collect();
        let (npub, peer_id, owner, name) = (self.npub, self.peer_id, self.owner, self.name.clone());
        with(&MemberBody { npub, peer_id, name, owner, roles }, &self.unknown)
    }

    fn decode(map: Map<String, Value>) -> Result<Member, BodyError> {
        let body: MemberBody = serde_json::from_value(Value::Object(map.clone())).map_err(|e| malformed(&e))?;
        let roles: Option<Vec<Role>> = body.roles.iter().map(|r| Role::parse(r)).collect();
        let (npub, peer_id, name, owner) = (body.npub, body.peer_id, body.name, body.owner);
        let roles = roles.ok_or(BodyError::Field("role"))?;
        Ok(Member { npub, peer_id, name, owner, roles, unknown: without(map, &MEMBER_FIELDS) })
    }
}

impl Charter {
    /// The body's JSON.
    pub fn encode(&self) -> Vec<u8> {
        let cutoff = |c: &Cutoff| CutoffBody { incarnation: c.incarnation, seq: c.seq, id: c.id };
        let removed = |r: &Removed| RemovedBody { npub: r.npub, cutoffs: r.cutoffs.iter().map(cutoff).collect() };
        let body = Body {
            v: CHARTER_BODY_VERSION,
            n: self.n,
            prev: self.prev.clone(),
            name: self.name.clone(),
            mesh: self.mesh,
            visibility: match self.visibility {
                Visibility::Private => "private".to_owned(),
                Visibility::Public => "public".to_owned(),
            },
            members: self.members.iter().map(Member::encode).collect(),
            coordinator: self.coordinator,
            successors: self.successors.clone(),
            witnesses: self.witnesses.clone(),
            policy: self.policy.clone(),
            keys: self.keys.iter().map(|k| KeyBody { id: k.id }).collect(),
            current_key: self.current_key,
            next_owner: hex::encode(self.next_owner.0),
            removed: self.removed.iter().map(removed).collect(),
        };
        Value::Object(with(&body, &self.unknown)).to_string().into_bytes()
    }

    /// Reads a body. What it says about other versions is checked by [`super::CharterChain`].
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode(bytes: &[u8]) -> Result<Charter, BodyError> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(BodyError::TooLarge(bytes.len()));
        }
        let map: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
        match map.get("v").and_then(Value::as_u64) {
            Some(CHARTER_BODY_VERSION) => (),
            Some(v) if v > CHARTER_BODY_VERSION => return Err(BodyError::Newer(v)),
            _ => return Err(BodyError::Field("v")),
        }
        let body: Body = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
        let cutoff = |c: CutoffBody| Cutoff { incarnation: c.incarnation, seq: c.seq, id: c.id };
        let removed = |r: RemovedBody| Removed { npub: r.npub, cutoffs: r.cutoffs.into_iter().map(cutoff).collect() };
        let charter = Charter {
            n: body.n,
            prev: body.prev,
            name: body.name,
            mesh: body.mesh,
            visibility: match body.visibility.as_str() {
                "private" => Visibility::Private,
                "public" => Visibility::Public,
                _ => return Err(BodyError::Field("visibility")),
            },
            members: body.members.into_iter().map(Member::decode).collect::<Result<_, _>>()?,
            coordinator: body.coordinator,
            successors: body.successors,
            witnesses: body.witnesses,
            policy: body.policy,
            keys: body.keys.into_iter().map(|k| KeyEntry { id: k.id }).collect(),
            current_key: body.current_key,
            next_owner: crate::event::lower_hex(&body.next_owner)
                .map(Commitment)
                .ok_or(BodyError::Field("next_owner"))?,
            removed: body.removed.into_iter().map(removed).collect(),
            unknown: without(map, &BODY_FIELDS),
        };
        charter.check()?;
        Ok(charter)
    }

    /// What can be checked of a version alone.
    fn check(&self) -> Result<(), BodyError> {
        let must = |good: bool, field| if good { Ok(()) } else { Err(BodyError::Field(field)) };
        let mut npubs = HashSet::new();
        let mut peers = HashSet::new();
        must(is_label(&self.name), "name")?;
        must(self.prev.len() <= PREV_MAX && distinct(&self.prev), "prev")?;
        must((self.n == 1) == self.prev.is_empty() && self.n > 0, "n")?;
        must(self.members.len() <= MEMBERS_MAX, "members")?;
        must(self.members.iter().all(|m| npubs.insert(m.npub) && peers.insert(m.peer_id)), "members")?;
        must(self.members.iter().all(|m| is_label(&m.name)), "member name")?;
        must(self.members.iter().all(|m| m.roles.len() <= ROLES_MAX && distinct(&m.roles)), "roles")?;
        must(self.successors.len() <= MEMBERS_MAX && distinct(&self.successors), "successors")?;
        must(self.witnesses.len() <= MEMBERS_MAX && distinct(&self.witnesses), "witnesses")?;
        must(self.coordinator.is_none_or(|c| npubs.contains(&c)), "coordinator")?;
        let keys: Vec<KeyId> = self.keys.iter().map(|k| k.id).collect();
        must(keys.len() <= KEYS_MAX && distinct(&keys), "keys")?;
        must(keys.is_empty() == (self.visibility == Visibility::Public), "keys")?;
        must(self.current_key.is_some() != keys.is_empty(), "current_key")?;
        must(self.current_key.is_none_or(|k| keys.contains(&k)), "current_key")?;
        must(self.removed.len() <= MEMBERS_MAX, "removed")?;
        let gone: Vec<PubKey> = self.removed.iter().map(|r| r.npub).collect();
        must(distinct(&gone), "removed")?;
        // Who is cut off by a version does not write under it; coming back takes a later one.
        must(!gone.iter().any(|npub| self.may_write(npub)), "removed")?;
        for removed in &self.removed {
            let incarnations: Vec<u64> = removed.cutoffs.iter().map(|c| c.incarnation).collect();
            must(incarnations.len() <= CUTOFFS_MAX && distinct(&incarnations), "cutoffs")?;
            must(removed.cutoffs.iter().all(|c| (c.seq == 0) == c.id.is_none()), "cutoffs")?;
        }
        Ok(())
    }

    /// Signs this version. `sealed` holds the space secret (its first key), the key to seal under (for the first
    /// version its own first key, else the one that was current in a predecessor) and 24 fresh random bytes;
    /// `None` for a public space, whose id is `space` (`None` for its first version). `aux` is 32 fresh random bytes.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`], or [`BodyError::Field`] when the version contradicts itself.
    pub fn sign(
        &self,
        owner: &NostrKey,
        created_at: UnixSecs,
        sealed: Option<(&SpaceKey, &SpaceKey, [u8; 24])>,
        space: Option<types::SpaceId>,
        aux: [u8; 32],
    ) -> Result<Event, BodyError> {
        self.check()?;
        if sealed.is_some() != (self.visibility == Visibility::Private) {
            return Err(BodyError::Field("visibility"));
        }
        let tag = |name: &str, value: String| vec![name.to_owned(), value];
        let mut tags = vec![tag("v", proto::names::EVENT_VERSION.to_string())];
        let content = match sealed {
            Some((secret, key, nonce)) => {
                let h = h_tag(secret);
                tags.extend([tag("h", h.clone()), tag("k", key.id().to_string())]);
                seal(key, &owner.public(), kinds::CHARTER, &h, &self.encode(), nonce)
            }
            None => {
                tags.extend(space.map(|id| tag("h", id.to_string())));
                String::from_utf8(self.encode()).map_err(|e| malformed(&e))?
            }
        };
        let event = owner.sign(kinds::CHARTER, created_at, tags, content, aux);
        match event.to_json().len() {
            len if len > EVENT_BYTES_MAX => Err(BodyError::TooLarge(len)),
            _ => Ok(event),
        }
    }

    /// The version inside an event. `keys` gives the space's keys by their id.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn read(event: &Event, keys: &dyn Fn(&KeyId) -> Option<SpaceKey>) -> Result<Charter, BodyError> {
        if event.kind() != kinds::CHARTER || event.tag("v") != Some("1") {
            return Err(BodyError::Field("kind"));
        }
        let Some(id) = event.tag("k") else { return Charter::decode(event.content().as_bytes()) };
        let id: KeyId = id.parse().map_err(|_| BodyError::Field("key id"))?;
        let key = keys(&id).filter(|key| key.id() == id).ok_or(BodyError::NoKey(id))?;
        let h = event.tag("h").ok_or(BodyError::Field("h tag"))?;
        let plain = crate::open(&key, &event.pubkey(), event.kind(), h, event.content(), EVENT_BYTES_MAX)?;
        Charter::decode(&plain)
    }
}

fn distinct<T: Ord>(items: &[T]) -> bool {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}
