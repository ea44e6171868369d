//! Which bead an id means: two machines may give the same id to different things, and different times to one thing.

use crate::bead::BeadId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;

/// A bead's birth: the first eight bytes of SHA-256 over its id, its creation (UTC second) and its first title.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Birth(pub [u8; 8]);

impl Birth {
    /// The birth of a bead that was created in this UTC second (`None`: unknown) under this title.
    pub fn of(id: &BeadId, created: Option<i64>, title: &str) -> Birth {
        let mut hasher = Sha256::new();
        hasher.update(b"townmesh/birth/1\0");
        hasher.update((id.as_str().len() as u64).to_be_bytes());
        hasher.update(id.as_str());
        match created {
            None => hasher.update([0]),
            Some(second) => {
                hasher.update([1]);
                hasher.update(second.to_be_bytes());
            }
        }
        hasher.update(title);
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize()[..8]);
        Birth(first)
    }
}

impl fmt::Display for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Birth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Birth({self})")
    }
}

impl FromStr for Birth {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Birth(bytes))
    }
}

impl Serialize for Birth {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Birth {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a write of a birth says: `{"created": UTC second or null, "title": text, "tombstone": true or not there}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BirthInfo {
    pub created: Option<i64>,
    pub title: String,
    pub tombstone: bool,
}

impl BirthInfo {
    pub fn birth(&self, id: &BeadId) -> Birth {
        Birth::of(id, self.created, &self.title)
    }

    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("created".into(), self.created.map_or(Value::Null, Value::from));
        map.insert("title".into(), Value::from(self.title.as_str()));
        if self.tombstone {
            map.insert("tombstone".into(), Value::Bool(true));
        }
        Value::Object(map)
    }

    pub fn from_value(value: &Value) -> Option<BirthInfo> {
        let map = value.as_object()?;
        let created = match map.get("created")? {
            Value::Null => None,
            second => Some(second.as_i64()?),
        };
        let title = map.get("title")?.as_str()?.to_owned();
        let tombstone = match map.get("tombstone") {
            None => false,
            Some(flag) => flag.as_bool()?,
        };
        let known = |k: &String| matches!(k.as_str(), "created" | "title" | "tombstone");
        map.keys().all(known).then_some(BirthInfo { created, title, tombstone })
    }
}

/// What somebody decided about a pair of births; the key has the smaller one first.
pub(crate) type Relations = BTreeMap<(Birth, Birth), bool>;

/// One bead among those that share an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The earliest first.
    pub births: Vec<Birth>,
}

/// Sorts births as they came into the world; those of which nothing is known come last.
fn age(birth: Birth, infos: &BTreeMap<Birth, BirthInfo>) -> (bool, bool, i64, Birth) {
    let info = infos.get(&birth);
    let created = info.and_then(|i| i.created);
    (info.is_none(), created.is_none(), created.unwrap_or(0), birth)
}

struct UnionFind {
    parent: Vec<usize>,
}

impl UnionFind {
    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

fn agree(a: &BirthInfo, b: &BirthInfo) -> bool {
    a.tombstone || b.tombstone || a.title == b.title || (a.created.is_some() && a.created == b.created)
}

/// Which births are one bead. Births of equal second or title are, or if one is a tombstone; transitively.
/// `relations`: true joins a pair, false takes its direct edge away.
pub(crate) fn group(births: &BTreeSet<Birth>, infos: &BTreeMap<Birth, BirthInfo>, relations: &Relations) -> Vec<Group> {
    let mut sorted: Vec<Birth> = births.iter().copied().collect();
    sorted.sort_unstable_by_key(|b| age(*b, infos));
    let mut sets = UnionFind { parent: (0..sorted.len()).collect() };
    if relations.values().all(|same| *same) {
        join_all(&sorted, infos, &mut sets);
    } else {
        join_unless_split(&sorted, infos, relations, &mut sets);
    }
    let place: HashMap<Birth, usize> = sorted.iter().enumerate().map(|(i, b)| (*b, i)).collect();
    for ((a, b), same) in relations {
        if let (true, Some(a), Some(b)) = (*same, place.get(a), place.get(b)) {
            sets.join(*a, *b);
        }
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    for (i, birth) in sorted.iter().enumerate() {
        groups.entry(sets.root(i)).or_insert_with(|| Group { births: Vec::new() }).births.push(*birth);
    }
    groups.into_values().collect()
}

/// The usual case in linear time.
fn join_all(sorted: &[Birth], infos: &BTreeMap<Birth, BirthInfo>, sets: &mut UnionFind) {
    let mut seconds: HashMap<i64, usize> = HashMap::new();
    let mut titles: HashMap<&str, usize> = HashMap::new();
    let known: Vec<(usize, &BirthInfo)> =
        sorted.iter().enumerate().filter_map(|(i, b)| infos.get(b).map(|info| (i, info))).collect();
    let tombstone = known.iter().find(|(_, info)| info.tombstone).map(|(i, _)| *i);
    for (i, info) in known {
        if let Some(second) = info.created {
            sets.join(*seconds.entry(second).or_insert(i), i);
        }
        sets.join(*titles.entry(&info.title).or_insert(i), i);
        if let Some(tombstone) = tombstone {
            sets.join(tombstone, i);
        }
    }
}

/// With split pairs every edge has to be looked at on its own.
fn join_unless_split(
    sorted: &[Birth],
    infos: &BTreeMap<Birth, BirthInfo>,
    relations: &Relations,
    sets: &mut UnionFind,
) {
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate().skip(i + 1) {
            let split = relations.get(&((*a).min(*b), (*a).max(*b))) == Some(&false);
            if let (false, Some(x), Some(y)) = (split, infos.get(a), infos.get(b))
                && agree(x, y)
            {
                sets.join(i, j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(n: u8) -> Birth {
        Birth([n; 8])
    }

    fn groups(infos: &[(u8, i64, &str, bool)], relations: &[(u8, u8, bool)]) -> Vec<Vec<u8>> {
        let infos: BTreeMap<Birth, BirthInfo> = infos
            .iter()
            .map(|(n, at, title, tombstone)| {
                (b(*n), BirthInfo { created: Some(*at), title: (*title).into(), tombstone: *tombstone })
            })
            .collect();
        let relations = relations.iter().map(|(x, y, same)| ((b(*x), b(*y)), *same)).collect();
        let births = infos.keys().copied().collect();
        group(&births, &infos, &relations).iter().map(|g| g.births.iter().map(|b| b.0[0]).collect()).collect()
    }

    #[test]
    fn second_title_or_tombstone_make_one_bead() {
        assert_eq!(groups(&[(1, 10, "a", false), (2, 10, "b", false)], &[]), [[1, 2]]);
        assert_eq!(groups(&[(1, 20, "a", false), (2, 10, "a", false)], &[]), [[2, 1]]);
        assert_eq!(groups(&[(1, 10, "a", false), (2, 20, "b", true)], &[]), [[1, 2]]);
        assert_eq!(groups(&[(1, 10, "a", false), (2, 20, "b", false)], &[]), [vec![1], vec![2]]);
        let chain = [(1, 10, "a", false), (2, 10, "b", false), (3, 30, "b", false)];
        assert_eq!(groups(&chain, &[]), [[1, 2, 3]]);
    }

    #[test]
    fn people_have_the_last_word_on_a_pair() {
        let same = [(1, 10, "a", false), (2, 10, "a", false)];
        assert_eq!(groups(&same, &[(1, 2, false)]), [vec![1], vec![2]]);
        let other = [(1, 10, "a", false), (2, 20, "b", false)];
        assert_eq!(groups(&other, &[(1, 2, true)]), [[1, 2]]);
        // A split takes the direct edge only: 3 still holds both together.
        let three = [(1, 10, "a", false), (2, 10, "b", false), (3, 10, "c", false)];
        assert_eq!(groups(&three, &[(1, 2, false)]), [[1, 2, 3]]);
        // Nor does it keep a tombstone from joining the others.
        let grave = [(1, 10, "a", false), (2, 10, "a", false), (3, 30, "c", true)];
        assert_eq!(groups(&grave, &[(1, 2, false)]), [[1, 2, 3]]);
        assert_eq!(groups(&grave, &[(1, 3, false), (2, 3, false)]), [vec![1, 2], vec![3]]);
        // Something decided about an unknown birth changes nothing.
        assert_eq!(groups(&other, &[(1, 9, true), (2, 9, false)]), [vec![1], vec![2]]);
    }

    #[test]
    fn what_is_hashed_makes_the_birth() {
        let id: BeadId = "a-1".parse().unwrap();
        let birth = Birth::of(&id, Some(1), "t");
        assert_ne!(birth, Birth::of(&id, Some(2), "t"));
        assert_ne!(birth, Birth::of(&id, None, "t"));
        assert_ne!(birth, Birth::of(&"a-2".parse().unwrap(), Some(1), "t"));
        assert_eq!(birth.to_string().parse(), Ok(birth));
        assert!("zz".parse::<Birth>().is_err());
        let info = BirthInfo { created: None, title: "x".into(), tombstone: true };
        assert_eq!(BirthInfo::from_value(&info.to_value()), Some(info));
    }
}
