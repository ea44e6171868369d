//! Telling callers which beads change.

use super::Answer;
use crate::command::SpaceRef;
use crate::effect::Effect;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::input::CallId;
use serde_json::json;
use std::collections::BTreeSet;
use types::{SpaceId, UnixMs};

/// Callers that may watch at once.
const WATCHERS_MAX: usize = 32;

/// Ids in one message: what is more is told as "anything may have changed".
const IDS_MAX: usize = 1_000;

/// A caller who hears nothing for this long hears that nothing changed, so that both ends know of each other.
const QUIET_MS: u64 = 20_000;

/// A caller who wants to know what changes in a space.
#[derive(Debug)]
pub(crate) struct Watcher {
    space: SpaceId,
    told: UnixMs,
}

impl Engine {
    pub(super) fn watch(&mut self, cx: &mut Cx<'_>, call: CallId, at: &SpaceRef) -> Answer {
        let space = self.resolve_space(at)?;
        if self.watchers.len() >= WATCHERS_MAX {
            return Err(ApiError::new("too_many_watchers", format!("{WATCHERS_MAX} callers watch already")));
        }
        self.watchers.insert(call, Watcher { space, told: cx.up });
        cx.out.push(Effect::Progress { call, progress: json!({"changed": [], "all": false}) });
        Ok(None)
    }

    /// Tells what was touched, once it is kept.
    pub(crate) fn tell_watchers(&mut self, cx: &mut Cx<'_>, touched: &BTreeSet<(SpaceId, String)>) {
        for (call, watcher) in &mut self.watchers {
            let ids: Vec<&str> =
                touched.iter().filter(|(space, _)| *space == watcher.space).map(|(_, id)| id.as_str()).collect();
            if ids.is_empty() {
                continue;
            }
            let all = ids.len() > IDS_MAX;
            let ids = if all { Vec::new() } else { ids };
            watcher.told = cx.up;
            cx.out.push(Effect::Progress { call: *call, progress: json!({"changed": ids, "all": all}) });
        }
    }

    pub(crate) fn tick_watchers(&mut self, cx: &mut Cx<'_>) {
        for (call, watcher) in &mut self.watchers {
            if cx.up.since_ms(watcher.told) >= QUIET_MS {
                watcher.told = cx.up;
                cx.out.push(Effect::Progress { call: *call, progress: json!({"changed": [], "all": false}) });
            }
        }
    }
}
