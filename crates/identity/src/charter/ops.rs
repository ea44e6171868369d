//! Which ops count. When an op arrived never matters.

use super::chain::CharterChain;
use types::{EventId, PubKey, Writer};

/// Why an op does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpRefusal {
    /// It names a version that is not known (yet).
    #[error("the op names a charter version that is not known here")]
    UnknownCharter,
    /// It names a version that grew from a retired owner key.
    #[error("the op names a charter version without effect")]
    VoidCharter,
    /// Its host may not write under the version that it names.
    #[error("the op's host may not write under the charter version that it names")]
    NotAWriter,
    /// It comes after the last op that a removal leaves valid.
    #[error("the op comes after the last valid one ({0}) of a host that was removed")]
    AfterCutoff(u64),
    /// It has the number of the last valid op and is another one.
    #[error("the op is not the last valid one of a host that was removed")]
    OtherThanCutoff,
}

impl OpRefusal {
    /// A stable machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            OpRefusal::UnknownCharter => "unknown_charter",
            OpRefusal::VoidCharter => "void_charter",
            OpRefusal::NotAWriter => "not_a_writer",
            OpRefusal::AfterCutoff(_) => "after_cutoff",
            OpRefusal::OtherThanCutoff => "other_than_cutoff",
        }
    }
}

impl CharterChain {
    /// Whether a host may write under a version.
    pub fn may_write_at(&self, npub: &PubKey, charter: &EventId) -> bool {
        self.version(charter).is_some_and(|c| c.may_write(npub)) && !self.void(charter)
    }

    /// Whether the newest removals of a writer's host leave this op out, whatever version it names. For chains whose
    /// ops are not at hand; see [`CharterChain::check_op`].
    pub fn cut_off(&self, writer: &Writer, seq: u64, id: &EventId) -> bool {
        let removals = self.removals.get(&writer.host).map(Vec::as_slice).unwrap_or_default();
        let standing = |r: &&usize| !self.void.has(**r) && !removals.iter().any(|q| self.versions[*q].before.has(**r));
        removals.iter().filter(standing).any(|r| {
            let (last, last_id) = self.last_valid(*r, writer);
            seq > last || (seq == last && last_id.as_ref() != Some(id))
        })
    }

    /// The last op of a writer that a removal leaves valid.
    fn last_valid(&self, removal: usize, writer: &Writer) -> (u64, Option<EventId>) {
        let removed = self.versions[removal].charter.removed.iter().find(|x| x.npub == writer.host);
        let cutoff = removed.and_then(|x| x.cutoffs.iter().find(|c| c.incarnation == writer.incarnation));
        cutoff.map_or((0, None), |c| (c.seq, c.id))
    }

    /// Whether an op counts: its host may write under the version that it names, and no version beside or after that
    /// one cuts it off. Every such removal must leave it valid, so the lowest cut-off wins. A removal before the
    /// version that the op names is over: the host came back.
    ///
    /// Below a cut-off the two sides of a fork are not told apart: that a chain leads to the last valid op is for
    /// whoever holds the chain.
    ///
    /// # Errors
    /// [`OpRefusal`].
    pub fn check_op(&self, writer: &Writer, seq: u64, id: &EventId, charter: &EventId) -> Result<(), OpRefusal> {
        let at = *self.index.get(charter).ok_or(OpRefusal::UnknownCharter)?;
        if self.void.has(at) {
            return Err(OpRefusal::VoidCharter);
        }
        let version = &self.versions[at];
        if !version.charter.may_write(&writer.host) {
            return Err(OpRefusal::NotAWriter);
        }
        let removals = self.removals.get(&writer.host).map(Vec::as_slice).unwrap_or_default();
        let mut lowest: Option<(u64, Option<EventId>)> = None;
        let mut other = false;
        for r in removals.iter().filter(|r| !self.void.has(**r) && !version.before.has(**r)) {
            let (last, last_id) = self.last_valid(*r, writer);
            other |= seq == last && last_id.as_ref() != Some(id);
            if lowest.is_none_or(|(seq, _)| last < seq) {
                lowest = Some((last, last_id));
            }
        }
        match lowest {
            Some((last, _)) if seq > last => Err(OpRefusal::AfterCutoff(last)),
            _ if other => Err(OpRefusal::OtherThanCutoff),
            _ => Ok(()),
        }
    }
}
