//! What a program printed while it worked, read from any machine of the space.

use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::effect::{Effect, NetEffect, WorkEffect};
use crate::engine::{Asked, Cx, Engine};
use crate::error::ApiError;
use crate::input::{CallId, LogPart};
use proto::{limits, names, wire};
use serde_json::{Value, json};
use types::{EventId, PeerId, PubKey, SpaceId, ViewError};

/// Logs that are read at once.
const READERS_MAX: usize = 64;

/// Whom a part of a log is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    Caller(CallId),
    Peer(u64),
}

impl Engine {
    /// A part of what the newest worker of a bead printed, or another one that is named by its grant.
    pub(crate) fn work_log(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        at: &SpaceRef,
        id: &str,
        (run, from): (Option<EventId>, u64),
    ) -> Answer {
        let (at, _) = self.bead_of_work(cx, at, id)?;
        let Some((_, transcript)) = self.transcript(cx, &at)? else { return Ok(None) };
        let nothing = || ApiError::new("no_log", format!("nobody worked on {id}")).hint("townmesh work ls");
        let mut taken = transcript.grants.values().rev().filter(|grant| grant.accepted.is_some());
        let (worker, mut grants) = match run {
            Some(run) => (taken.find(|grant| grant.id == run).ok_or_else(nothing)?.worker, vec![run]),
            None => {
                let newest = taken.next().ok_or_else(nothing)?;
                // Work goes on when somebody else begins to coordinate: its log is named after its first grant.
                let same = taken.filter(|grant| grant.worker == newest.worker && grant.offer == newest.offer);
                (newest.worker, std::iter::once(newest.id).chain(same.map(|grant| grant.id)).collect())
            }
        };
        grants.truncate(limits::LOG_GRANTS_MAX);
        if worker == self.me {
            let reads = self.read_log(cx, Reader::Caller(call), &grants, from);
            let busy = || ApiError::new("busy", format!("{READERS_MAX} logs are read already"));
            return if reads { Ok(None) } else { Err(busy()) };
        }
        let name = self.host_name(&at.0, &worker);
        let away = || {
            ApiError::new("away", format!("{name} is not connected, and the log is there"))
                .hint("townmesh status")
                .hint(format!("on {name}: townmesh work log {id}"))
        };
        let peer = self.peer_of(&worker).filter(|peer| !self.peers.lacks(peer, names::WORK)).ok_or_else(away)?;
        let Some(h) = self.spaces.get(&at.0).map(|space| space.h.clone()) else { return Ok(None) };
        let query = wire::LogQuery { h, grants: grants.iter().map(|id| id.0.to_vec()).collect(), from };
        let body = Some(wire::request::Body::Log(query));
        self.ask(cx, Asked::Log { peer, call }, &wire::Request { body });
        Ok(None)
    }

    fn read_log(&mut self, cx: &mut Cx<'_>, reader: Reader, grants: &[EventId], from: u64) -> bool {
        if self.sling.readers.len() >= READERS_MAX {
            return false;
        }
        // What runs under a grant may have begun under an earlier one.
        let hooks = self.sling.hooks.iter().filter(|(_, hook)| grants.contains(&EventId(hook.record.grant)));
        let runs = hooks.map(|(run, _)| *run).chain(grants.iter().copied()).collect();
        self.sling.readers_made += 1;
        let token = self.sling.readers_made;
        self.sling.readers.insert(token, reader);
        cx.out.push(Effect::Work(WorkEffect::ReadLog { token, runs, from }));
        true
    }

    /// A peer wants to read a log of this host. `None`: it is answered later.
    pub(crate) fn log_asked(
        &mut self,
        cx: &mut Cx<'_>,
        (peer, inbound): (PeerId, u64),
        space: SpaceId,
        query: &wire::LogQuery,
    ) -> Option<wire::response::Body> {
        let refused = |code: &str, why: &str| {
            Some(wire::response::Body::Refusal(wire::Refusal { code: code.to_owned(), message: why.to_owned() }))
        };
        let asker: Option<PubKey> = self.peers.npub(&peer);
        let coordinator = self.spaces.get(&space).and_then(|space| space.charter.coordinator());
        // What a program prints may name what is on its machine.
        if !asker.is_some_and(|npub| self.same_owner(&space, &npub) || coordinator == Some(npub)) {
            return refused("not_yours", "logs are for their owner's machines and the coordinator");
        }
        let ids = query.grants.iter().take(limits::LOG_GRANTS_MAX);
        let grants: Vec<EventId> = ids.filter_map(|id| <[u8; 32]>::try_from(id.as_slice()).ok()).map(EventId).collect();
        if self.read_log(cx, Reader::Peer(inbound), &grants, query.from) {
            None
        } else {
            refused("busy", "too many logs are read")
        }
    }

    /// A part of a log was read here.
    pub(crate) fn log_read(&mut self, cx: &mut Cx<'_>, token: u64, part: Result<LogPart, String>) {
        match (self.sling.readers.remove(&token), part) {
            (Some(Reader::Caller(call)), part) => cx.reply(call, part.map(|part| part_json(&part)).map_err(no_log)),
            (Some(Reader::Peer(inbound)), part) => {
                let answer = match part {
                    Ok(LogPart { run, bytes, next, ended }) => {
                        wire::response::Body::Log(wire::LogPart { run: run.0.to_vec(), bytes, next, ended })
                    }
                    Err(message) => wire::response::Body::Refusal(wire::Refusal { code: "no_log".to_owned(), message }),
                };
                let body = proto::encode(&wire::Response { body: Some(answer) });
                cx.net(NetEffect::Answer { inbound, body });
            }
            (None, _) => {}
        }
    }

    /// What a peer answered to a question of [`Engine::work_log`].
    pub(crate) fn log_answered(
        &mut self,
        cx: &mut Cx<'_>,
        call: CallId,
        answer: Result<wire::response::Body, String>,
    ) -> Result<(), ViewError> {
        use wire::response::Body as Say;
        let part = match answer {
            Ok(Say::Log(part)) if part.bytes.len() <= limits::LOG_PART_BYTES_MAX => {
                let run = <[u8; 32]>::try_from(part.run.as_slice()).map(EventId);
                run.map(|run| LogPart { run, bytes: part.bytes, next: part.next, ended: part.ended })
                    .map_err(|_| "the worker's answer makes no sense".to_owned())
            }
            Ok(Say::Refusal(no)) => Err(super::step::text(&no.message)),
            Ok(_) => Err("the worker's answer makes no sense".to_owned()),
            Err(why) => Err(why),
        };
        cx.reply(call, part.map(|part| part_json(&part)).map_err(no_log));
        Ok(())
    }
}

fn no_log(why: String) -> ApiError {
    ApiError::new("no_log", format!("the log cannot be read: {why}")).hint("townmesh work show BEAD")
}

fn part_json(part: &LogPart) -> Value {
    json!({"run": part.run, "text": String::from_utf8_lossy(&part.bytes), "next": part.next, "ended": part.ended})
}
