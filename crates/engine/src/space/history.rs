//! Rules of a space that its charter holds; for how long its ops are held one by one.

use crate::checkpoint::HISTORY_DAYS;
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use serde_json::{Value, json};
use types::SpaceId;

/// Longest time that can be asked for, in days.
const DAYS_MAX: u64 = 36_500;

impl Engine {
    pub(crate) fn set_history(&mut self, cx: &mut Cx<'_>, at: &SpaceRef, days: Option<u64>) -> Answer {
        self.writable()?;
        let id = self.resolve_space(at)?;
        if days.is_some_and(|days| days == 0 || days > DAYS_MAX) {
            return Err(ApiError::new("bad_days", format!("days are 1 to {DAYS_MAX}, or none for ever")));
        }
        self.set_rule(cx, id, HISTORY_DAYS, days.map(Into::into))?;
        Ok(Some(json!({"space": id, "history_days": days})))
    }

    /// A new version of a space's charter with another rule in it, or without it.
    pub(crate) fn set_rule(
        &mut self,
        cx: &mut Cx<'_>,
        id: SpaceId,
        name: &str,
        rule: Option<Value>,
    ) -> Result<(), ApiError> {
        let gone = || ApiError::new("unknown_space", "the space is gone").hint("townmesh space ls");
        let space = self.spaces.get(&id).ok_or_else(gone)?;
        self.as_owner(space, "changing a space's charter")?;
        let mut draft = space.charter.draft();
        match rule {
            Some(rule) => drop(draft.policy.insert(name.to_owned(), rule)),
            None => drop(draft.policy.remove(name)),
        }
        let amended = self.amend(cx, id, draft)?;
        amended.map_err(|why| ApiError::new("internal", format!("the charter could not be extended: {why}")))
    }
}
