//! Members come and go, rights change, and versions of the charter are made side by side.

use super::{Play, here};
use crate::disk::{OpName, ops_of, records};
use crate::model::CutOff;
use crate::node::Node;
use crate::rng::Rng;
use crate::world::World;
use engine::{Command, Input, Memory, NetInput};
use identity::{Charter, CharterChain, Cutoff, Event, OwnerKey, Removed, Role, SpaceKey};
use proto::wire;
use std::collections::{BTreeMap, BTreeSet};
use types::{EventId, KeyId, PubKey, Table, UnixMs};

/// What the owner has in the drawer.
pub(super) struct Papers {
    pub(super) key: SpaceKey,
    owner: OwnerKey,
    /// Hosts that are no longer members.
    pub(super) removed: BTreeSet<[u8; 32]>,
}

impl Papers {
    /// Opens the first welcome that was given, as its receiver can.
    pub(super) fn open(world: &World) -> Result<Papers, String> {
        let (to, from, wrapped) = world.wires.welcome.clone().ok_or("nobody was welcomed")?;
        let wrapped = wrapped.first().ok_or("a welcome without a key")?;
        let from = PubKey(world.nodes[from].npub);
        let key =
            identity::unwrap_key(wrapped, &from, world.nodes[to].host_key().nostr()).map_err(|e| e.to_string())?;
        let owner = world.nodes[0].owner_key().ok_or("the first machine has the owner's key")?;
        Ok(Papers { key, owner, removed: BTreeSet::new() })
    }

    pub(super) fn topic(&self) -> String {
        identity::topic(&self.key)
    }

    /// The charter as a store has it.
    pub(super) fn chain(&self, store: &Memory) -> Result<CharterChain, String> {
        let events = records(store, Table::Charters).into_iter().map(|(_, json)| Event::verify(&json));
        let events: Vec<Event> = events.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let keys = |id: &KeyId| Some(self.key.clone()).filter(|k| k.id() == *id);
        CharterChain::from_events(&events, &keys).map_err(|e| e.to_string())
    }

    /// A further version, signed by the owner.
    fn amend(
        &self,
        store: &Memory,
        now: UnixMs,
        rng: &mut Rng,
        change: impl FnOnce(&mut Charter),
    ) -> Result<Event, String> {
        let mut draft = self.chain(store)?.draft();
        change(&mut draft);
        draft.next_owner = self.owner.commitment();
        let sealed = Some((&self.key, &self.key, rng.bytes()));
        draft.sign(self.owner.nostr(), now.secs(), sealed, None, rng.bytes()).map_err(|e| e.to_string())
    }
}

impl Play {
    fn papers(&self) -> Result<&Papers, String> {
        self.papers.as_ref().ok_or_else(|| "no papers yet".to_owned())
    }

    fn amended(&mut self, at: usize, change: impl FnOnce(&mut Charter)) -> Result<Event, String> {
        let mut rng = self.rng.fork();
        let (now, store) = (self.world.now, &self.world.nodes[at].disk.now);
        self.papers()?.amend(store, UnixMs(now), &mut rng, change)
    }

    /// Hands an event to a machine, from where it spreads. Says whether its disk has it afterwards.
    fn publish(&mut self, at: usize, event: &Event) -> Result<bool, String> {
        if !self.world.running(at) {
            return Ok(false);
        }
        let topic = self.papers()?.topic();
        let data = proto::encode(&wire::Gossip { events: vec![event.to_json()] });
        let message = self.world.wires.message(topic.clone(), data.clone());
        self.world.nodes[at].seen.insert(message);
        let peer = self.world.nodes[1].peer;
        self.world.happen(at, Input::Net(NetInput::Gossip { peer, topic, data, message }));
        self.wait(6)?;
        let kept = records(self.world.nodes[at].disk.kept(), Table::Charters);
        let kept = kept.iter().any(|(key, _)| key.ends_with(&event.id().0));
        if !kept {
            // It was lost with the power before anybody heard of it: nobody can replay it.
            self.world.wires.gossiped.remove(&message);
        }
        Ok(kept)
    }

    /// One more machine is invited; it joins whenever it gets through.
    pub(super) fn late_join(&mut self) -> Result<(), String> {
        if !self.world.running(0) || self.world.nodes.len() >= self.options.nodes + 4 {
            return Ok(());
        }
        let invite = Command::Invite { at: here(), role: None, ttl_s: None };
        let Ok(answer) = self.told(0, invite, 1_000) else { return Ok(()) };
        let ticket = answer["ticket"].as_str().unwrap_or_default().to_owned();
        let name = format!("late{}", self.world.nodes.len());
        let node = Node::new(name, &mut self.rng, false);
        let at = self.world.add(node);
        self.not_here.push(BTreeSet::new());
        self.late.push(at);
        self.world.start(at)?;
        self.world.ask(at, Command::Join { ticket });
        Ok(())
    }

