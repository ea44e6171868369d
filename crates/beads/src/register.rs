//! The multi-value register: which of several live writes is shown, and which stand beside it.

use crate::birth::Birth;
use crate::canon::{canonical, hash_canonical};
use crate::time::instant_ns;
use crate::unit::Unit;
use crate::write::Baseline;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use types::{Dot, Hlc};

/// A write that nobody replaced.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live {
    pub birth: Birth,
    pub dot: Dot,
    pub hlc: Hlc,
    pub value: Option<Value>,
    pub baseline: Option<Baseline>,
    /// What a delete saw, sorted.
    pub covers: Vec<Dot>,
}

impl Live {
    /// What was written under an outdated grant stands below everything else; an edit stands above every baseline; edits
    /// go by their clock, baselines by their line's time; then dots.
    fn rank(&self, outdated: &Outdated) -> (bool, bool, u64, Dot) {
        let current = !outdated.contains(&self.dot);
        match &self.baseline {
            None => (current, true, self.hlc.packed(), self.dot),
            Some(baseline) => (current, false, baseline.updated_at.0, self.dot),
        }
    }
}

/// Dots of ops that were written under a grant which is no longer the newest of its bead.
pub(crate) type Outdated = BTreeSet<Dot>;

/// Live writes of one value.
pub(crate) struct Group {
    /// The value to show for them, as its highest-ranking write has it.
    pub value: Option<Value>,
    pub canonical: Option<Vec<u8>>,
    /// The dots of these writes, and of those that count as replaced by them. Sorted.
    pub dots: Vec<Dot>,
    pub hlc: Hlc,
    /// All of them came from imports.
    pub baseline: bool,
}

struct Item<'a> {
    live: &'a Live,
    canonical: Option<Vec<u8>>,
}

/// The values of one unit, highest rank first: the first is shown, more than one are a conflict.
pub(crate) fn resolve(unit: &Unit, lives: &[&Live], outdated: &Outdated) -> Vec<Group> {
    if let [live] = lives {
        return vec![group_of(&Item { live, canonical: canonical(unit, live.value.as_ref()) })];
    }
    let mut items: Vec<Item<'_>> =
        lives.iter().map(|live| Item { live, canonical: canonical(unit, live.value.as_ref()) }).collect();
    items.sort_unstable_by_key(|item| std::cmp::Reverse(item.live.rank(outdated)));
    match unit {
        Unit::CreatedAt | Unit::UpdatedAt => return extreme(unit, &items).into_iter().collect(),
        Unit::Birth | Unit::Delete | Unit::Label(_) | Unit::Work(_) => return all_as_one(&items).into_iter().collect(),
        _ => {}
    }
    let (items, no_claim) = claims(items);
    let replaced = replaced_by_history(&items);
    let mut groups: Vec<(Group, Vec<&Item<'_>>)> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        if replaced.contains_key(&i) {
            continue;
        }
        match groups.iter_mut().find(|(g, _)| g.canonical == item.canonical) {
            Some((group, members)) => {
                group.dots.push(item.live.dot);
                group.baseline &= item.live.baseline.is_some();
                members.push(item);
            }
            None => groups.push((group_of(item), vec![item])),
        }
    }
    for (i, by) in replaced {
        let by = groups.iter_mut().find(|(g, _)| by.contains(&hash_canonical(g.canonical.as_deref())));
        if let (Some((group, _)), Some(item)) = (by, items.get(i)) {
            group.dots.push(item.live.dot);
        }
    }
    if let Some((first, _)) = groups.first_mut() {
        first.dots.extend(no_claim);
    }
    groups.into_iter().map(|(group, members)| finish(unit, group, &members)).collect()
}

fn group_of(item: &Item<'_>) -> Group {
    Group {
        value: item.live.value.clone(),
        canonical: item.canonical.clone(),
        dots: vec![item.live.dot],
        hlc: item.live.hlc,
        baseline: item.live.baseline.is_some(),
    }
}

