//! The body of an op event (kind 8731): a batch of writes by one writer in one space.
//!
//! JSON, sealed in private spaces. Writers and dots are named once per op and referred to by index. Fields that a
//! version does not know are ignored here and kept in the event, which travels as it was signed.

use beads::{Baseline, BeadId, Birth, Unit, Write};
use proto::limits;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use types::{Dot, EventId, Hlc, PubKey, UnixMs, Writer};

/// Version of the body.
pub const OP_VERSION: u32 = 1;

/// Longest actor in bytes.
const ACTOR_LEN_MAX: usize = 256;

/// Dots that one op may name.
const DOTS_MAX: usize = 20_000;

/// An op without its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Whose sequence numbers.
    pub writer: Writer,
    /// From 1, without gaps.
    pub seq: u64,
    /// The writer's previous op.
    pub prev: Option<EventId>,
    /// Chooses what is shown among concurrent writes.
    pub hlc: Hlc,
    /// The charter version under which it was written.
    pub charter: EventId,
    /// Who did it: an address or a tool's name.
    pub actor: String,
    /// At most one write per id and unit.
    pub writes: Vec<Write>,
    /// Writes of kinds that this version does not know; they have no effect here.
    pub unknown_writes: usize,
}

/// Why a body is not an op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Not the JSON that was expected.
    #[error("malformed op: {0}")]
    Malformed(String),
    /// Made by a newer program; kept and passed on without effect.
    #[error("op version {0} is newer than this program")]
    Newer(u32),
    /// More writes, dots or bytes than allowed.
    #[error("{what}: {count} where at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many came.
        count: usize,
        /// How many may.
        max: usize,
    },
    /// Two writes to one unit of one id.
    #[error("two writes to {unit} of {id}")]
    Repeated {
        /// The bead's id.
        id: String,
        /// The unit.
        unit: String,
    },
    /// An index into a table that is too short.
    #[error("index {0} is outside its table")]
    Index(usize),
}

#[derive(Serialize, Deserialize)]
struct Body {
    v: u32,
    #[serde(rename = "i")]
    incarnation: u64,
    #[serde(rename = "s")]
    seq: u64,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    prev: Option<EventId>,
    #[serde(rename = "t")]
    hlc: Hlc,
    #[serde(rename = "c")]
    charter: EventId,
    #[serde(rename = "a")]
    actor: String,
    #[serde(rename = "W", default, skip_serializing_if = "Vec::is_empty")]
    writers: Vec<(PubKey, u64)>,
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    dots: Vec<(usize, u64, u32)>,
    #[serde(rename = "b")]
    beads: Vec<BeadBody>,
}

#[derive(Serialize, Deserialize)]
struct BeadBody {
    id: String,
    n: String,
    w: Vec<WriteBody>,
}

#[derive(Serialize, Deserialize)]
struct WriteBody {
    u: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    r: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<BaselineBody>,
}

#[derive(Serialize, Deserialize)]
struct BaselineBody {
    t: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    h: Vec<u64>,
}

#[derive(Default)]
struct Tables {
    writers: Vec<(PubKey, u64)>,
    writer_at: HashMap<Writer, usize>,
    dots: Vec<(usize, u64, u32)>,
    dot_at: HashMap<Dot, usize>,
}

impl Tables {
    fn dot(&mut self, dot: &Dot) -> usize {
        if let Some(at) = self.dot_at.get(dot) {
            return *at;
        }
        let writers = &mut self.writers;
        let writer = *self.writer_at.entry(dot.writer).or_insert_with(|| {
            writers.push((dot.writer.host, dot.writer.incarnation));
            writers.len() - 1
        });
        self.dots.push((writer, dot.seq, dot.tag));
        self.dot_at.insert(*dot, self.dots.len() - 1);
        self.dots.len() - 1
    }
}

