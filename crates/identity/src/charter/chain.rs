//! All known versions of one space's charter, and what they mean together.
//!
//! Everything that is asked of a chain is a function of the set of its versions, whatever the order in which they came.

use super::body::{Charter, Member, Role, Visibility};
use super::codec::BodyError;
use super::graph::Set;
use crate::{Commitment, Event, SpaceKey, h_tag};
use std::collections::{HashMap, HashSet};
use types::{EventId, KeyId, MeshId, PubKey, SpaceId};

/// Versions of one charter. Every joining and leaving makes one.
pub const CHARTER_VERSIONS_MAX: usize = 4_096;

/// Why an event is no version of this charter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Its body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A first version was expected, or came although there is another.
    #[error("not the first version of this charter")]
    Genesis,
    /// The tags are those of another space.
    #[error("the version belongs to another space")]
    AnotherSpace,
    /// A version that it follows is not known (yet).
    #[error("the version follows {0}, which is not known here")]
    MissingPrev(EventId),
    /// It changes what may not change, or its number does not follow.
    #[error("the version's {0} does not follow from its predecessors")]
    DoesNotFollow(&'static str),
    /// Signed by somebody who does not own its predecessors.
    #[error("the version is not signed by the owner of its predecessors")]
    NotOwner,
    /// Somebody loses the right to write, and the version does not say up to which op.
    #[error("the version takes {0} the right to write without naming its last ops")]
    UnnamedRemoval(PubKey),
    /// More than [`CHARTER_VERSIONS_MAX`] versions.
    #[error("more than {CHARTER_VERSIONS_MAX} charter versions")]
    TooMany,
}

impl CharterError {
    /// A stable machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            CharterError::Body(BodyError::NoKey(_)) => "charter_unknown_key",
            CharterError::Body(BodyError::Newer(_)) => "newer_charter_version",
            CharterError::Body(_) => "malformed_charter",
            CharterError::Genesis => "charter_genesis",
            CharterError::AnotherSpace => "wrong_space",
            CharterError::MissingPrev(_) => "charter_missing_prev",
            CharterError::DoesNotFollow(_) => "charter_does_not_follow",
            CharterError::NotOwner => "charter_not_owner",
            CharterError::UnnamedRemoval(_) => "charter_unnamed_removal",
            CharterError::TooMany => "charter_too_many",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: EventId,
    pub(super) charter: Charter,
    /// Every version before it.
    pub(super) before: Set,
    signer: PubKey,
}

/// A space's charter.
#[derive(Clone, Debug)]
pub struct CharterChain {
    space: SpaceId,
    h: String,
    pub(super) versions: Vec<Version>,
    pub(super) index: HashMap<EventId, usize>,
    /// Which versions take a host's right to write.
    pub(super) removals: HashMap<PubKey, Vec<usize>>,
    /// Per version the rotations that retired its owner's key.
    retired: HashMap<usize, Vec<usize>>,
    pub(super) void: Set,
    heads: Vec<usize>,
    members: Vec<Member>,
    ever: HashSet<PubKey>,
}

/// Gives a space's keys by their id.
type Keys<'a> = &'a dyn Fn(&KeyId) -> Option<SpaceKey>;

