//! From one coordinator to the next: nothing is granted before everything that the last one granted is here.

use crate::engine::{Cx, Engine};
use crate::records::{self, work};
use crate::sync::RemoteTip;
use identity::Charter;
use types::{EventId, PeerId, PubKey, SpaceId, Table, ViewError};

/// The policy that names the epoch whose coordinator does not wait for the last one.
const FORCED: &str = "coordinator_forced";

/// Marks a version's turn as taken by force.
pub(crate) fn force(draft: &mut Charter, epoch: u64) {
    draft.policy.insert(FORCED.to_owned(), epoch.into());
}

impl Engine {
    /// Who coordinated before this turn and has not handed over yet. `None`: nothing to wait for.
    fn awaited(&self, space: &SpaceId) -> Option<(u64, Vec<PubKey>)> {
        let charter = &self.spaces.get(space)?.charter;
        let (epoch, before) = charter.turn(&charter.head())?;
        if self.sling.turns.get(space) == Some(&epoch) {
            return None;
        }
        let forced = charter.current().policy.get(FORCED).and_then(serde_json::Value::as_u64) == Some(epoch);
        // Of a host that may not write any more the charter says what counts.
        let writes = |npub: &PubKey| *npub != self.me && charter.may_write(npub);
        Some((epoch, before.into_iter().filter(|npub| !forced && writes(npub)).collect()))
    }

    /// Whether this host, which coordinates, has begun to; the last one is asked otherwise.
    pub(super) fn takes_over(&mut self, cx: &mut Cx<'_>, space: SpaceId) -> Result<bool, ViewError> {
        let Some((epoch, before)) = self.awaited(&space) else { return Ok(true) };
        if before.is_empty() {
            self.begin_turn(cx, space, epoch);
            return Ok(true);
        }
        for npub in before {
            if let Some(peer) = self.peer_of(&npub) {
                self.ask_heads(cx, peer, space)?;
            }
        }
        Ok(false)
    }

    fn begin_turn(&mut self, cx: &mut Cx<'_>, space: SpaceId, epoch: u64) {
        self.sling.turns.insert(space, epoch);
        cx.txn.put_record(Table::Work, work::turn_key(&space), &epoch);
        self.stir_space(space);
    }

    /// A peer said what it holds. Of the last coordinator, who knows of this turn and so grants nothing more, that is
    /// everything that it ever granted.
    pub(crate) fn handed_over(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        space_id: SpaceId,
        charter: &[u8],
        tips: &[RemoteTip],
    ) -> Result<(), ViewError> {
        if !self.coordinates(&space_id) {
            return Ok(());
        }
        let Some((epoch, before)) = self.awaited(&space_id) else { return Ok(()) };
        let Some(npub) = self.peers.npub(&peer).filter(|npub| before == [*npub]) else { return Ok(()) };
        let Some(space) = self.spaces.get(&space_id) else { return Ok(()) };
        if EventId::from_slice(charter).ok() != Some(space.charter_stamp()) {
            return Ok(());
        }
        for tip in tips.iter().filter(|tip| tip.writer.host == npub) {
            let key = records::op::key(&space_id, &tip.writer, tip.seq, &tip.id);
            if !self.folds_in(&space_id, &tip.writer, tip.seq) && !cx.txn.has(Table::Ops, &key)? {
                return Ok(());
            }
        }
        self.begin_turn(cx, space_id, epoch);
        Ok(())
    }
}
