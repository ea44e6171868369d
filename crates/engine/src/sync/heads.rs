//! What is missing: two hosts' chain ends compared, as a pure function.

use crate::records::tips::Tips;
use proto::{limits, wire};
use std::collections::BTreeMap;
use types::{EventId, PubKey, Writer};

/// Ends of chains per writer.
pub(crate) type Ends = BTreeMap<Writer, Tips>;

/// One remote chain end, checked for shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RemoteTip {
    pub writer: Writer,
    pub seq: u64,
    pub id: EventId,
}

/// Reads the ends a peer told; ill-formed ones are skipped, the number is limited.
pub(crate) fn remote_tips(tips: &[wire::Tip]) -> Vec<RemoteTip> {
    let tip = |t: &wire::Tip| {
        let writer = Writer { host: PubKey::from_slice(&t.host).ok()?, incarnation: t.incarnation };
        Some(RemoteTip { writer, seq: t.seq, id: EventId::from_slice(&t.id).ok()? })
    };
    tips.iter().take(limits::TIPS_MAX).filter_map(tip).collect()
}

/// Our ends, for telling a peer.
pub(crate) fn wire_tips(ends: &Ends) -> Vec<wire::Tip> {
    let mut out = Vec::new();
    for (writer, tips) in ends {
        for (seq, id) in &tips.0 {
            out.push(wire::Tip {
                host: writer.host.0.to_vec(),
                incarnation: writer.incarnation,
                seq: *seq,
                id: id.to_vec(),
            });
        }
    }
    out.truncate(limits::TIPS_MAX);
    out
}

/// The ranges of ops that the peer holds and we do not.
///
/// `has` says whether we hold an op; `back` how far below our own end to begin for a writer whose chains have
/// parted from ours (zero for all others).
pub(crate) fn missing(
    ours: &Ends,
    theirs: &[RemoteTip],
    has: &dyn Fn(&RemoteTip) -> bool,
    back: &dyn Fn(&Writer) -> u64,
) -> Vec<wire::Range> {
    let mut ranges: BTreeMap<Writer, (u64, u64)> = BTreeMap::new();
    for tip in theirs {
        if tip.seq == 0 || has(tip) {
            continue;
        }
        let top = ours.get(&tip.writer).map_or(0, Tips::top);
        let from = if tip.seq > top { top + 1 } else { tip.seq };
        let from = from.saturating_sub(back(&tip.writer)).max(1);
        let range = ranges.entry(tip.writer).or_insert((from, tip.seq));
        range.0 = range.0.min(from);
        range.1 = range.1.max(tip.seq);
    }
    ranges
        .into_iter()
        .take(limits::PULL_RANGES_MAX)
        .map(|(writer, (from, to))| wire::Range {
            host: writer.host.0.to_vec(),
            incarnation: writer.incarnation,
            from,
            to,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(b: u8) -> Writer {
        Writer { host: PubKey([b; 32]), incarnation: 1 }
    }

    fn tip(b: u8, seq: u64, id: u8) -> RemoteTip {
        RemoteTip { writer: writer(b), seq, id: EventId([id; 32]) }
    }

    #[test]
    fn only_what_we_lack_is_asked_for() {
        let ours = Ends::from([(writer(1), Tips(vec![(5, [5; 32])])), (writer(2), Tips(vec![(3, [3; 32])]))]);
        let theirs = [tip(1, 9, 9), tip(2, 3, 3), tip(3, 2, 2)];
        let has = |t: &RemoteTip| ours.get(&t.writer).is_some_and(|x| x.contains(t.seq, &t.id));
        let got: Vec<_> = missing(&ours, &theirs, &has, &|_| 0).iter().map(|r| (r.host[0], r.from, r.to)).collect();
        assert_eq!(got, [(1, 6, 9), (3, 1, 2)]);
    }

    #[test]
    fn a_parted_chain_is_asked_for_from_further_and_further_back() {
        let ours = Ends::from([(writer(1), Tips(vec![(9, [9; 32])]))]);
        let theirs = [tip(1, 7, 77)];
        let range = |back: u64| {
            let r = &missing(&ours, &theirs, &|_| false, &|_| back)[0];
            (r.from, r.to)
        };
        assert_eq!((range(0), range(2), range(100)), ((7, 7), (5, 7), (1, 7)));
    }

    #[test]
    fn ill_formed_tips_are_skipped() {
        let bad = wire::Tip { host: vec![1; 31], incarnation: 0, seq: 1, id: vec![0; 32] };
        assert!(remote_tips(&[bad]).is_empty());
    }
}
