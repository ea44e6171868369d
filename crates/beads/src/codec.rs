//! How states and shadows are kept: a version byte, then postcard with writers and dots named once.

use crate::bead::BeadId;
use crate::birth::Birth;
use crate::diff::Shadow;
use crate::json::parse_json;
use crate::register::Live;
use crate::state::BeadState;
use crate::unit::Unit;
use crate::write::{Baseline, WriteError, check_parts};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::{Dot, Hlc, PubKey, UnixMs, Writer};

/// Version of both encodings, their first byte.
pub const BEAD_STATE_VERSION: u8 = 1;

/// Why bytes are not a state or a shadow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes, or of a version that this program does not know.
    #[error("version {0:?} instead of {BEAD_STATE_VERSION}")]
    Version(Option<u8>),
    /// Not what [`BeadState::encode`] or [`Shadow::encode`] write.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A write in it would be refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn malformed(what: impl ToString) -> DecodeError {
    DecodeError::Malformed(what.to_string())
}

/// Writers and dots, each once.
#[derive(Default, Serialize, Deserialize)]
struct Names {
    writers: Vec<([u8; 32], u64)>,
    dots: Vec<(u32, u64, u32)>,
}

#[derive(Default)]
struct Naming {
    names: Names,
    writers: HashMap<Writer, u32>,
    dots: HashMap<Dot, u32>,
}

impl Naming {
    fn dot(&mut self, dot: &Dot) -> u32 {
        if let Some(at) = self.dots.get(dot) {
            return *at;
        }
        let next = self.names.writers.len() as u32;
        let writer = *self.writers.entry(dot.writer).or_insert(next);
        if writer == next {
            self.names.writers.push((dot.writer.host.0, dot.writer.incarnation));
        }
        let at = self.names.dots.len() as u32;
        self.names.dots.push((writer, dot.seq, dot.tag));
        self.dots.insert(*dot, at);
        at
    }
}

impl Names {
    fn dots(&self) -> Result<Vec<Dot>, DecodeError> {
        let dot = |(writer, seq, tag): &(u32, u64, u32)| {
            let (host, incarnation) = self.writers.get(*writer as usize).ok_or_else(|| malformed("no such writer"))?;
            let writer = Writer { host: PubKey(*host), incarnation: *incarnation };
            Ok(Dot { writer, seq: *seq, tag: *tag })
        };
        self.dots.iter().map(dot).collect()
    }
}

fn pick<T: Copy>(from: &[T], at: u32) -> Result<T, DecodeError> {
    from.get(at as usize).copied().ok_or_else(|| malformed("an index leads nowhere"))
}

#[derive(Serialize, Deserialize)]
struct StateForm {
    id: BeadId,
    names: Names,
    births: Vec<[u8; 8]>,
    units: Vec<(Unit, Vec<LiveForm>)>,
    pending: Vec<(Unit, u32)>,
}

#[derive(Serialize, Deserialize)]
struct LiveForm {
    birth: u32,
    dot: u32,
    hlc: u64,
    value: Option<String>,
    baseline: Option<(u64, Vec<u64>)>,
    covers: Vec<u32>,
}

fn to_bytes<T: Serialize>(form: &T) -> Vec<u8> {
    // SAFETY of the default: postcard fails on these types only when memory is out; an empty record does not decode.
    postcard::to_extend(form, vec![BEAD_STATE_VERSION]).unwrap_or_default()
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        Some((&BEAD_STATE_VERSION, rest)) => {
            let (form, left) = postcard::take_from_bytes(rest).map_err(malformed)?;
            if left.is_empty() { Ok(form) } else { Err(malformed("bytes behind the end")) }
        }
        other => Err(DecodeError::Version(other.map(|(v, _)| *v))),
    }
}