impl CharterChain {
    /// A chain from its first version.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn genesis(event: &Event, keys: Keys<'_>) -> Result<CharterChain, CharterError> {
        let mut chain = CharterChain::begin(event, Charter::read(event, keys)?, keys)?;
        chain.refresh();
        Ok(chain)
    }

    /// A chain from all its versions, in any order.
    ///
    /// # Errors
    /// [`CharterError`]; one bad version spoils the whole, so that nobody can hide one among good ones.
    pub fn from_events(events: &[Event], keys: Keys<'_>) -> Result<CharterChain, CharterError> {
        if events.len() > CHARTER_VERSIONS_MAX {
            return Err(CharterError::TooMany);
        }
        let mut read: Vec<(&Event, Charter)> =
            events.iter().map(|event| Ok((event, Charter::read(event, keys)?))).collect::<Result<_, BodyError>>()?;
        // A version's number is above those of its predecessors.
        read.sort_by_key(|(event, charter)| (charter.n, event.id()));
        let mut read = read.into_iter();
        let (first, charter) = read.next().ok_or(CharterError::Genesis)?;
        let mut chain = CharterChain::begin(first, charter, keys)?;
        for (event, charter) in read {
            chain.insert(event, charter)?;
        }
        chain.refresh();
        Ok(chain)
    }

    fn begin(event: &Event, charter: Charter, keys: Keys<'_>) -> Result<CharterChain, CharterError> {
        if !charter.prev.is_empty() {
            return Err(CharterError::Genesis);
        }
        let space = SpaceId(event.id().0);
        let (h, tag) = match charter.keys.first() {
            None => (space.to_string(), None),
            Some(first) => {
                let secret = keys(&first.id).filter(|k| k.id() == first.id).ok_or(BodyError::NoKey(first.id))?;
                (h_tag(&secret), Some(h_tag(&secret)))
            }
        };
        let sealed_under = charter.keys.first().map(|k| k.id.to_string());
        if event.tag("h") != tag.as_deref() || event.tag("k") != sealed_under.as_deref() {
            return Err(CharterError::AnotherSpace);
        }
        let mut chain = CharterChain {
            space,
            h,
            versions: Vec::new(),
            index: HashMap::new(),
            removals: HashMap::new(),
            retired: HashMap::new(),
            void: Set::default(),
            heads: Vec::new(),
            members: Vec::new(),
            ever: HashSet::new(),
        };
        chain.push(event, charter, Set::default());
        Ok(chain)
    }

    /// Takes in a further version; says whether it was new.
    ///
    /// # Errors
    /// [`CharterError`]; the chain is as it was. After [`CharterError::MissingPrev`] the version may be tried again.
    pub fn extend(&mut self, event: &Event, keys: Keys<'_>) -> Result<bool, CharterError> {
        if self.knows(&event.id()) {
            return Ok(false);
        }
        let new = self.insert(event, Charter::read(event, keys)?)?;
        self.refresh();
        Ok(new)
    }

    fn insert(&mut self, event: &Event, charter: Charter) -> Result<bool, CharterError> {
        if self.knows(&event.id()) {
            return Ok(false);
        }
        if self.versions.len() >= CHARTER_VERSIONS_MAX {
            return Err(CharterError::TooMany);
        }
        if charter.prev.is_empty() {
            return Err(CharterError::Genesis);
        }
        if event.tag("h") != Some(self.h.as_str()) {
            return Err(CharterError::AnotherSpace);
        }
        let known = |id: &EventId| self.index.get(id).copied().ok_or(CharterError::MissingPrev(*id));
        let prev: Vec<usize> = charter.prev.iter().map(known).collect::<Result<_, _>>()?;
        let mut before = Set::default();
        for at in &prev {
            before.add(&self.versions[*at].before);
            before.insert(*at);
        }
        self.follows(event, &charter, &prev)?;
        self.owned(&event.pubkey(), &prev, &before)?;
        self.removals_named(&charter, &prev, &before)?;
        self.push(event, charter, before);
        Ok(true)
    }

    fn follows(&self, event: &Event, charter: &Charter, prev: &[usize]) -> Result<(), CharterError> {
        let must = |good: bool, what| if good { Ok(()) } else { Err(CharterError::DoesNotFollow(what)) };
        let prev = || prev.iter().map(|at| &self.versions[*at].charter);
        must(prev().map(|p| p.n).max().and_then(|n| n.checked_add(1)) == Some(charter.n), "number")?;
        must(prev().all(|p| p.mesh == charter.mesh), "mesh")?;
        must(prev().all(|p| p.visibility == charter.visibility), "visibility")?;
        must(prev().all(|p| p.keys.iter().all(|key| charter.keys.contains(key))), "keys")?;
        must(charter.keys.first() == self.versions[0].charter.keys.first(), "first key")?;
        let sealed_under: Option<KeyId> = event.tag("k").and_then(|k| k.parse().ok());
        must(prev().any(|p| p.current_key == sealed_under), "sealing key")
    }

    /// The signer owns every predecessor, or was committed to by it. A predecessor whose owner's key was retired by a
    /// rotation that the new version knows needs no consent.
    fn owned(&self, signer: &PubKey, prev: &[usize], before: &Set) -> Result<(), CharterError> {
        let commitment = Commitment::to(signer);
        let consents = |at: &usize| {
            let version = &self.versions[*at];
            version.signer == *signer || version.charter.next_owner == commitment
        };
        let agreed = prev.iter().any(consents) && prev.iter().all(|at| consents(at) || self.is_void(*at, before));
        if agreed { Ok(()) } else { Err(CharterError::NotOwner) }
    }

    /// Whoever may write under a predecessor and not under the new version is named in a removal that the predecessor
    /// did not know.
    fn removals_named(&self, charter: &Charter, prev: &[usize], before: &Set) -> Result<(), CharterError> {
        for at in prev {
            let version = &self.versions[*at];
            for member in version.charter.members.iter().filter(|m| m.writes() && !charter.may_write(&m.npub)) {
                let elsewhere = self.removals.get(&member.npub).is_some_and(|removals| {
                    removals.iter().any(|r| before.has(*r) && *r != *at && !version.before.has(*r))
                });
                if !elsewhere && !charter.removed.iter().any(|r| r.npub == member.npub) {
                    return Err(CharterError::UnnamedRemoval(member.npub));
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, event: &Event, charter: Charter, before: Set) {
        let at = self.versions.len();
        let (signer, commitment) = (event.pubkey(), Commitment::to(&event.pubkey()));
        let prev = charter.prev.iter().filter_map(|id| self.index.get(id));
        if prev.map(|p| self.versions[*p].signer).any(|owner| owner != signer) {
            for r in before.iter() {
                let version = &self.versions[r];
                if version.charter.next_owner == commitment && version.signer != signer {
                    self.retired.entry(r).or_default().push(at);
                }
            }
        }
        for removed in &charter.removed {
            self.removals.entry(removed.npub).or_default().push(at);
        }
        self.ever.extend(charter.members.iter().map(|m| m.npub));
        self.index.insert(event.id(), at);
        self.versions.push(Version { id: event.id(), charter, before, signer });
    }

    /// Whether, as far as the versions in `known` go, a version grew from a retired key: its owner's key was replaced
    /// by the one committed to, and neither this version nor the rotation knew of the other. So the thief of an
    /// owner's key can do nothing that its rotation does not undo.
    fn is_void(&self, at: usize, known: &Set) -> bool {
        let version = &self.versions[at];
        self.retired.iter().any(|(r, rotations)| {
            let mut rotations = rotations.iter().filter(|q| known.has(**q)).peekable();
            version.before.has(*r)
                && rotations.peek().is_some()
                && rotations.all(|q| *q != at && !version.before.has(*q) && !self.versions[*q].before.has(at))
        })
    }

    /// Works out what the versions mean together.
    fn refresh(&mut self) {
        let mut all = Set::default();
        (0..self.versions.len()).for_each(|at| all.insert(at));
        let mut void = Set::default();
        if !self.retired.is_empty() {
            (0..self.versions.len()).filter(|at| self.is_void(*at, &all)).for_each(|at| void.insert(at));
        }
        let mut followed = Set::default();
        for (at, version) in self.versions.iter().enumerate() {
            if !void.has(at) {
                followed.add(&version.before);
            }
        }
        self.heads = (0..self.versions.len()).filter(|at| !void.has(*at) && !followed.has(*at)).collect();
        self.heads.sort_by_key(|at| self.versions[*at].id);
        self.void = void;
        self.members = self.intersection();
    }

    /// The members that every head agrees on, with the roles that every head gives them.
    fn intersection(&self) -> Vec<Member> {
        let mut heads = self.heads.iter().map(|at| &self.versions[*at].charter);
        let Some(first) = heads.next() else { return Vec::new() };
        let others: Vec<&Charter> = heads.collect();
        let agreed = |member: &Member| {
            let mut member = member.clone();
            for other in &others {
                let theirs = other.member(&member.npub).filter(|m| m.peer_id == member.peer_id)?;
                // A maintainer here and a writer there is a writer.
                let writes = member.writes() && theirs.writes();
                member.roles.retain(|role| theirs.roles.contains(role));
                if writes && !member.writes() {
                    member.roles.push(Role::Writer);
                }
            }
            Some(member)
        };
        let mut members: Vec<Member> = first.members.iter().filter_map(agreed).collect();
        for member in &mut members {
            member.roles.sort();
        }
        members
    }

    /// The space: the id of the first version.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// The space's `h` tag.
    pub fn h(&self) -> &str {
        &self.h
    }

    /// The space's mesh.
    pub fn mesh(&self) -> MeshId {
        self.versions[0].charter.mesh
    }

    /// Who may read.
    pub fn visibility(&self) -> Visibility {
        self.versions[0].charter.visibility
    }

    /// How many versions are known.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// The ids of all versions, each after those that it follows.
    pub fn ids(&self) -> impl Iterator<Item = EventId> + '_ {
        self.versions.iter().map(|v| v.id)
    }

    /// Whether a version is known.
    pub fn knows(&self, id: &EventId) -> bool {
        self.index.contains_key(id)
    }

    /// A version.
    pub fn version(&self, id: &EventId) -> Option<&Charter> {
        self.index.get(id).map(|at| &self.versions[*at].charter)
    }

    /// Whether a version is known and has no effect: it grew from a key that its owner had replaced.
    pub fn void(&self, id: &EventId) -> bool {
        self.index.get(id).is_some_and(|at| self.void.has(*at))
    }

    /// The versions that nothing follows, by id. More than one: they are concurrent, and the rights that they all
    /// give are what counts until a version merges them.
    pub fn heads(&self) -> Vec<EventId> {
        self.heads.iter().map(|at| self.versions[*at].id).collect()
    }

    /// The newest version; of concurrent ones the one with the lowest id.
    pub fn head(&self) -> EventId {
        self.versions[self.heads[0]].id
    }

    /// What [`CharterChain::head`] says.
    pub fn current(&self) -> &Charter {
        &self.versions[self.heads[0]].charter
    }

    /// Who signed [`CharterChain::head`].
    pub fn owner(&self) -> PubKey {
        self.versions[self.heads[0]].signer
    }

    /// Whether this key may sign the next version.
    pub fn may_extend(&self, signer: &PubKey) -> bool {
        let before = self.heads.iter().fold(Set::default(), |mut before, at| {
            before.add(&self.versions[*at].before);
            before.insert(*at);
            before
        });
        self.owned(signer, &self.heads, &before).is_ok()
    }

    /// The key that new events are sealed under. `None` when public.
    pub fn current_key(&self) -> Option<KeyId> {
        self.current().current_key
    }

    /// The host that may grant work now: nobody while versions are concurrent.
    pub fn coordinator(&self) -> Option<PubKey> {
        if self.heads.len() == 1 { self.current().coordinator } else { None }
    }

    /// Whose turn it is to coordinate under a version: the epoch, which is the number of the version that named the
    /// coordinator and so rises whenever it changes, and who coordinated before.
    pub fn turn(&self, id: &EventId) -> Option<(u64, Vec<PubKey>)> {
        let mut at = self.version(id)?;
        loop {
            let before: Vec<&Charter> = at.prev.iter().filter_map(|prev| self.version(prev)).collect();
            match before.iter().max_by_key(|charter| charter.n) {
                Some(last) if before.iter().all(|charter| charter.coordinator == at.coordinator) => at = last,
                _ => return Some((at.n, before.iter().filter_map(|charter| charter.coordinator).collect())),
            }
        }
    }

    /// Who takes part now.
    pub fn members(&self) -> impl Iterator<Item = &Member> + '_ {
        self.members.iter()
    }

    /// A present member.
    pub fn member(&self, npub: &PubKey) -> Option<&Member> {
        self.members.iter().find(|m| m.npub == *npub)
    }

    /// Whether a host may write now.
    pub fn may_write(&self, npub: &PubKey) -> bool {
        self.member(npub).is_some_and(Member::writes)
    }

    /// Whether a host may read now.
    pub fn may_read(&self, npub: &PubKey) -> bool {
        self.member(npub).is_some()
    }

    /// Whether a host is or ever was a member, under any version.
    pub fn ever_member(&self, npub: &PubKey) -> bool {
        self.ever.contains(npub)
    }

    /// The next version as it would be without any change: it follows every head. Of a member that concurrent versions
    /// treat differently, the version that knows of a removal counts.
    pub fn draft(&self) -> Charter {
        let heads: Vec<&Version> = self.heads.iter().map(|at| &self.versions[*at]).collect();
        let mut draft = self.current().clone();
        draft.prev = self.heads();
        draft.n = heads.iter().map(|h| h.charter.n).max().unwrap_or(0).saturating_add(1);
        draft.removed = Vec::new();
        draft.members = Vec::new();
        for head in &heads {
            for key in &head.charter.keys {
                if !draft.keys.contains(key) {
                    draft.keys.push(key.clone());
                }
            }
            for member in &head.charter.members {
                if draft.member(&member.npub).is_none() && !self.removed_beside(&member.npub, head) {
                    draft.members.push(member.clone());
                }
            }
        }
        draft.coordinator = draft.coordinator.filter(|c| draft.member(c).is_some());
        draft
    }

    /// Whether a version that `head` does not know takes the right to write.
    fn removed_beside(&self, npub: &PubKey, head: &Version) -> bool {
        self.removals.get(npub).is_some_and(|removals| {
            removals.iter().any(|r| !self.void.has(*r) && self.versions[*r].id != head.id && !head.before.has(*r))
        })
    }
}
