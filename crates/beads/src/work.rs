//! What a bead keeps of the work that was slung with it: the steps of the transcript as they were signed.
//!
//! Who may sign which step is not decided here. What is: a write of who works and how far it is, made together with a
//! step under one grant, no longer counts once a step under a newer grant is known. It stays visible beside what is shown.

use crate::register::Outdated;
use crate::state::BeadState;
use crate::unit::Unit;
use serde_json::{Map, Value};
use types::{Dot, EventId, Fence};

/// A step as a bead keeps it, the value of [`Unit::Work`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkStep {
    /// The signed event's JSON (kind 8732).
    pub event: String,
    /// The fence of the grant that it belongs to; none for an offer.
    pub fence: Option<Fence>,
}

impl WorkStep {
    /// The unit that keeps the step with this event id.
    pub fn unit(id: &EventId) -> Unit {
        let mut key = [0; 16];
        key.copy_from_slice(&id.0[..16]);
        Unit::Work(key)
    }

    /// The kept form.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("ev".into(), Value::from(self.event.as_str()));
        if let Some(fence) = self.fence {
            map.insert("f".into(), Value::from(vec![fence.epoch, fence.n]));
        }
        Value::Object(map)
    }

    /// Reads [`WorkStep::to_value`]; members that are not known have no effect.
    pub fn from_value(value: &Value) -> Option<WorkStep> {
        let map = value.as_object()?;
        let event = map.get("ev")?.as_str()?.to_owned();
        let fence = match map.get("f") {
            None => None,
            Some(fence) => Some(fence_of(fence)?),
        };
        Some(WorkStep { event, fence })
    }
}

fn fence_of(value: &Value) -> Option<Fence> {
    match value.as_array()?.as_slice() {
        [epoch, n] => Some(Fence { epoch: epoch.as_u64()?, n: n.as_u64()? }),
        _ => None,
    }
}

impl BeadState {
    /// Every step that is kept, and the op that brought it.
    pub fn work(&self) -> impl Iterator<Item = (Dot, WorkStep)> + '_ {
        let lives = self.live.iter().filter(|(unit, _)| matches!(unit, Unit::Work(_))).flat_map(|(_, lives)| lives);
        lives.filter_map(|live| Some((live.dot, WorkStep::from_value(live.value.as_ref()?)?)))
    }

    /// Whether any step is kept.
    pub fn has_work(&self) -> bool {
        self.live.keys().next_back().is_some_and(|unit| matches!(unit, Unit::Work(_)))
    }

    /// The ops that were written under a grant which is not the newest.
    pub(crate) fn outdated(&self) -> Outdated {
        if !self.has_work() {
            return Outdated::new();
        }
        let fences: Vec<(Dot, Fence)> = self.work().filter_map(|(dot, step)| Some((dot, step.fence?))).collect();
        let newest = fences.iter().map(|(_, fence)| *fence).max();
        fences.into_iter().filter(|(_, fence)| Some(*fence) < newest).map(|(dot, _)| dot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::birth::{Birth, BirthInfo};
    use crate::diff::create_writes;
    use crate::line::{Parsed, parse_line};
    use crate::write::{Stamp, Write};
    use serde_json::json;
    use types::{Hlc, PubKey, UnixMs, Writer};

    fn stamp(writer: u8, seq: u64) -> Stamp {
        let writer = Writer { host: PubKey([writer; 32]), incarnation: 0 };
        Stamp { dot: Dot { writer, seq, tag: 0 }, hlc: Hlc::new(UnixMs(seq), 0) }
    }

    fn write(birth: Birth, unit: Unit, value: Value) -> Write {
        Write { id: "a".parse().unwrap(), birth, unit, value: Some(value), replaces: Vec::new(), baseline: None }
    }

    fn step(n: u64) -> (Unit, Value) {
        let step = WorkStep { event: format!("{{{n}}}"), fence: Some(Fence { epoch: 1, n }) };
        (WorkStep::unit(&EventId([n as u8; 32])), step.to_value())
    }

    #[test]
    fn an_outdated_result_never_closes_a_bead() {
        let Ok(Parsed::Issue(bead)) = parse_line(r#"{"id":"a","title":"t","status":"open"}"#) else { panic!() };
        let birth =
            BirthInfo::from_value(&create_writes(&bead, None)[0].value.clone().unwrap()).unwrap().birth(&bead.id);
        let creation = create_writes(&bead, None);
        let granted = |n: u64, status: &str| {
            let (unit, value) = step(n);
            vec![write(birth, Unit::Lifecycle, json!({"status": status})), write(birth, unit, value)]
        };
        // The first grant's close comes from a host whose clock is ahead and that never heard of the second.
        let ops =
            [(stamp(1, 1), creation), (stamp(1, 2), granted(2, "in_progress")), (stamp(2, 9), granted(1, "closed"))];
        for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0]] {
            let mut state = BeadState::new("a".parse().unwrap());
            for at in order {
                for write in &ops[at].1 {
                    state.apply(&ops[at].0, write, &|_| false).unwrap();
                }
            }
            let shown = &state.shown()[0];
            assert_eq!(shown.bead.text("status"), "in_progress");
            let beside = shown.conflicts.iter().find(|c| c.unit == Unit::Lifecycle).unwrap();
            assert!(beside.values.iter().any(|v| v.value.as_ref().unwrap()["status"] == "closed"), "kept for review");
            assert_eq!(state.contribution().digest, {
                let again = BeadState::decode(&state.encode()).unwrap();
                again.contribution().digest
            });
        }
    }

    #[test]
    fn work_brings_no_bead_into_being_and_none_back() {
        let mut state = BeadState::new("a".parse().unwrap());
        let (unit, value) = step(1);
        state.apply(&stamp(1, 1), &write(Birth([7; 8]), unit, value), &|_| false).unwrap();
        assert!(state.shown().is_empty() && state.has_work() && state.work().count() == 1);
    }

    #[test]
    fn other_values_are_refused() {
        for value in [json!(null), json!("x"), json!({}), json!({"ev": 1}), json!({"ev": "x", "f": [1]})] {
            assert_eq!(WorkStep::from_value(&value), None, "{value}");
        }
    }
}