impl Op {
    /// The body's JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut tables = Tables::default();
        let mut beads: Vec<BeadBody> = Vec::new();
        for write in &self.writes {
            let body = WriteBody {
                u: write.unit.to_string(),
                x: write.value.clone(),
                r: write.replaces.iter().map(|d| tables.dot(d)).collect(),
                m: write.baseline.as_ref().map(|b| BaselineBody { t: b.updated_at.0, h: b.ancestors.clone() }),
            };
            let (id, n) = (write.id.as_str(), write.birth.to_string());
            match beads.last_mut() {
                Some(last) if last.id == id && last.n == n => last.w.push(body),
                _ => beads.push(BeadBody { id: id.to_owned(), n, w: vec![body] }),
            }
        }
        let body = Body {
            v: OP_VERSION,
            incarnation: self.writer.incarnation,
            seq: self.seq,
            prev: self.prev,
            hlc: self.hlc,
            charter: self.charter,
            actor: self.actor.clone(),
            writers: tables.writers,
            dots: tables.dots,
            beads,
        };
        // SAFETY: a body holds only strings, numbers and JSON values.
        #[allow(clippy::expect_used)]
        serde_json::to_vec(&body).expect("a body is JSON")
    }

    /// Reads a body that `author` signed.
    ///
    /// # Errors
    /// [`OpError`]; nothing of a bad body is used.
    pub fn decode(author: PubKey, bytes: &[u8]) -> Result<Op, OpError> {
        let malformed = |e: &dyn std::fmt::Display| OpError::Malformed(e.to_string());
        if bytes.len() > limits::EVENT_BYTES_MAX {
            let (count, max) = (bytes.len(), limits::EVENT_BYTES_MAX);
            return Err(OpError::TooMany { what: "bytes", count, max });
        }
        let body: Body = match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(e) => {
                #[derive(Deserialize)]
                struct Version {
                    v: u32,
                }
                return Err(match serde_json::from_slice::<Version>(bytes) {
                    Ok(Version { v }) if v > OP_VERSION => OpError::Newer(v),
                    _ => malformed(&e),
                });
            }
        };
        if body.v > OP_VERSION {
            return Err(OpError::Newer(body.v));
        }
        check(&body)?;
        let dots = body
            .dots
            .iter()
            .map(|(w, seq, tag)| {
                let (host, incarnation) = *body.writers.get(*w).ok_or(OpError::Index(*w))?;
                Ok(Dot { writer: Writer { host, incarnation }, seq: *seq, tag: *tag })
            })
            .collect::<Result<Vec<_>, OpError>>()?;
        let (writes, unknown_writes) = writes(body.beads, &dots)?;
        Ok(Op {
            writer: Writer { host: author, incarnation: body.incarnation },
            seq: body.seq,
            prev: body.prev,
            hlc: body.hlc,
            charter: body.charter,
            actor: body.actor,
            writes,
            unknown_writes,
        })
    }
}

fn check(body: &Body) -> Result<(), OpError> {
    let too_many = |what, count, max| if count > max { Err(OpError::TooMany { what, count, max }) } else { Ok(()) };
    too_many("actor bytes", body.actor.len(), ACTOR_LEN_MAX)?;
    too_many("dots", body.dots.len(), DOTS_MAX)?;
    too_many("writes", body.beads.iter().map(|b| b.w.len()).sum(), limits::OP_WRITES_MAX)?;
    if body.seq == 0 || (body.seq == 1) != body.prev.is_none() {
        return Err(OpError::Malformed("the first op has no predecessor and every other op has one".to_owned()));
    }
    Ok(())
}