fn finish(unit: &Unit, mut group: Group, members: &[&Item<'_>]) -> Group {
    group.dots.sort_unstable();
    if let (Unit::Dep(_), true) = (unit, members.len() > 1) {
        group.value = earliest_companions(group.value, members);
    }
    group
}

/// An import without a value says nothing about the unit, unless there is nothing else.
fn claims(items: Vec<Item<'_>>) -> (Vec<Item<'_>>, Vec<Dot>) {
    let silent = |item: &Item<'_>| item.live.baseline.is_some() && item.canonical.is_none();
    if items.iter().all(silent) {
        return (items, Vec::new());
    }
    let (silent, claims): (Vec<_>, Vec<_>) = items.into_iter().partition(silent);
    (claims, silent.iter().map(|item| item.live.dot).collect())
}

/// Which baseline items count as replaced, and the hashes of the values that stand for them.
///
/// A value that another baseline's history names as its ancestor is replaced by that one. Histories may be long and
/// may contradict each other: a value goes only when one leads away from it and none leads back, so that something
/// is always left.
fn replaced_by_history(items: &[Item<'_>]) -> BTreeMap<usize, BTreeSet<u64>> {
    let mut newer: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut hashes: Vec<(usize, u64)> = Vec::new();
    if items.iter().any(|item| item.live.baseline.as_ref().is_some_and(|b| !b.ancestors.is_empty())) {
        for (i, item) in items.iter().enumerate().filter(|(_, item)| item.live.baseline.is_some()) {
            hashes.push((i, hash_canonical(item.canonical.as_deref())));
        }
    }
    let present: BTreeSet<u64> = hashes.iter().map(|(_, hash)| *hash).collect();
    for (i, hash) in &hashes {
        let ancestors = items[*i].live.baseline.iter().flat_map(|b| &b.ancestors);
        for old in ancestors.filter(|old| present.contains(old) && *old != hash) {
            newer.entry(*old).or_default().insert(*hash);
        }
    }
    let reach: BTreeMap<u64, BTreeSet<u64>> = newer.keys().map(|hash| (*hash, reachable(*hash, &newer))).collect();
    let leads = |from: u64, to: u64| reach.get(&from).is_some_and(|r| r.contains(&to));
    let gone = |hash: u64| reach.get(&hash).is_some_and(|r| r.iter().any(|to| *to != hash && !leads(*to, hash)));
    hashes.into_iter().filter(|(_, hash)| gone(*hash)).map(|(i, hash)| (i, reach[&hash].clone())).collect()
}

fn reachable(from: u64, newer: &BTreeMap<u64, BTreeSet<u64>>) -> BTreeSet<u64> {
    let mut out = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(at) = todo.pop() {
        for next in newer.get(&at).into_iter().flatten() {
            if out.insert(*next) {
                todo.push(*next);
            }
        }
    }
    out
}

/// The earliest creation, or the latest change; both know no conflict. Items come highest rank first.
fn extreme(unit: &Unit, items: &[Item<'_>]) -> Option<Group> {
    let instant = |item: &Item<'_>| item.live.value.as_ref().and_then(Value::as_str).and_then(instant_ns);
    let mut best: Option<(&Item<'_>, i128)> = None;
    for item in items {
        if let Some(at) = instant(item) {
            let better = best.is_none_or(|(_, b)| if *unit == Unit::CreatedAt { at < b } else { at > b });
            if better {
                best = Some((item, at));
            }
        }
    }
    let item = best.map(|(item, _)| item).or(items.first())?;
    Some(Group { dots: all_dots(items), ..group_of(item) })
}

fn all_as_one(items: &[Item<'_>]) -> Option<Group> {
    Some(Group { dots: all_dots(items), ..group_of(items.first()?) })
}

fn all_dots(items: &[Item<'_>]) -> Vec<Dot> {
    let mut dots: Vec<Dot> = items.iter().map(|item| item.live.dot).collect();
    dots.sort_unstable();
    dots
}

/// Of equal edges the earliest says when and by whom it was made.
fn earliest_companions(value: Option<Value>, members: &[&Item<'_>]) -> Option<Value> {
    let made = |map: &Map<String, Value>| map.get("created_at").and_then(Value::as_str).and_then(instant_ns);
    let mut earliest: Option<(i128, &Map<String, Value>)> = None;
    for member in members {
        if let Some(Value::Object(map)) = &member.live.value
            && let Some(at) = made(map)
            && earliest.is_none_or(|(best, _)| at < best)
        {
            earliest = Some((at, map));
        }
    }
    let (Some(Value::Object(mut map)), Some((_, from))) = (value.clone(), earliest) else { return value };
    for name in ["created_at", "created_by"] {
        match from.get(name) {
            Some(v) => drop(map.insert(name.into(), v.clone())),
            None => drop(map.shift_remove(name)),
        }
    }
    Some(Value::Object(map))
}
