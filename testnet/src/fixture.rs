//! A beads file of our own making: always the same for the same numbers.

use serde_json::{Value, json};

/// xorshift64*: small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }
}

const VERBS: [&str; 8] = ["Fix", "Write", "Measure", "Remove", "Speed up", "Document", "Test", "Split"];
const THINGS: [&str; 8] = [
    "the login",
    "the parser",
    "retry logic",
    "the release notes",
    "flaky tests",
    "the cache",
    "start-up",
    "the queue",
];
const WHERE: [&str; 6] = ["on arm64", "for large files", "behind a proxy", "in the CLI", "after a crash", "at night"];
const LABELS: [&str; 5] = ["ci", "ux", "perf", "docs", "security"];

/// `count` beads as lines sorted by id, with labels, dependencies and comments.
pub fn lines(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random(seed | 1);
    (0..count).map(|at| bead(at, &mut random).to_string()).collect()
}

/// The id of the bead at a place.
pub fn id(at: usize) -> String {
    format!("app-{at:05}")
}

fn bead(at: usize, random: &mut Random) -> Value {
    let minute = at % 60;
    let (day, hour) = (1 + (at / 1440) % 28, (at / 60) % 24);
    let created = format!("2026-01-{day:02}T{hour:02}:{minute:02}:00Z");
    let closed = random.below(4) == 0;
    let mut bead = json!({
        "id": id(at),
        "title": format!("{} {} {}", random.pick(&VERBS), random.pick(&THINGS), random.pick(&WHERE)),
        "description": format!("Seen {} times since the last release; see run {}.", 1 + random.below(9), random.next() % 100_000),
        "status": if closed { "closed" } else { "open" },
        "priority": random.below(5),
        "issue_type": random.pick(&["task", "bug", "feature"]),
        "created_at": created,
        "updated_at": created.replace("2026-01", "2026-02"),
    });
    if closed {
        bead["closed_at"] = bead["updated_at"].clone();
    }
    if random.below(3) == 0 {
        bead["labels"] = json!([random.pick(&LABELS)]);
    }
    if at > 0 && random.below(5) == 0 {
        let target = id(random.below(at));
        bead["dependencies"] = json!([{"issue_id": id(at), "depends_on_id": target, "type": "blocks",
            "created_at": created, "created_by": "fixture"}]);
    }
    if random.below(8) == 0 {
        bead["comments"] = json!([{"id": at + 1, "issue_id": id(at), "author": "fixture",
            "text": format!("run {}", random.next() % 1_000), "created_at": created}]);
    }
    bead
}

/// Lines as a file.
pub fn file(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_beads() {
        assert_eq!(lines(200, 7), lines(200, 7));
        assert_ne!(lines(200, 7), lines(200, 8));
        let all = crate::compare::by_id(&file(&lines(200, 7))).unwrap();
        assert_eq!(all.len(), 200);
    }
}
