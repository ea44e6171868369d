//! What a run of kills came to.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// What a run of kills came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Kills by whom and when: `coordinator, while running` and so on. Two that are killed at once are one kill.
    pub kills: BTreeMap<String, usize>,
    /// Beads that were slung.
    pub slung: usize,
    /// Beads that exactly one accepted result closed.
    pub done: usize,
    /// Beads of which nothing came, with the reason.
    pub given_up: Vec<String>,
    /// Grants of all beads.
    pub grants: usize,
    /// Programs that began.
    pub runs: usize,
    /// Programs that got to their end. More than beads that are done: what a dead node's program did is done again.
    pub complete: usize,
    /// Pairs of programs under two fences that ran at once, the earlier one without its node.
    pub overlaps: usize,
    /// What must not be, told one by one.
    pub wrong: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Report {
    /// Kills of all kinds.
    pub fn killed(&self) -> usize {
        self.kills.values().sum()
    }

    /// Whether every slung bead is done once, or listed with a reason.
    pub fn is_good(&self) -> bool {
        self.wrong.is_empty() && self.slung > 0 && self.done + self.given_up.len() == self.slung
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({"ok": self.is_good(), "seed": self.seed, "kills": self.killed(), "by": self.kills, "slung": self.slung,
            "done": self.done, "given_up": self.given_up, "grants": self.grants, "runs": self.runs,
            "complete": self.complete, "overlaps": self.overlaps, "wrong": self.wrong, "seconds": self.seconds})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>6}", "killed", "kills")?;
        self.kills.iter().try_for_each(|(kind, kills)| writeln!(f, "{kind:<40} {kills:>6}"))?;
        writeln!(
            f,
            "seed {}: {} kills, {} slung, {} done once, {} given up, {} grants, {} runs, {} of them to their end, {} beside one \
             whose node was dead, {} wrong, {:.0} s",
            self.seed,
            self.killed(),
            self.slung,
            self.done,
            self.given_up.len(),
            self.grants,
            self.runs,
            self.complete,
            self.overlaps,
            self.wrong.len(),
            self.seconds
        )?;
        self.given_up.iter().try_for_each(|what| writeln!(f, "given up: {what}"))?;
        self.wrong.iter().try_for_each(|what| writeln!(f, "WRONG: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bead_without_an_end_is_no_success() {
        let mut report = Report { slung: 2, done: 1, ..Report::default() };
        assert!(!report.is_good() && !Report::default().is_good());
        report.given_up.push("x: no host".to_owned());
        assert!(report.is_good());
        report.wrong.push("y".to_owned());
        assert!(!report.is_good() && report.to_string().contains("WRONG: y"));
    }
}
