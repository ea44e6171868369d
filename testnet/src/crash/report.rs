//! What a crash run came to.

use super::{POINTS, RANDOM};
use serde_json::{Value, json};
use std::fmt;

/// One point's row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The kill point's name, or `random`.
    pub point: &'static str,
    /// How often a node ended there.
    pub kills: usize,
    /// After how many of these the node answered again and nothing else had to be done.
    pub restarts_ok: usize,
    /// Accepted edits that a node did not have any more after it.
    pub lost: usize,
}

/// What a crash run came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A row per point.
    pub rows: Vec<Row>,
    /// Accepted edits; every one was looked for on every node in the end.
    pub accepted: usize,
    /// How many of these were made in a file.
    pub by_file: usize,
    /// Edits that a kill left without an answer: they may be there or not.
    pub in_doubt: usize,
    /// Accepted edits that are not shown but listed as a conflict's value in the end.
    pub as_conflict: usize,
    /// Edits that some node did not have in the end, told one by one.
    pub lost: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Report {
    pub(super) fn new(seed: u64) -> Report {
        let row = |point: &&'static str| Row { point, ..Row::default() };
        Report { seed, rows: POINTS.iter().chain([&RANDOM]).map(row).collect(), ..Report::default() }
    }

    pub(super) fn row(&mut self, point: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.point == point)
    }

    /// Kills of all points.
    pub fn kills(&self) -> usize {
        self.rows.iter().map(|row| row.kills).sum()
    }

    /// Whether nothing was lost and every node came back after every kill.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.rows.iter().all(|row| row.lost == 0 && row.restarts_ok == row.kills)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let row = |row: &Row| json!({"point": row.point, "kills": row.kills, "restarts_ok": row.restarts_ok, "lost": row.lost});
        json!({
            "ok": self.is_good(), "seed": self.seed, "kills": self.kills(),
            "points": self.rows.iter().map(row).collect::<Vec<_>>(),
            "accepted": self.accepted, "by_file": self.by_file, "in_doubt": self.in_doubt,
            "as_conflict": self.as_conflict, "lost": self.lost, "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>6} {:>12} {:>6}", "kill point", "kills", "restarts ok", "lost")?;
        for row in &self.rows {
            writeln!(f, "{:<24} {:>6} {:>12} {:>6}", row.point, row.kills, row.restarts_ok, row.lost)?;
        }
        writeln!(
            f,
            "seed {}: {} kills, {} accepted edits ({} in files), {} in doubt, {} lost, {} as conflict values, {:.0} s",
            self.seed,
            self.kills(),
            self.accepted,
            self.by_file,
            self.in_doubt,
            self.lost.len(),
            self.as_conflict,
            self.seconds
        )?;
        self.lost.iter().try_for_each(|what| writeln!(f, "LOST: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_or_a_node_that_stays_away_is_no_success() {
        let mut report = Report::new(3);
        report.rows[0].kills = 2;
        assert!(!report.is_good());
        report.rows[0].restarts_ok = 2;
        assert!(report.is_good());
        report.rows[0].lost = 1;
        assert!(!report.is_good());
        report.rows[0].lost = 0;
        report.lost.push("x".to_owned());
        assert!(!report.is_good() && report.to_string().contains("LOST: x"));
    }
}
