//! From records to a running engine.

use crate::checkpoint::{CheckpointRule, Whole, history_ms};
use crate::effect::{Effect, NetEffect, WorkspaceEffect};
use crate::engine::{Cx, Engine};
use crate::entropy::{Entropy, draw};
use crate::peers::Peers;
use crate::records::checkpoint as keys;
use crate::records::{self, charter, meta, space::SpaceRecord, tips, workspace as ws_rec};
use crate::space::Space;
use crate::txn::Txn;
use crate::workspace::Workspace;
use identity::{CharterChain, HostKey, OwnerKey};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::{EventId, Hlc, HlcClock, SpaceId, Table, UnixMs, View, ViewError};

/// What an engine needs besides its records.
pub struct Boot {
    /// This host's keys.
    pub host: HostKey,
    /// The owner's key, where it lives on this machine.
    pub owner: Option<OwnerKey>,
    /// This machine's name in the mesh.
    pub name: String,
    /// What identifies this copy of the home; another one than last time starts a new incarnation.
    pub fingerprint: [u8; 32],
    /// No network: nobody is dialled.
    pub offline: bool,
    /// Whether ops are gossiped; without, members are told when there is something to fetch.
    pub gossip: bool,
    /// When checkpoints are made and used.
    pub checkpoints: CheckpointRule,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A record could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A space's charter chain does not verify.
    #[error("space {space}: its charter does not verify: {reason}")]
    Charter {
        /// The space.
        space: SpaceId,
        /// What is wrong.
        reason: String,
    },
}

impl Engine {
    /// Loads everything that lives between inputs. The effects are to be carried out like those of an input.
    ///
    /// # Errors
    /// [`BootError`] when the records cannot be read or do not verify.
    pub fn boot(
        view: &dyn View,
        boot: Boot,
        now: UnixMs,
        entropy: &mut dyn Entropy,
    ) -> Result<(Engine, Vec<Effect>), BootError> {
        let mut cx = Cx { txn: Txn::new(view), now, up: now, entropy, out: Vec::new() };
        let clock: u64 = cx.txn.record(Table::Meta, meta::CLOCK)?.unwrap_or_default();
        let known: Option<meta::Incarnation> = cx.txn.record(Table::Meta, meta::INCARNATION)?;
        let attestation: Option<String> = cx.txn.record(Table::Meta, meta::ATTESTATION)?;
        let mut engine = Engine {
            me: boot.host.npub(),
            peer_id: boot.host.peer_id(),
            host: boot.host,
            owner: boot.owner,
            name: boot.name,
            offline: boot.offline,
            gossip: boot.gossip,
            incarnation: known.map_or(0, |k| k.number),
            fingerprint: boot.fingerprint,
            clock: HlcClock::resume(Hlc::from_packed(clock)),
            spaces: BTreeMap::new(),
            by_h: HashMap::new(),
            peers: Peers::default(),
            kept: Default::default(),
            asks: HashMap::new(),
            next_ask: 1,
            workspaces: BTreeMap::new(),
            joins: Vec::new(),
            watchers: BTreeMap::new(),
            sling: Default::default(),
            listen: BTreeSet::new(),
            card: None,
            attestation,
            counters: BTreeMap::new(),
            read_only: None,
            lost: None,
            checkpoint_rule: boot.checkpoints,
            started: now,
            up: now,
            wall: now,
        };
        match known {
            None => {
                let record =
                    meta::Incarnation { number: u64::from_be_bytes(draw(cx.entropy)), fingerprint: boot.fingerprint };
                engine.incarnation = record.number;
                cx.txn.put_record(Table::Meta, meta::INCARNATION.to_vec(), &record);
            }
            Some(k) if k.fingerprint != boot.fingerprint => {
                engine.new_incarnation(&mut cx, "this home was copied or moved");
            }
            Some(_) => {}
        }
        engine.load_spaces(&mut cx)?;
        engine.load_workspaces(&mut cx)?;
        engine.load_sling(&mut cx)?;
        let puts = cx.txn.finish()?;
        let mut effects = Vec::new();
        if !puts.is_empty() {
            effects.push(Effect::Persist(puts));
        }
        effects.append(&mut cx.out);
        Ok((engine, effects))
    }

