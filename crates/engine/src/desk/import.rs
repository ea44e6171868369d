//! Taking in a beads file as a baseline.

use super::Answer;
use crate::command::SpaceRef;
use crate::engine::{Cx, Engine};
use crate::workspace::{Ancestors, Imported};
use beads::{Parsed, parse_line};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Engine {
    pub(super) fn import(
        &mut self,
        cx: &mut Cx<'_>,
        at: &SpaceRef,
        first_line: u64,
        lines: &[String],
        ancestors: &BTreeMap<String, Ancestors>,
    ) -> Answer {
        let space = self.resolve_space(at)?;
        self.may_write(&space)?;
        let before = cx.txn.totals(&space)?;
        let mut rejected: Vec<Value> = Vec::new();
        let mut repeated: Vec<Value> = Vec::new();
        let (mut read, mut created, mut updated, mut unchanged, mut other) = (0u64, 0u64, 0u64, 0u64, 0u64);
        let mut first_of: BTreeMap<String, u64> = BTreeMap::new();
        let mut writes = Vec::new();
        for (at_line, text) in (first_line..).zip(lines) {
            let bead = match parse_line(text) {
                Ok(Parsed::Issue(bead)) => bead,
                Ok(Parsed::Blank) => continue,
                Ok(_) => {
                    other += 1;
                    continue;
                }
                Err(err) => {
                    rejected.push(json!({"line": at_line, "error": err.to_string(), "code": err.code()}));
                    continue;
                }
            };
            read += 1;
            let id = bead.id.to_string();
            if let Some(first) = first_of.get(&id) {
                // Both are claims about the bead: the second is weighed once the first is in.
                repeated.push(json!({"line": at_line, "first_line": first, "id": id}));
                let batch = std::mem::take(&mut writes);
                self.commit(cx, space, "import", batch)?;
            } else {
                first_of.insert(id.clone(), at_line);
            }
            let (what, own) = self.baseline(cx, &space, &bead, ancestors.get(&id))?;
            match what {
                Imported::Created => created += 1,
                Imported::Updated => updated += 1,
                Imported::Unchanged => unchanged += 1,
            }
            writes.extend(own);
        }
        self.commit(cx, space, "import", writes)?;
        cx.txn.write_back()?;
        let after = cx.txn.totals(&space)?;
        let conflicts =
            (after.conflicts + after.baseline_conflicts).saturating_sub(before.conflicts + before.baseline_conflicts);
        Ok(Some(json!({"read": read, "created": created, "updated": updated, "unchanged": unchanged,
            "conflicts": conflicts, "rejected": rejected, "repeated": repeated, "other_lines": other})))
    }
}