fn writes(beads: Vec<BeadBody>, dots: &[Dot]) -> Result<(Vec<Write>, usize), OpError> {
    let mut writes = Vec::new();
    let mut unknown = 0;
    let mut seen = HashSet::new();
    for bead in beads {
        let id = bead.id.parse::<BeadId>().map_err(|e| OpError::Malformed(e.to_string()))?;
        let birth: Birth = bead.n.parse().map_err(|_| OpError::Malformed(format!("birth {:?}", short(&bead.n))))?;
        for w in bead.w {
            let Ok(unit) = w.u.parse::<Unit>() else {
                unknown += 1;
                continue;
            };
            if !seen.insert((id.clone(), unit.clone())) {
                return Err(OpError::Repeated { id: bead.id, unit: w.u });
            }
            let replaces =
                w.r.iter()
                    .map(|at| dots.get(*at).copied().ok_or(OpError::Index(*at)))
                    .collect::<Result<Vec<_>, _>>()?;
            let baseline = w.m.map(|m| Baseline { updated_at: UnixMs(m.t), ancestors: m.h });
            writes.push(Write { id: id.clone(), birth, unit, value: w.x, replaces, baseline });
        }
    }
    Ok((writes, unknown))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Splits writes into bodies that fit into one event each: at most `bytes_max` bytes, one write per id and unit.
/// The order is kept, so that a bead's writes stay together where they can.
pub fn split(writes: Vec<Write>, bytes_max: usize) -> Vec<Vec<Write>> {
    let mut parts: Vec<Vec<Write>> = Vec::new();
    let mut part: Vec<Write> = Vec::new();
    let mut seen: HashSet<(BeadId, Unit)> = HashSet::new();
    let mut bytes = BODY_BYTES;
    for write in writes {
        let size = size_of_write(&write, part.last());
        let repeated = seen.contains(&(write.id.clone(), write.unit.clone()));
        if !part.is_empty() && (bytes + size > bytes_max || repeated || part.len() >= limits::OP_WRITES_MAX) {
            parts.push(std::mem::take(&mut part));
            seen.clear();
            bytes = BODY_BYTES;
        }
        bytes += size;
        seen.insert((write.id.clone(), write.unit.clone()));
        part.push(write);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// What a body takes without its writes, generously.
const BODY_BYTES: usize = 1024;

fn size_of_write(write: &Write, before: Option<&Write>) -> usize {
    let value = write.value.as_ref().map_or(0, |v| v.to_string().len());
    let ancestors = write.baseline.as_ref().map_or(0, |b| 30 + 21 * b.ancestors.len());
    // A dot may bring a new writer (90 bytes) and a table entry (40) besides its index (7).
    let dots = write.replaces.len() * 140;
    let head = match before {
        Some(b) if b.id == write.id && b.birth == write.birth => 0,
        _ => write.id.as_str().len() * 2 + 48,
    };
    head + write.unit.to_string().len() * 2 + value + ancestors + dots + 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn op(writes: Vec<Write>) -> Op {
        Op {
            writer: Writer { host: PubKey([1; 32]), incarnation: u64::MAX },
            seq: 2,
            prev: Some(EventId([3; 32])),
            hlc: Hlc::new(UnixMs(5), 6),
            charter: EventId([4; 32]),
            actor: "a:b/crew/c".to_owned(),
            writes,
            unknown_writes: 0,
        }
    }

    fn write(id: &str, unit: &str, value: serde_json::Value, replaces: Vec<Dot>) -> Write {
        Write {
            id: id.parse().unwrap(),
            birth: "0011223344556677".parse().unwrap(),
            unit: unit.parse().unwrap(),
            value: Some(value),
            replaces,
            baseline: None,
        }
    }

    #[test]
    fn bodies_round_trip() {
        let dot = Dot { writer: Writer { host: PubKey([9; 32]), incarnation: 1 }, seq: 3, tag: 77 };
        let mut with_baseline = write("a-2", "field:title", json!("t"), vec![dot, dot]);
        with_baseline.baseline = Some(Baseline { updated_at: UnixMs(12), ancestors: vec![u64::MAX, 0] });
        let op = op(vec![write("a-1", "field:title", json!("x"), vec![dot]), with_baseline]);
        assert_eq!(Op::decode(op.writer.host, &op.encode()).unwrap(), op);
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let good: serde_json::Value =
            serde_json::from_slice(&op(vec![write("a-1", "field:title", json!("x"), vec![])]).encode()).unwrap();
        let broken = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut body = good.clone();
            change(&mut body);
            Op::decode(PubKey([1; 32]), body.to_string().as_bytes())
        };
        assert!(broken(&|_| ()).is_ok());
        assert_eq!(broken(&|b| b["v"] = json!(9)), Err(OpError::Newer(9)));
        assert!(matches!(broken(&|b| b["s"] = json!(0)), Err(OpError::Malformed(_))));
        assert!(matches!(broken(&|b| b["s"] = json!(1)), Err(OpError::Malformed(_))));
        assert_eq!(broken(&|b| b["b"][0]["w"][0]["r"] = json!([4])), Err(OpError::Index(4)));
        assert!(matches!(
            broken(&|b| b["b"][0]["w"] = json!([{"u":"field:title","x":1},{"u":"field:title","x":2}])),
            Err(OpError::Repeated { .. })
        ));
        assert!(matches!(broken(&|b| b["b"][0]["id"] = json!("a\nb")), Err(OpError::Malformed(_))));
        assert_eq!(broken(&|b| b["b"][0]["w"][0]["u"] = json!("?new")).unwrap().unknown_writes, 1);
        assert!(matches!(broken(&|b| b["a"] = json!("x".repeat(300))), Err(OpError::TooMany { .. })));
        assert!(matches!(Op::decode(PubKey([1; 32]), b"{"), Err(OpError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Op::decode(PubKey([1; 32]), &bytes);
        }

        #[test]
        fn parts_fit_and_keep_everything(sizes in proptest::collection::vec(0usize..3000, 1..60)) {
            let writes: Vec<_> = sizes.iter().enumerate()
                .map(|(n, size)| write(&format!("a-{}", n / 3), &format!("field:x{}", n % 2), json!("y".repeat(*size)), vec![]))
                .collect();
            let parts = split(writes.clone(), 8_000);
            prop_assert_eq!(parts.concat(), writes);
            for part in parts {
                prop_assert!(part.len() == 1 || op(part.clone()).encode().len() <= 8_000);
                prop_assert!(Op::decode(PubKey([1; 32]), &op(part).encode()).is_ok());
            }
        }
    }
}
