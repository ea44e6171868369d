//! The fast path: ops as they happen. Whatever is lost here is caught up with.

use super::Taken;
use crate::effect::{NetEffect, Verdict};
use crate::engine::{Cx, Engine};
use proto::{limits, wire};
use types::{PeerId, ViewError};

impl Engine {
    pub(crate) fn gossip(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        topic: &str,
        data: &[u8],
        message: u64,
    ) -> Result<(), ViewError> {
        let space = self.spaces.values().find(|s| s.topic == topic).map(|s| s.id);
        let (Some(space_id), None) = (space, &self.read_only) else {
            cx.net(NetEffect::Verdict { message, verdict: Verdict::Ignore });
            return Ok(());
        };
        let Ok(gossip) = proto::decode::<wire::Gossip>(data, limits::GOSSIP_BYTES_MAX) else {
            self.count("malformed_gossip");
            cx.net(NetEffect::Verdict { message, verdict: Verdict::Reject });
            return Ok(());
        };
        let mut verdict = Verdict::Accept;
        let mut behind = false;
        for event in &gossip.events {
            match self.take_in(cx, space_id, event)? {
                Taken::Applied | Taken::Known => {}
                Taken::Gap(_) | Taken::NeedCharter => behind = true,
                // What only a broken or hostile sender can have passed on: it checks before it forwards.
                Taken::Rejected(
                    "bad_signature" | "wrong_event_id" | "malformed_event" | "event_tags" | "event_too_large",
                ) => {
                    verdict = Verdict::Reject;
                }
                Taken::Rejected(_) | Taken::Waits(_) => {
                    if verdict == Verdict::Accept {
                        verdict = Verdict::Ignore;
                    }
                }
            }
        }
        cx.net(NetEffect::Verdict { message, verdict });
        if behind {
            self.ask_heads(cx, peer, space_id)?;
        }
        Ok(())
    }
}
