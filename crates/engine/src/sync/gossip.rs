//! The fast path: ops as they happen. Whatever is lost here is caught up with.

use super::Taken;
use crate::effect::{NetEffect, Verdict};
use crate::engine::{Cx, Engine};
use identity::Event;
use proto::{limits, wire};
use types::{PeerId, ViewError};

/// Events of authors that the charter here never named that are looked at in one message: one may have been let in by a
/// version that has not come yet.
const STRANGERS_MAX: usize = 2;

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
        let mut strangers = 0;
        for bytes in &gossip.events {
            let event = match Event::parse(bytes) {
                Ok(event) => event,
                Err(err) => {
                    self.rejected(err.code());
                    verdict = Verdict::Reject;
                    break;
                }
            };
            // Checking a signature is the dearest part: of authors that nobody here knows, not each one is worth it.
            if self.spaces.get(&space_id).is_some_and(|s| !s.charter.ever_member(&event.pubkey())) {
                strangers += 1;
                if strangers > STRANGERS_MAX {
                    self.rejected("unknown_author");
                    verdict = Verdict::Ignore;
                    break;
                }
            }
            match self.take_parsed(cx, space_id, event, bytes)? {
                Taken::Applied | Taken::Known => {}
                Taken::Gap(_) | Taken::NeedCharter => behind = true,
                // What only a broken or hostile sender can have passed on: it checks before it forwards.
                Taken::Rejected("bad_signature" | "wrong_event_id") => {
                    // The rest is no better than its sender.
                    verdict = Verdict::Reject;
                    break;
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
