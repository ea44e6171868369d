//! For how long a space's ops are held one by one.

use crate::checkpoint::HISTORY_DAYS;
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use serde_json::json;

/// Longest time that can be asked for, in days.
const DAYS_MAX: u64 = 36_500;

impl Engine {
    pub(crate) fn set_history(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, days: Option<u64>) -> Answer {
        self.writable()?;
        let id = self.resolve_space(at)?;
        if days.is_some_and(|days| days == 0 || days > DAYS_MAX) {
            return Err(ApiError::new("bad_days", format!("days are 1 to {DAYS_MAX}, or none for ever")));
        }
        let Some(space) = self.spaces.get(&id) else { return Ok(None) };
        self.as_owner(space, "changing a space's charter")?;
        let mut draft = space.charter.draft();
        match days {
            Some(days) => drop(draft.policy.insert(HISTORY_DAYS.to_owned(), days.into())),
            None => drop(draft.policy.remove(HISTORY_DAYS)),
        }
        match self.amend(cx, id, draft)? {
            Ok(()) => Ok(Some(json!({"space": id, "history_days": days}))),
            Err(why) => Err(ApiError::new("internal", format!("the charter could not be extended: {why}"))),
        }
    }
}
