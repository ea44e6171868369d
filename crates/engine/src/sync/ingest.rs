//! Taking in events: verified against their author, the author against the charter, then applied.

use crate::engine::{Cx, Engine};
use crate::op::{Op, OpError};
use crate::records::{self, waiting};
use identity::{Event, Unverified, kinds};
use proto::limits;
use serde_json::json;
use std::collections::BTreeSet;
use types::{EventId, SpaceId, Table, ViewError, Writer};

/// So long, in milliseconds, nothing is asked of a writer of whom an op waits for the clock.
const BLOCKED_MS_MAX: u64 = 60_000;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// New and applied.
    Applied,
    /// Held already.
    Known,
    /// Valid so far, but its predecessor is missing.
    Gap(Writer),
    /// It names a charter version that is not held.
    NeedCharter,
    /// Stamped too far ahead; kept aside until then.
    Waits(Writer),
    /// Invalid; the code says why.
    Rejected(&'static str),
}

impl Engine {
    /// Takes in one event of a space, whoever handed it over.
    pub(crate) fn take_in(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, bytes: &[u8]) -> Result<Taken, ViewError> {
        match Event::parse(bytes) {
            Ok(event) => self.take_parsed(cx, space_id, event, bytes),
            Err(err) => Ok(self.rejected(err.code())),
        }
    }

    /// [`Engine::take_in`] of an event that was parsed from `bytes`.
    pub(crate) fn take_parsed(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        event: Unverified,
        bytes: &[u8],
    ) -> Result<Taken, ViewError> {
        let event = match event.verify() {
            Ok(event) => event,
            Err(err) => return Ok(self.rejected(err.code())),
        };
        let taken = match event.kind() {
            kinds::BEAD_OP => self.take_op(cx, space_id, &event, bytes)?,
            kinds::CHARTER => self.take_charter(cx, space_id, &event)?,
            kinds::CHECKPOINT => self.take_checkpoint(space_id, &event),
            _ => Taken::Rejected("unknown_kind"),
        };
        if let Taken::Rejected(code) = taken {
            self.rejected(code);
        }
        Ok(taken)
    }

    pub(crate) fn rejected(&mut self, code: &'static str) -> Taken {
        self.count(code);
        Taken::Rejected(code)
    }

    fn take_op(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, event: &Event, bytes: &[u8]) -> Result<Taken, ViewError> {
        let Some(space) = self.spaces.get(&space_id) else { return Ok(Taken::Rejected("unknown_space")) };
        let member = space.charter.ever_member(&event.pubkey());
        let body = match space.open(event) {
            Ok(body) => body,
            Err(_) if !member => return Ok(Taken::Rejected("unknown_author")),
            Err(code) => return Ok(Taken::Rejected(code)),
        };
        let op = match Op::decode(event.pubkey(), &body) {
            Ok(op) => op,
            Err(OpError::Newer(_)) => return Ok(Taken::Rejected("newer_op_version")),
            Err(_) => return Ok(Taken::Rejected("malformed_op")),
        };
        let id = event.id();
        if cx.txn.has(Table::Ops, &records::op::key(&space_id, &op.writer, op.seq, &id))? {
            // It may have come before the base did.
            self.history_is_here(cx, space_id, &op)?;
            return Ok(Taken::Known);
        }
        if !space.charter.knows(&op.charter) {
            // Whoever holds the space's key may have been let in by a version that has not come yet.
            return Ok(Taken::NeedCharter);
        }
        if !member {
            return Ok(Taken::Rejected("unknown_author"));
        }
        if let Err(refused) = space.charter.check_op(&op.writer, op.seq, &id, &op.charter) {
            return Ok(Taken::Rejected(refused.code()));
        }
        if self.is_history(&space_id, &op) {
            return self.take_history(cx, space_id, &op, id, bytes);
        }
        if op.writer == self.writer() {
            // It is signed with this host's key: the store is older than it was (a restored backup), or was copied.
            self.new_incarnation(cx, "a peer holds an op of this host that its own store does not");
        }
        let Some(space) = self.spaces.get(&space_id) else { return Ok(Taken::Rejected("unknown_space")) };
        if op.hlc.check(cx.now).is_err() {
            self.park(cx, space_id, &op, id, bytes)?;
            return Ok(Taken::Waits(op.writer));
        }
        if let Some(prev) = &op.prev
            && !space.follows_an_end(&op)
            && !cx.txn.has(Table::Ops, &records::op::key(&space_id, &op.writer, op.seq - 1, prev))?
        {
            return Ok(Taken::Gap(op.writer));
        }
        self.clock.observe(op.hlc, cx.now);
        self.apply_op(cx, space_id, &op, id, bytes.to_vec())?;
        Ok(Taken::Applied)
    }