    /// Late machines that have got in by now.
    pub(super) fn see_who_joined(&mut self) {
        for at in self.late.clone() {
            let inside = !records(self.world.nodes[at].disk.kept(), Table::Spaces).is_empty();
            if inside && !self.joined.contains(&at) {
                self.joined.push(at);
                self.world.count("joined_late");
                self.world.count("charter_changes");
            }
        }
    }

    /// The owner takes somebody's right to write, as of the last op that the owner's machine holds, or of an earlier.
    pub(super) fn remove_or_lower(&mut self) -> Result<(), String> {
        let at = 1 + self.rng.below(self.world.nodes.len() as u64 - 1) as usize;
        let host = self.world.nodes[at].npub;
        let enough = self.model.cut_off_count() * 2 + 2 < self.options.nodes;
        let known = self.joined.contains(&at) && !self.model.is_cut_off(&host) && host != self.world.nodes[0].npub;
        if !enough || !known || !self.world.running(0) {
            return Ok(());
        }
        let ops = ops_of(&self.world.nodes[0].disk.now, Table::Ops);
        let last = self.last_ops(&host, &ops);
        let cutoff = |(incarnation, (seq, id)): (&u64, &(u64, [u8; 32]))| Cutoff {
            incarnation: *incarnation,
            seq: *seq,
            id: Some(EventId(*id)),
        };
        let cutoffs: Vec<Cutoff> = last.iter().map(cutoff).collect();
        let lower = self.rng.chance(0.4);
        let event = self.amended(0, |draft| {
            let npub = PubKey(host);
            if lower {
                draft.members.iter_mut().filter(|m| m.npub == npub).for_each(|m| m.roles = vec![Role::Reader]);
            } else {
                draft.members.retain(|m| m.npub != npub);
            }
            draft.removed.push(Removed { npub, cutoffs });
        })?;
        let word = if lower { "lowered" } else { "removed" };
        let line = format!("{} is {word}; what counts of it: {last:?}", self.world.nodes[at].name);
        self.world.note(&line);
        if self.options.bug == Some(super::Bug::CutOffIgnored) || self.publish(0, &event)? {
            self.model.cut_off(CutOff { host, last });
            if let (false, Some(papers)) = (lower, &mut self.papers) {
                papers.removed.insert(host);
            }
            self.world.count(word);
            self.world.count("charter_changes");
            self.forget();
        }
        Ok(())
    }

    /// Per incarnation of a host the op after which it is cut off.
    fn last_ops(&mut self, host: &[u8; 32], ops: &BTreeSet<OpName>) -> BTreeMap<u64, (u64, [u8; 32])> {
        let mut last = BTreeMap::new();
        for op in ops.iter().filter(|op| op.host == *host) {
            last.insert(op.incarnation, (op.seq, op.id));
        }
        // Every now and then the owner goes back further.
        for (incarnation, end) in &mut last {
            if self.rng.chance(0.5) {
                let seq = 1 + self.rng.below(end.0);
                let at = ops.iter().find(|o| o.host == *host && o.incarnation == *incarnation && o.seq == seq);
                *end = at.map_or(*end, |op| (op.seq, op.id));
            }
        }
        last
    }

    /// Two versions that do not know of each other reach two machines.
    pub(super) fn concurrent_charters(&mut self) -> Result<(), String> {
        let other = 1 + self.rng.below(self.world.nodes.len() as u64 - 1) as usize;
        if !self.group().contains(&other) || !self.world.running(0) || !self.world.running(other) {
            return Ok(());
        }
        let note = |text: String| {
            move |draft: &mut Charter| drop(draft.policy.insert("note".to_owned(), serde_json::Value::from(text)))
        };
        let (one, two) = (self.fresh("note"), self.fresh("note"));
        let (one, two) = (self.amended(0, note(one))?, self.amended(other, note(two))?);
        let (a, b) = (self.publish(0, &one)?, self.publish(other, &two)?);
        if a && b {
            self.world.count("concurrent_charters");
            self.world.count_many("charter_changes", 2);
        }
        Ok(())
    }

    /// The machines among these that every newest version of the owner's machine names. A machine that only one of
    /// several concurrent versions names is answered by nobody until a further version merges them.
    pub(super) fn named_by_all(&self, group: &[usize]) -> Result<Vec<usize>, String> {
        let chain = self.papers()?.chain(&self.world.nodes[0].disk.now)?;
        let named = |at: &usize| chain.may_read(&PubKey(self.world.nodes[*at].npub));
        Ok(group.iter().copied().filter(named).collect())
    }

    /// The owner makes one version of several.
    pub(super) fn merge_charters(&mut self) -> Result<(), String> {
        let heads = self.papers()?.chain(&self.world.nodes[0].disk.now)?.heads().len();
        if heads < 2 {
            return Ok(());
        }
        let event = self.amended(0, |_| ())?;
        if self.publish(0, &event)? {
            self.world.count("merged_charters");
        }
        Ok(())
    }
}
