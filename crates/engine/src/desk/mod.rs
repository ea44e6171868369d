//! What people and programs on this machine ask for.

mod conflicts;
mod edit;
mod import;
mod list;
mod status;
mod watch;

pub(crate) use edit::rfc3339;
pub(crate) use watch::Watcher;

use crate::command::{Command, SpaceRef};
use crate::engine::{Cx, Engine};
use crate::error::ApiError;
use crate::input::CallId;
use beads::{BeadId, Shown};
use serde_json::Value;
use types::{SpaceId, ViewError};

/// An answer now, a typed no, or (`Ok(None)`) an answer later.
pub(crate) type Answer = Result<Option<Value>, ApiError>;

impl Engine {
    pub(crate) fn command(&mut self, cx: &mut Cx<'_>, call: CallId, command: Command) -> Result<(), ViewError> {
        match self.answer(cx, call, command) {
            Ok(Some(value)) => cx.reply(call, Ok(value)),
            Ok(None) => {}
            Err(err) => cx.reply(call, Err(err)),
        }
        Ok(())
    }

    fn answer(&mut self, cx: &mut Cx<'_>, call: CallId, command: Command) -> Answer {
        match command {
            Command::Status {} => self.status(cx),
            Command::Sling(order) => self.sling(cx, call, &order),
            Command::WorkLs { at, all } => self.work_ls(cx, &at, all),
            Command::WorkShow { at, id } => self.work_show(cx, &at, &id),
            Command::WorkBegin { at, id, runner, base } => self.work_begin(cx, &at, &id, runner, base),
            Command::WorkLog { at, id, run, from } => self.work_log(cx, call, &at, &id, (run, from)),
            Command::WorkReview { at } => self.work_review(cx, &at),
            Command::WorkCancel { at, id, reason } => self.work_cancel(cx, &at, &id, reason.as_deref()),
            Command::WorkResult { at, id, failed, commit, text } => {
                self.work_result(cx, &at, &id, failed, commit, text)
            }
            Command::WorkJudge(order) => self.work_judge(cx, &order),
            Command::WorkReport { at, id, report } => self.work_report(cx, &at, &id, &report),
            Command::Costs { at, by, since } => self.costs(cx, &at, by, since.as_deref()),
            Command::BudgetLs { at } => self.budget_ls(cx, &at),
            Command::BudgetSet { at, scope, limit } => self.budget_set(cx, &at, &scope, limit),
            Command::ConvoyLs { at, all } => self.convoy_ls(cx, &at, all),
            Command::ConvoyShow { at, id } => self.convoy_show(cx, &at, &id),
            Command::Agents { at } => self.agents(cx, &at),
            Command::EvidenceLs { at } => self.evidence(cx, &at),
            Command::RunnerAdd { name, runner } => self.runner_add(cx, &name, runner),
            Command::RunnerLs {} => self.runner_ls(),
            Command::RunnerRm { name } => self.runner_rm(cx, &name),
            Command::SpaceCoordinator { at, host, force } => self.set_coordinator(cx, &at, &host, force),
            Command::SpaceNew { name, public } => self.space_new(cx, &name, public),
            Command::SpaceLs {} => self.space_ls(cx),
            Command::SpaceShow { at } => self.space_show(cx, &at),
            Command::SpaceCheckpoint { at } => self.checkpoint_now(cx, &at),
            Command::SpaceHistory { at, days } => self.set_history(cx, &at, days),
            Command::SpaceAttach { at, dir, kind, generations, ancestors } => {
                self.attach(cx, &at, &dir, kind, &generations, ancestors)
            }
            Command::SpaceDetach { dir } => self.detach(cx, &dir),
            Command::SpaceDeletes { dir, accept } => self.deletes(cx, &dir, accept),
            Command::Invite { at, role, ttl_s } => self.invite(cx, &at, role.as_deref(), ttl_s),
            Command::Join { ticket } => self.join(cx, call, &ticket),
            Command::Import { at, first_line, lines, ancestors } => {
                self.import(cx, &at, first_line, &lines, &ancestors)
            }
            Command::Export { at } => self.export(cx, &at),
            Command::Ls { at, status, all, limit } => self.ls(cx, &at, &status, all, limit),
            Command::Show { at, id } => self.show(cx, &at, &id),
            Command::Ready { at, limit } => self.ready(cx, &at, limit),
            Command::Set { at, id, change } => self.set(cx, &at, &id, &change),
            Command::Batch { at, edits } => self.batch(cx, &at, &edits),
            Command::Watch { at } => self.watch(cx, call, &at),
            Command::Add { at, title, id, prefix, change } => self.add(cx, &at, &title, id, prefix, &change),
            Command::Close { at, ids, reason } => self.close_beads(cx, &at, &ids, reason.as_deref()),
            Command::Delete { at, ids } => self.delete_beads(cx, &at, &ids),
            Command::Conflicts { at, baseline, id } => self.conflicts(cx, &at, baseline, id.as_deref()),
            Command::Resolve { at, id, unit, choice, baseline } => {
                self.resolve(cx, &at, id.as_deref(), unit.as_deref(), &choice, baseline)
            }
            Command::Same { at, a, b } => self.same(cx, &at, &a, &b),
            Command::Split { at, id } => self.split(cx, &at, &id),
            Command::Log { at, id, limit } => self.log(cx, &at, id.as_deref(), limit),
        }
    }

    /// The space that a command means: named, implied by the caller's directory, or the only one.
    pub(crate) fn resolve_space(&self, at: &SpaceRef) -> Result<SpaceId, ApiError> {
        if let Some(name) = &at.space {
            let named: Vec<_> =
                self.spaces.values().filter(|s| s.record.name == *name || s.id.to_string().starts_with(name)).collect();
            return match named.as_slice() {
                [one] => Ok(one.id),
                [] => {
                    Err(ApiError::new("unknown_space", format!("no space \"{name}\" here")).hint("townmesh space ls"))
                }
                _ => Err(ApiError::new("ambiguous_space", format!("\"{name}\" fits several spaces"))
                    .hint("use more of the id: townmesh space ls")),
            };
        }
        if let Some(cwd) = &at.cwd {
            let inside = |dir: &str| cwd == dir || cwd.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
            let best = self.workspaces.values().filter(|w| inside(&w.record.dir)).max_by_key(|w| w.record.dir.len());
            if let Some(workspace) = best {
                return Ok(workspace.space);
            }
        }
        let mut all = self.spaces.keys();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(*only),
            (None, _) => Err(ApiError::new("no_space", "there is no space here yet")
                .hint("townmesh init")
                .hint("townmesh join TICKET")),
            _ => Err(ApiError::new("which_space", "several spaces here: say which")
                .hint("add --space NAME")
                .hint("townmesh space ls")),
        }
    }

    /// The bead that is shown under an id.
    pub(crate) fn find(&self, cx: &mut Cx<'_>, space: &SpaceId, shown_id: &str) -> Result<Shown, ApiError> {
        let none = || {
            ApiError::new("unknown_bead", format!("no bead \"{}\" here", shown_id.chars().take(80).collect::<String>()))
                .hint("townmesh beads ls --all")
        };
        let id: BeadId = crate::workspace::state_id(shown_id).parse().map_err(|_| none())?;
        let shown = cx.txn.bead_to_change(space, &id)?.shown().into_iter();
        shown.into_iter().find(|s| s.shown_id.as_str() == shown_id && !s.hidden).ok_or_else(none)
    }

    /// Whose name stands in ops made through the local API.
    pub(crate) fn actor(&self) -> String {
        self.name.clone()
    }
}
