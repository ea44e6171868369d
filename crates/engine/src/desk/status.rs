//! The node as a whole.

use super::Answer;
use crate::engine::{Cx, Engine};
use crate::records::totals::Totals;
use serde_json::{Value, json};
use types::SpaceId;

impl Engine {
    pub(super) fn status(&mut self, cx: &mut Cx<'_>) -> Answer {
        let peers: Vec<Value> = self
            .peers
            .connected()
            .map(|(id, peer)| {
                json!({
                    "peer_id": id,
                    "npub": peer.greeted.as_ref().map(|(npub, _)| npub.npub()),
                    "name": peer.greeted.as_ref().map(|(_, name)| name),
                    "address": peer.address,
                    "transport": peer.transport,
                    "version": peer.greeted.as_ref().map(|_| peer.told.version),
                    "capabilities": peer.told.capabilities,
                    "clock_ahead_ms": peer.told.ahead_ms,
                    "rtt_ms": peer.rtt_us.map(|us| us as f64 / 1000.0),
                })
            })
            .collect();
        let ids: Vec<_> = self.spaces.keys().copied().collect();
        let spaces: Vec<Value> = ids.iter().map(|id| self.space_line(cx, id)).collect::<Result<_, _>>()?;
        Ok(Some(json!({
            "peer_id": self.peer_id,
            "npub": self.me.npub(),
            "name": self.name,
            "listen": self.listen,
            "peers": peers,
            "spaces": spaces,
            "incarnation": format!("{:016x}", self.incarnation),
            "read_only": self.read_only,
            "records_lost": self.lost,
            "uptime_ms": cx.up.since_ms(self.started),
            "counters": self.counters,
        })))
    }

    pub(crate) fn space_line(&self, cx: &Cx<'_>, id: &SpaceId) -> Result<Value, types::ViewError> {
        let Totals { beads, conflicts, baseline_conflicts, ops, digest, state_digest } = cx.txn.totals(id)?;
        let space = self.spaces.get(id);
        Ok(json!({
            "name": space.map(|s| &s.record.name),
            "id": id,
            "beads": beads,
            "ops": ops,
            "conflicts": conflicts + baseline_conflicts,
            "baseline_conflicts": baseline_conflicts,
            "digest": hex::encode(digest),
            "state_digest": hex::encode(state_digest),
            "public": space.is_some_and(|s| s.record.public),
            "waiting": space.map_or(0, |s| s.waiting),
        }))
    }
}
