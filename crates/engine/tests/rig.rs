//! One engine with a store in memory, and a beads file that behaves as the bridge does.

use engine::{
    ApiError, ApplyResult, Boot, Command, Effect, Engine, Entropy, FileLine, FileSnapshot, Generation, Input, Memory,
    NetEffect, SpaceRef, WorkspaceEffect, WorkspaceInput,
};
use identity::{HostKey, OwnerKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use types::UnixMs;

/// Deterministic bytes: a counter through a hash.
pub struct Seeded(pub u64);

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            let hash = Sha256::digest(self.0.to_be_bytes());
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
    }
}

/// Ids and their new lines; `None` removes.
pub type Lines = Vec<(String, Option<String>)>;

pub struct Rig {
    pub engine: Engine,
    pub store: Memory,
    pub entropy: Seeded,
    pub now: u64,
    pub published: Vec<Vec<u8>>,
    pub file: BTreeMap<String, String>,
    /// What the bridge knew of the file last.
    known: BTreeMap<String, String>,
    pub broken: Vec<(u32, String)>,
    pub prepared: Option<(u64, Lines)>,
    /// Whether prepared files are committed by themselves.
    pub commits: bool,
    /// Whether the snapshot came before the answer the last time.
    late: bool,
    pub writes: usize,
}

pub const DIR: &str = "/w";

pub fn generation(file: &BTreeMap<String, String>) -> Generation {
    let mut out = [0; 20];
    out.copy_from_slice(&Sha256::digest(format!("{file:?}").as_bytes())[..20]);
    out
}

pub fn boot(store: &Memory, entropy: &mut Seeded, now: u64, fingerprint: u8) -> (Engine, Vec<Effect>) {
    let boot = Boot {
        host: HostKey::generate([1; 32], [2; 32]),
        owner: Some(OwnerKey::generate([3; 32], [4; 32])),
        name: "desktop".to_owned(),
        fingerprint: [fingerprint; 32],
        offline: false,
        gossip: true,
        checkpoints: Default::default(),
    };
    Engine::boot(store, boot, UnixMs(now), entropy).unwrap()
}

impl Rig {
    pub fn new() -> Rig {
        let (mut store, mut entropy, now) = (Memory::default(), Seeded(0), 1_800_000_000_000);
        let (engine, effects) = boot(&store, &mut entropy, now, 7);
        for effect in effects {
            if let Effect::Persist(puts) = effect {
                store.apply(&puts);
            }
        }
        let mut rig = Rig {
            engine,
            store,
            entropy,
            now,
            published: Vec::new(),
            file: BTreeMap::new(),
            known: BTreeMap::new(),
            broken: Vec::new(),
            prepared: None,
            commits: true,
            late: false,
            writes: 0,
        };
        rig.ask(Command::SpaceNew { name: "app".to_owned(), public: false }).unwrap();
        rig
    }

    /// With a coupled file that has these lines.
    pub fn with_file(lines: &[Value]) -> Rig {
        let mut rig = Rig::new();
        rig.edit_file(lines);
        let attach = Command::SpaceAttach {
            at: SpaceRef::default(),
            dir: DIR.to_owned(),
            kind: engine::WorkspaceKind::File,
            generations: Vec::new(),
            ancestors: BTreeMap::new(),
        };
        rig.ask(attach).unwrap();
        rig.look(true);
        rig
    }

    /// Restarts the engine from its store; the bridge looks at the whole file.
    pub fn restart(&mut self) {
        let (engine, effects) = boot(&self.store, &mut self.entropy, self.now, 7);
        self.engine = engine;
        self.prepared = None;
        self.carry_out(effects);
        self.look(true);
    }

    pub fn ask(&mut self, command: Command) -> Result<Value, ApiError> {
        self.now += 1_000;
        let mut answer = None;
        for (call, result) in self.input(Input::Command { call: 1, command }) {
            assert_eq!(call, 1);
            answer = Some(result);
        }
        answer.expect("an answer")
    }