    /// Keeps an op and folds its writes. The op is valid and its predecessor is held.
    pub(crate) fn apply_op(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        op: &Op,
        id: EventId,
        json: Vec<u8>,
    ) -> Result<(), ViewError> {
        cx.txn.put(Table::Ops, records::op::key(&space_id, &op.writer, op.seq, &id), json);
        self.fold_op(cx, space_id, op, id, &BTreeSet::new())?;
        cx.txn.count_op(&space_id)
    }

    pub(crate) fn forked(&mut self, cx: &mut Cx<'_>, space_id: SpaceId, op: &Op, id: EventId) {
        self.count("fork");
        let what = format!("{} wrote op {} twice (now {})", op.writer.host.fmt_short(), op.seq, id.fmt_short());
        let key = records::op::key(&space_id, &op.writer, op.seq, &id);
        let proof = json!({"kind": "fork", "space": space_id, "host": op.writer.host,
            "incarnation": op.writer.incarnation, "seq": op.seq, "id": id, "seen_ms": cx.now.0});
        cx.txn.put(Table::Evidence, key, proof.to_string().into_bytes());
        cx.warn("fork", what);
        if op.writer == self.writer() {
            self.new_incarnation(cx, "another copy of this home writes too");
        }
    }

    fn park(
        &mut self,
        cx: &mut Cx<'_>,
        space_id: SpaceId,
        op: &Op,
        id: EventId,
        bytes: &[u8],
    ) -> Result<(), ViewError> {
        let key = waiting::key(&space_id, &id);
        let until_ms = op.hlc.ms().0.saturating_sub(types::MAX_AHEAD_MS);
        let Some(space) = self.spaces.get_mut(&space_id) else { return Ok(()) };
        // Not longer than this at once: its writer may have told others of other ops, which stand on their own.
        let blocked_ms = until_ms.min(cx.now.plus_ms(BLOCKED_MS_MAX).0);
        let until = space.blocked.entry(op.writer).or_insert(blocked_ms);
        *until = (*until).min(blocked_ms);
        if space.waiting < limits::WAITING_MAX && !cx.txn.has(Table::Waiting, &key)? {
            space.waiting += 1;
            cx.txn.put_record(Table::Waiting, key, &waiting::WaitingRecord { until_ms, event: bytes.to_vec() });
        }
        self.count("op_from_the_future");
        Ok(())
    }

    /// Ops whose time has come are taken in; the rest goes on waiting.
    pub(crate) fn retry_waiting(&mut self, cx: &mut Cx<'_>, space_id: SpaceId) -> Result<(), ViewError> {
        let due: Vec<_> = cx
            .txn
            .collect(Table::Waiting, &space_id.0)?
            .into_iter()
            .filter_map(|(key, value)| {
                let record: waiting::WaitingRecord = records::unpack(Table::Waiting, &value).ok()?;
                (record.until_ms <= cx.now.0).then_some((key, record.event))
            })
            .collect();
        for (key, event) in due {
            cx.txn.delete(Table::Waiting, key);
            if let Some(space) = self.spaces.get_mut(&space_id) {
                space.waiting = space.waiting.saturating_sub(1);
            }
            self.take_in(cx, space_id, &event)?;
        }
        if let Some(space) = self.spaces.get_mut(&space_id) {
            let latest = cx.now.plus_ms(BLOCKED_MS_MAX).0;
            space.blocked.retain(|_, until| *until > cx.now.0 && *until <= latest);
        }
        Ok(())
    }

    /// This host goes on under a new number: its chain is no longer only its own.
    pub(crate) fn new_incarnation(&mut self, cx: &mut Cx<'_>, why: &str) {
        let number = u64::from_be_bytes(crate::entropy::draw(cx.entropy));
        let record = records::meta::Incarnation { number, fingerprint: self.fingerprint };
        self.incarnation = number;
        cx.txn.put_record(Table::Meta, records::meta::INCARNATION.to_vec(), &record);
        self.count("new_incarnation");
        cx.warn("new_incarnation", format!("writing on under a new incarnation: {why}"));
    }
}