    fn load_spaces(&mut self, cx: &mut Cx<'_>) -> Result<(), BootError> {
        for (key, value) in cx.txn.collect(Table::Spaces, &[])? {
            let Ok(id) = SpaceId::from_slice(&key) else { continue };
            let record: SpaceRecord = records::unpack(Table::Spaces, &value)?;
            let events: Vec<Vec<u8>> =
                cx.txn.collect(Table::Charters, &charter::prefix(&id))?.into_iter().map(|(_, event)| event).collect();
            let chain = crate::space::read_chain(&id, &record, &events)
                .map_err(|reason| BootError::Charter { space: id, reason })?;
            self.open_space(cx, id, record, chain)?;
        }
        Ok(())
    }

    /// A space becomes part of the running engine.
    pub(crate) fn open_space(
        &mut self,
        cx: &mut Cx<'_>,
        id: SpaceId,
        record: SpaceRecord,
        chain: CharterChain,
    ) -> Result<(), ViewError> {
        let mut space = Space::new(id, record, chain, cx.up);
        for (key, value) in cx.txn.collect(Table::Tips, &id.0)? {
            if let Some(writer) = tips::parse(&key) {
                space.ends.insert(writer, records::unpack(Table::Tips, &value)?);
            }
        }
        load_checkpoints(cx, &mut space)?;
        space.waiting = cx.txn.collect(Table::Waiting, &id.0)?.len();
        cx.net(NetEffect::Subscribe(space.topic.clone()));
        self.by_h.insert(space.h.clone(), id);
        self.spaces.insert(id, space);
        Ok(())
    }

    fn load_workspaces(&mut self, cx: &mut Cx<'_>) -> Result<(), ViewError> {
        for (key, value) in cx.txn.collect(Table::Workspaces, ws_rec::PREFIX)? {
            let Some(id) = ws_rec::parse(&key) else { continue };
            let young = cx.txn.record(Table::Workspaces, &ws_rec::young_key(id))?.unwrap_or_default();
            let kind = cx.txn.record(Table::Workspaces, &ws_rec::kind_key(id))?.unwrap_or_default();
            let workspace = Workspace::new(id, records::unpack(Table::Workspaces, &value)?, kind, &young, cx.up);
            cx.workspace(WorkspaceEffect::Open { workspace: id, dir: workspace.record.dir.clone(), kind });
            self.workspaces.insert(id, workspace);
        }
        Ok(())
    }
}

fn load_checkpoints(cx: &Cx<'_>, space: &mut Space) -> Result<(), ViewError> {
    let id = space.id;
    let mut owed = false;
    for (key, value) in cx.txn.collect(Table::Checkpoints, &keys::kept_prefix(&id))? {
        let kept: keys::Kept = records::unpack(Table::Checkpoints, &value)?;
        let newer = space.checkpoints.newest.as_ref().is_none_or(|newest| newest.ops <= kept.ops);
        owed |= kept.void;
        if let (true, false, Some(id)) = (newer, kept.void, keys::kept_id(&key)) {
            space.checkpoints.newest = Some(Whole { id, event: kept.event, ops: kept.ops });
        }
    }
    space.checkpoints.due = owed && space.checkpoints.newest.is_none();
    space.checkpoints.base = cx.txn.record(Table::Checkpoints, &keys::base_key(&id))?;
    let next: Option<([u8; 32], u64)> = cx.txn.record(Table::Checkpoints, &keys::next_base_key(&id))?;
    space.checkpoints.next_base = next.map(|(id, since)| (EventId(id), UnixMs(since)));
    if history_ms(&space.charter.current().policy).is_some() {
        // Where dropping was cut off is not kept: what is gone already costs one look.
        let floors = space.checkpoints.base.iter().flat_map(|base| &base.floors);
        space.checkpoints.dropping = floors.map(keys::Floor::writer).collect();
    }
    Ok(())
}