    pub fn input(&mut self, input: Input) -> Vec<(u64, Result<Value, ApiError>)> {
        let effects = self.engine.handle(&self.store, UnixMs(self.now), &mut self.entropy, input);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<(u64, Result<Value, ApiError>)> {
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(puts) => self.store.apply(&puts),
                Effect::Reply { call, result } => answers.push((call, result)),
                Effect::Net(NetEffect::Publish { data, .. }) => self.published.push(data),
                Effect::Workspace(WorkspaceEffect::Prepare { attempt, lines, base, .. }) => {
                    answers.extend(self.prepare(attempt, base, lines));
                }
                Effect::Workspace(WorkspaceEffect::Commit(..)) if self.commits => answers.extend(self.commit()),
                Effect::Workspace(WorkspaceEffect::Abort(_)) => self.prepared = None,
                _ => {}
            }
        }
        answers
    }

    fn prepare(
        &mut self,
        attempt: u64,
        base: Generation,
        lines: Vec<(String, Option<String>)>,
    ) -> Vec<(u64, Result<Value, ApiError>)> {
        if base != generation(&self.file) {
            let changed = WorkspaceInput::Applied { workspace: 1, attempt, result: ApplyResult::Changed };
            // The bridge's snapshot and its answer may come in either order.
            self.late = !self.late;
            if self.late {
                let mut answers = self.look(false);
                answers.extend(self.input(Input::Workspace(changed)));
                return answers;
            }
            let mut answers = self.input(Input::Workspace(changed));
            answers.extend(self.look(false));
            return answers;
        }
        let next = self.applied(&lines);
        self.prepared = Some((attempt, lines));
        let generation = generation(&next);
        self.input(Input::Workspace(WorkspaceInput::Prepared { workspace: 1, attempt, generation }))
    }

    fn applied(&self, lines: &[(String, Option<String>)]) -> BTreeMap<String, String> {
        let mut next = self.file.clone();
        for (id, line) in lines {
            match line {
                Some(line) => next.insert(id.clone(), line.clone()),
                None => next.remove(id),
            };
        }
        next
    }

    pub fn commit(&mut self) -> Vec<(u64, Result<Value, ApiError>)> {
        let Some((attempt, lines)) = self.prepared.take() else { return Vec::new() };
        self.file = self.applied(&lines);
        self.known = self.file.clone();
        self.writes += 1;
        let result = ApplyResult::Done(generation(&self.file));
        self.input(Input::Workspace(WorkspaceInput::Applied { workspace: 1, attempt, result }))
    }

    /// Somebody else's tool writes the file.
    pub fn edit_file(&mut self, lines: &[Value]) {
        for line in lines {
            self.file.insert(line["id"].as_str().unwrap().to_owned(), line.to_string());
        }
    }

    /// The bridge notices.
    pub fn look(&mut self, first: bool) -> Vec<(u64, Result<Value, ApiError>)> {
        self.now += 1_000;
        let news = self.file.iter().filter(|(id, line)| first || self.known.get(*id) != Some(*line));
        let changed = news.enumerate().map(|(n, (_, text))| FileLine { line_no: n as u32 + 1, text: text.clone() });
        let missing = if first {
            Vec::new()
        } else {
            self.known.keys().filter(|id| !self.file.contains_key(*id)).cloned().collect()
        };
        let snapshot = FileSnapshot {
            generation: generation(&self.file),
            beads_total: self.file.len() as u64,
            changed: changed.collect(),
            missing,
            repeated: Vec::new(),
            broken: self.broken.clone(),
            first,
        };
        self.known = self.file.clone();
        self.input(Input::Workspace(WorkspaceInput::Snapshot { workspace: 1, snapshot }))
    }

    pub fn line(&self, id: &str) -> Value {
        serde_json::from_str(self.file.get(id).map_or("null", String::as_str)).unwrap()
    }

    pub fn show(&mut self, id: &str) -> Result<Value, ApiError> {
        self.ask(Command::Show { at: SpaceRef::default(), id: id.to_owned() })
    }

    pub fn set(&mut self, id: &str, field: &str, value: Value) {
        let change = engine::BeadChange { fields: [(field.to_owned(), value)].into(), ..Default::default() };
        self.ask(Command::Set { at: SpaceRef::default(), id: id.to_owned(), change }).unwrap();
    }

    pub fn space(&mut self) -> Value {
        self.ask(Command::Status {}).unwrap()["spaces"][0].clone()
    }

    pub fn ops(&mut self) -> u64 {
        self.space()["ops"].as_u64().unwrap()
    }
}

/// A bead's line with a few fields; `minute` is when it was changed.
pub fn line(id: &str, minute: u32, more: Value) -> Value {
    let mut line = json!({"id": id, "title": format!("title of {id}"), "status": "open", "priority": 2,
        "issue_type": "task", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": format!("2026-01-01T00:{minute:02}:00Z")});
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}
