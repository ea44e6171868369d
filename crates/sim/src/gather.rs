//! What every play does with its world: waiting, asking, founding a space, cutting machines off.

use crate::rng::Rng;
use crate::world::World;
use engine::{Command, SpaceRef};
use serde_json::Value;

impl World {
    /// Lets time pass.
    pub(crate) fn wait(&mut self, ms: u64) -> Result<(), String> {
        let until = self.now + ms;
        self.run_until(until)
    }

    /// Asks and waits for the answer.
    pub(crate) fn told(&mut self, at: usize, command: Command, patience_ms: u64) -> Result<Value, String> {
        let call = self.ask(at, command.clone());
        let deadline = self.now + patience_ms;
        loop {
            if let Some(answer) = self.answer(at, call) {
                return answer.map_err(|e| format!("{command:?}: {}: {}", e.code, e.message));
            }
            if self.now >= deadline {
                return Err(format!("{command:?}: no answer in {patience_ms} ms"));
            }
            self.wait(20)?;
        }
    }

    /// All machines start; the first one founds a space, the others join by ticket.
    pub(crate) fn gather(&mut self, public: bool) -> Result<(), String> {
        for at in 0..self.nodes.len() {
            self.start(at)?;
        }
        self.wait(200)?;
        self.told(0, Command::SpaceNew { name: "app".to_owned(), public }, 100)?;
        for at in 1..self.nodes.len() {
            let invite = Command::Invite { at: SpaceRef::default(), role: None, ttl_s: None };
            let ticket = self.told(0, invite, 100)?["ticket"].as_str().unwrap_or_default().to_owned();
            self.told(at, Command::Join { ticket }, 30_000)?;
        }
        Ok(())
    }

    /// Cuts two machines off from each other, one way or both, or lets them meet again.
    pub(crate) fn cut_or_mend(&mut self, rng: &mut Rng) {
        let n = self.nodes.len() as u64;
        let (a, b) = (rng.below(n) as usize, rng.below(n) as usize);
        if a == b {
            return;
        }
        let what = match rng.below(10) {
            0..3 => {
                self.cut_way(a, b);
                "cut_one_way"
            }
            3..6 => {
                self.cut_way(a, b);
                self.cut_way(b, a);
                "cuts"
            }
            _ => {
                self.mend(a, b);
                "mends"
            }
        };
        let line = format!("{what} {} -> {}", self.nodes[a].name, self.nodes[b].name);
        self.note(&line);
        self.count(what);
    }
}
