//! A few writers who hold one bead id each in their own way, and pass ops on.

use beads::{BeadId, BeadState, Stamp, Unit, Write};
use serde_json::Value;
use types::{Dot, Hlc, PubKey, UnixMs, Writer};

/// One op: all its writes are to one id here.
#[derive(Clone, Debug)]
pub struct Op {
    pub stamp: Stamp,
    pub writes: Vec<Write>,
}

/// One writer and what it holds.
#[derive(Clone, Debug)]
pub struct Host {
    pub state: BeadState,
    pub ops: Vec<Op>,
    pub me: u8,
    seq: u64,
}

pub fn id() -> BeadId {
    "app-x1".parse().unwrap()
}

pub fn bead(fields: &str) -> beads::Bead {
    let line = format!("{{\"id\":\"app-x1\"{}{fields}}}", if fields.is_empty() { "" } else { "," });
    match beads::parse_line(&line).unwrap() {
        beads::Parsed::Issue(bead) => bead,
        other => panic!("{other:?}"),
    }
}

pub fn dot(host: u8, seq: u64) -> Dot {
    Dot { writer: Writer { host: PubKey([host; 32]), incarnation: 7 }, seq, tag: u32::from(host) * 1000 + seq as u32 }
}

pub fn field(name: &str) -> Unit {
    Unit::Field(name.into())
}

impl Host {
    pub fn new(me: u8) -> Host {
        Host { state: BeadState::new(id()), ops: Vec::new(), me, seq: 0 }
    }

    pub fn has(&self, dot: &Dot) -> bool {
        self.ops.iter().any(|op| op.stamp.dot == *dot)
    }

    /// Takes an op in, once.
    pub fn take(&mut self, op: &Op) {
        if self.has(&op.stamp.dot) {
            return;
        }
        let ops = self.ops.clone();
        let seen = move |dot: &Dot| ops.iter().any(|op| op.stamp.dot == *dot);
        for write in &op.writes {
            self.state.apply(&op.stamp, write, &seen).unwrap();
        }
        self.ops.push(op.clone());
    }

    /// Writes an op at a time in milliseconds.
    pub fn write(&mut self, ms: u64, writes: Vec<Write>) -> Option<Dot> {
        if writes.is_empty() {
            return None;
        }
        self.seq += 1;
        let stamp = Stamp { dot: dot(self.me, self.seq), hlc: Hlc::new(UnixMs(ms), 0) };
        self.take(&Op { stamp, writes });
        Some(stamp.dot)
    }

    /// Takes everything that another host holds.
    pub fn sync(&mut self, from: &Host) {
        for op in &from.ops {
            self.take(op);
        }
    }

    pub fn shown(&self) -> beads::Shown {
        self.state.shown().into_iter().next().unwrap()
    }

    /// Changes the bead as somebody does who sees it on this host.
    pub fn edit(&mut self, ms: u64, change: impl FnOnce(&mut beads::Bead)) -> Option<Dot> {
        let shown = self.shown();
        let mut bead = shown.bead.clone();
        change(&mut bead);
        let diff = beads::diff(&beads::Shadow::of(&shown), &bead);
        assert!(!diff.stale);
        self.write(ms, diff.writes)
    }

    pub fn set(&mut self, ms: u64, name: &str, value: impl Into<Value>) -> Option<Dot> {
        let value = value.into();
        self.edit(ms, |bead| assert!(bead.set(name, (!value.is_null()).then_some(value))))
    }

    pub fn create(&mut self, ms: u64, fields: &str) -> Dot {
        self.write(ms, beads::create_writes(&bead(fields), None)).unwrap()
    }

    pub fn import(&mut self, ms: u64, fields: &str) -> Dot {
        self.write(ms, beads::create_writes(&bead(fields), Some(&|_| Vec::new()))).unwrap()
    }
}

/// Everybody takes everything from everybody.
pub fn sync_all(hosts: &mut [&mut Host]) {
    let ops: Vec<Op> = hosts.iter().flat_map(|h| h.ops.clone()).collect();
    for host in hosts.iter_mut() {
        for op in &ops {
            host.take(op);
        }
    }
    for host in hosts.iter() {
        assert_eq!(host.state, hosts[0].state);
    }
}

/// The values of a conflict, the shown one first.
pub fn conflict(shown: &beads::Shown, unit: &Unit) -> Vec<Option<Value>> {
    let found = shown.conflicts.iter().find(|c| c.unit == *unit);
    found.map(|c| c.values.iter().map(|v| v.value.clone()).collect()).unwrap_or_default()
}
