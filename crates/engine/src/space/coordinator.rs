//! Who grants work in a space.

use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use serde_json::json;

impl Engine {
    /// Moves the right to grant work. The new coordinator carries on with the grants that it knows.
    pub(crate) fn set_coordinator(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, host: &str, force: bool) -> Answer {
        self.writable()?;
        let id = self.resolve_space(at)?;
        let Some(space) = self.spaces.get(&id) else { return Ok(None) };
        self.as_owner(space, "moving the coordinator")?;
        let Some(npub) = self.member_named(&id, host).filter(|npub| space.charter.may_write(npub)) else {
            return Err(ApiError::new("unknown_host", "no host of that name may write in this space")
                .hint("townmesh space show"));
        };
        let before = space.charter.coordinator();
        if before == Some(npub) && !force {
            return Ok(Some(json!({"space": id, "coordinator": host, "moved": false})));
        }
        let gone = before.filter(|before| *before != self.me && self.peer_of(before).is_none());
        if let Some(gone) = gone.filter(|_| !force) {
            let name = self.host_name(&id, &gone);
            return Err(ApiError::new("coordinator_unreachable", format!("{name} grants work now and cannot be reached"))
                .hint("bring it back, or move the coordinator with --force: while it is cut off it does not know, and a bead may run twice"));
        }
        let mut draft = space.charter.draft();
        draft.coordinator = Some(npub);
        if force {
            let turn = space.charter.turn(&space.charter.head()).map(|turn| turn.0);
            let epoch = if before == Some(npub) { turn.unwrap_or(draft.n) } else { draft.n };
            crate::sling::force(&mut draft, epoch);
        }
        match self.amend(cx, id, draft)? {
            Ok(()) => {
                self.stir_space(id);
                Ok(Some(json!({"space": id, "coordinator": host, "moved": true, "forced": force})))
            }
            Err(why) => Err(ApiError::new("internal", format!("the charter could not be extended: {why}"))),
        }
    }
}
