//! Serving a pull from the store, page by page, so that a slow reader costs no memory.

use crate::records::checkpoint::part_key;
use crate::records::op;
use proto::{limits, wire};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use types::{EventId, PubKey, SpaceId, Table, View, ViewError, Writer};

/// What a peer may have: the engine's answer to a pull request.
#[derive(Clone, Debug)]
pub struct ServePlan {
    space: SpaceId,
    ranges: VecDeque<(Writer, u64, u64)>,
    /// Where the next page begins inside the first range.
    cursor: Option<Vec<u8>>,
    refusal: Option<(String, String)>,
    /// What is not held op by op, told with the first page.
    floors: Vec<wire::Tip>,
    /// A checkpoint and its next part, instead of ranges.
    checkpoint: Option<(EventId, u32)>,
    done: bool,
}

impl ServePlan {
    pub(crate) fn ranges(space: SpaceId, ranges: &[wire::Range], floors: Vec<wire::Tip>) -> ServePlan {
        let range = |r: &wire::Range| {
            let writer = Writer { host: PubKey::from_slice(&r.host).ok()?, incarnation: r.incarnation };
            Some((writer, r.from.max(1), if r.to == 0 { u64::MAX } else { r.to }))
        };
        let ranges = ranges.iter().take(limits::PULL_RANGES_MAX).filter_map(range).collect();
        ServePlan { ranges, floors, ..ServePlan::empty(space) }
    }

    pub(crate) fn checkpoint(space: SpaceId, id: EventId, part: u32) -> ServePlan {
        ServePlan { checkpoint: Some((id, part)), ..ServePlan::empty(space) }
    }

    pub(crate) fn refuse(code: &str, message: &str) -> ServePlan {
        let refusal = Some((code.to_owned(), message.to_owned()));
        ServePlan { refusal, ..ServePlan::empty(SpaceId([0; 32])) }
    }

    fn empty(space: SpaceId) -> ServePlan {
        ServePlan {
            space,
            ranges: VecDeque::new(),
            cursor: None,
            refusal: None,
            floors: Vec::new(),
            checkpoint: None,
            done: false,
        }
    }
}

/// The next frame of a served pull; `None` when the last one was given.
///
/// # Errors
/// [`ViewError`] when the store cannot be read.
pub fn serve_page(view: &dyn View, plan: &mut ServePlan) -> Result<Option<Vec<u8>>, ViewError> {
    if plan.done {
        return Ok(None);
    }
    let mut page = wire::PullPage::default();
    if let Some((code, message)) = plan.refusal.take() {
        page.refusal = Some(wire::Refusal { code, message });
    }
    page.floors = std::mem::take(&mut plan.floors);
    if let Some((id, part)) = &mut plan.checkpoint {
        // One part fills a page; a plan holds no more than its place.
        page.parts.extend(view.get(Table::Checkpoints, &part_key(&plan.space, id, *part))?);
        *part = part.saturating_add(1);
        plan.done = page.parts.is_empty();
        page.last = plan.done;
        return Ok(Some(proto::encode(&page)));
    }
    let mut bytes = 0;
    while bytes < limits::PAGE_BYTES {
        let Some((writer, from, to)) = plan.ranges.front().copied() else {
            page.last = true;
            plan.done = true;
            break;
        };
        let start = plan.cursor.take().unwrap_or_else(|| op::seq_prefix(&plan.space, &writer, from));
        let mut next = None;
        view.scan(Table::Ops, &op::writer_prefix(&plan.space, &writer), &start, &mut |key, event| {
            match op::parse(key) {
                Some((_, seq, _)) if seq <= to => {}
                _ => return ControlFlow::Break(()),
            }
            if bytes >= limits::PAGE_BYTES {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            bytes += event.len() + 4;
            page.events.push(event.to_vec());
            ControlFlow::Continue(())
        })?;
        match next {
            Some(key) => plan.cursor = Some(key),
            None => {
                plan.ranges.pop_front();
            }
        }
    }
    Ok(Some(proto::encode(&page)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use types::Put;

    #[test]
    fn pages_hold_every_op_of_the_ranges_once_and_in_order() {
        let space = SpaceId([1; 32]);
        let writer = Writer { host: PubKey([2; 32]), incarnation: 3 };
        let mut store = Memory::default();
        for seq in 1..=60u64 {
            let value = Some([&seq.to_be_bytes()[..], &[0; 50_000]].concat());
            store.apply(&[Put { table: Table::Ops, key: op::key(&space, &writer, seq, &EventId([0; 32])), value }]);
        }
        let range = wire::Range { host: vec![2; 32], incarnation: 3, from: 5, to: 50 };
        let mut plan = ServePlan::ranges(space, &[range], Vec::new());
        let mut seen = Vec::new();
        let mut pages = 0;
        while let Some(frame) = serve_page(&store, &mut plan).unwrap() {
            assert!(frame.len() <= limits::FRAME_BYTES_MAX);
            let page: wire::PullPage = proto::decode(&frame, limits::FRAME_BYTES_MAX).unwrap();
            seen.extend(page.events.iter().map(|e| u64::from_be_bytes(e[..8].try_into().unwrap())));
            pages += 1;
        }
        assert_eq!(seen, (5..=50).collect::<Vec<_>>());
        assert!(pages > 3, "{pages}");
    }

    #[test]
    fn a_refusal_is_one_page() {
        let mut plan = ServePlan::refuse("not_a_member", "no");
        let frame = serve_page(&Memory::default(), &mut plan).unwrap().unwrap();
        let page: wire::PullPage = proto::decode(&frame, limits::FRAME_BYTES_MAX).unwrap();
        assert!(page.last && page.refusal.is_some());
        assert_eq!(serve_page(&Memory::default(), &mut plan).unwrap(), None);
    }
}