impl BeadState {
    /// The kept form.
    pub fn encode(&self) -> Vec<u8> {
        let mut naming = Naming::default();
        let births: BTreeSet<Birth> = self.live.values().flatten().map(|l| l.birth).collect();
        let births: Vec<Birth> = births.into_iter().collect();
        let mut units = Vec::with_capacity(self.live.len());
        for (unit, lives) in &self.live {
            let form = |live: &Live| LiveForm {
                birth: births.binary_search(&live.birth).unwrap_or(0) as u32,
                dot: naming.dot(&live.dot),
                hlc: live.hlc.packed(),
                value: live.value.as_ref().map(ToString::to_string),
                baseline: live.baseline.as_ref().map(|b| (b.updated_at.0, b.ancestors.clone())),
                covers: live.covers.iter().map(|dot| naming.dot(dot)).collect(),
            };
            units.push((unit.clone(), lives.iter().map(form).collect()));
        }
        let pending = self.pending.iter().map(|(unit, dot)| (unit.clone(), naming.dot(dot))).collect();
        let births = births.iter().map(|b| b.0).collect();
        to_bytes(&StateForm { id: self.id.clone(), names: naming.names, births, units, pending })
    }

    /// Reads [`BeadState::encode`], checking every write again.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<BeadState, DecodeError> {
        let form: StateForm = from_bytes(bytes)?;
        let dots = form.names.dots()?;
        let mut live = BTreeMap::new();
        for (unit, forms) in form.units {
            let mut lives = Vec::with_capacity(forms.len());
            for one in forms {
                lives.push(read_live(&form.id, &unit, one, &dots, &form.births)?);
            }
            if lives.is_empty() || lives.windows(2).any(|w: &[Live]| w[0].dot >= w[1].dot) {
                return Err(malformed("dots out of order"));
            }
            if live.insert(unit, lives).is_some() {
                return Err(malformed("a unit twice"));
            }
        }
        let mut pending = BTreeSet::new();
        for (unit, dot) in form.pending {
            pending.insert((unit, pick(&dots, dot)?));
        }
        Ok(BeadState { id: form.id, live, pending })
    }
}

fn read_live(id: &BeadId, unit: &Unit, form: LiveForm, dots: &[Dot], births: &[[u8; 8]]) -> Result<Live, DecodeError> {
    let birth = Birth(pick(births, form.birth)?);
    let value = form.value.as_deref().map(parse_json).transpose().map_err(malformed)?;
    check_parts(id, birth, unit, value.as_ref())?;
    let covers: Vec<Dot> = form.covers.iter().map(|at| pick(dots, *at)).collect::<Result<_, _>>()?;
    if covers.windows(2).any(|w| w[0] >= w[1]) {
        return Err(malformed("covered dots out of order"));
    }
    Ok(Live {
        birth,
        dot: pick(dots, form.dot)?,
        hlc: Hlc::from_packed(form.hlc),
        value,
        baseline: form.baseline.map(|(ms, ancestors)| Baseline { updated_at: UnixMs(ms), ancestors }),
        covers,
    })
}

#[derive(Serialize, Deserialize)]
struct ShadowForm {
    id: BeadId,
    birth: [u8; 8],
    updated_at: Option<i128>,
    names: Names,
    units: Vec<(Unit, u64, Vec<u32>)>,
}

impl Shadow {
    fn form(&self) -> ShadowForm {
        let mut naming = Naming::default();
        let mut units = Vec::with_capacity(self.units.len());
        for (unit, (hash, dots)) in &self.units {
            units.push((unit.clone(), *hash, dots.iter().map(|dot| naming.dot(dot)).collect()));
        }
        let (id, birth) = (self.id.clone(), self.birth.0);
        ShadowForm { id, birth, updated_at: self.updated_at_ns, names: naming.names, units }
    }

    fn from_form(form: ShadowForm) -> Result<Shadow, DecodeError> {
        let dots = form.names.dots()?;
        let mut units = BTreeMap::new();
        for (unit, hash, at) in form.units {
            let seen: Vec<Dot> = at.iter().map(|at| pick(&dots, *at)).collect::<Result<_, _>>()?;
            units.insert(unit, (hash, seen));
        }
        Ok(Shadow { id: form.id, birth: Birth(form.birth), updated_at_ns: form.updated_at, units })
    }

    /// The kept form, with a version in front.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(&self.form())
    }

    /// Reads [`Shadow::encode`].
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Shadow, DecodeError> {
        Shadow::from_form(from_bytes(bytes)?)
    }
}

/// As part of a larger record: writers and dots named once, no version of its own.
impl Serialize for Shadow {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.form().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Shadow {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Shadow::from_form(ShadowForm::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}
