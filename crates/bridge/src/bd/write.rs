//! Giving bd its commands.

use super::export::Issues;
use super::fields::Line;
use super::plan::Plan;
use super::tool::{BdError, Tool};
use serde_json::Value;
use std::collections::BTreeSet;

/// Lines that one import is given, and their bytes. It is one transaction, and bd needs 30 to 50 ms for a line.
const IMPORT_LINES_MAX: usize = 200;
const IMPORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Lines that bd did not import.
#[derive(Debug, Default)]
pub(crate) struct NotTaken {
    /// Ids of those that it took for older than its own: somebody edited them meanwhile.
    pub(crate) stale: BTreeSet<String>,
    /// Ids of those that it cannot hold.
    pub(crate) refused: BTreeSet<String>,
}

/// Carries a plan out.
pub(crate) fn execute(tool: &Tool, plan: &Plan, issues: &Issues) -> Result<NotTaken, BdError> {
    for (id, labels) in &plan.unlabel {
        let options: Vec<String> = labels.iter().map(|label| format!("--remove-label={}", quoted(label))).collect();
        let mut args: Vec<&str> = options.iter().map(String::as_str).collect();
        args.extend(["--", id]);
        tool.order("update", &args)?;
    }
    for (from, to) in &plan.unlink {
        // Somebody may have been faster.
        if let Err(error) = tool.order("dep remove", &["--", from, to]) {
            tolerate(error)?;
        }
    }
    let mut not_taken = NotTaken::default();
    for lines in batches(&plan.import) {
        import(tool, lines, &mut not_taken)?;
    }
    for (id, options) in &plan.update {
        let mut args: Vec<&str> = options.iter().map(String::as_str).collect();
        args.extend(["--", id]);
        if let Err(error) = tool.order("update", &args) {
            tolerate(error)?;
        }
    }
    for id in &plan.delete {
        delete(tool, id, issues)?;
    }
    Ok(not_taken)
}

/// A command that bd refuses for what it was asked: what comes of it shows in the next export. Everything else ends
/// the write.
fn tolerate(error: BdError) -> Result<(), BdError> {
    match error {
        BdError::Failed { command, reason } => {
            tracing::debug!(command, reason, "bd refuses");
            Ok(())
        }
        other => Err(other),
    }
}

/// One value of an option that bd splits at commas, as CSV does.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

fn batches(lines: &[(String, Line)]) -> Vec<&[(String, Line)]> {
    let mut out = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, (_, line)) in lines.iter().enumerate() {
        let size = serde_json::to_string(line).map_or(0, |text| text.len());
        if at > start && (at - start == IMPORT_LINES_MAX || bytes + size > IMPORT_BYTES_MAX) {
            out.push(&lines[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < lines.len() {
        out.push(&lines[start..]);
    }
    out
}

/// Imports lines. bd takes all or none, so a refusal is narrowed down by halves: what is left over, bd cannot hold.
fn import(tool: &Tool, lines: &[(String, Line)], not_taken: &mut NotTaken) -> Result<(), BdError> {
    let mut input = Vec::new();
    for (_, line) in lines {
        input.extend_from_slice(serde_json::to_string(line).unwrap_or_default().as_bytes());
        input.push(b'\n');
    }
    match tool.feed("import", &["-"], input) {
        Ok(answer) => {
            let ids = answer.get("stale_skipped_ids").and_then(Value::as_array);
            not_taken.stale.extend(ids.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
            Ok(())
        }
        Err(BdError::Failed { .. }) if lines.len() > 1 => {
            let (left, right) = lines.split_at(lines.len() / 2);
            import(tool, left, not_taken)?;
            import(tool, right, not_taken)
        }
        Err(error) => {
            tolerate(error)?;
            not_taken.refused.extend(lines.iter().map(|(id, _)| id.clone()));
            Ok(())
        }
    }
}

/// Deletes one issue. bd takes the beginning of an id for the whole when there is no such issue, so a deletion that
/// hit another one is taken back.
fn delete(tool: &Tool, id: &str, issues: &Issues) -> Result<(), BdError> {
    let answer = match tool.json("delete", &["--force", "--", id]) {
        Ok(answer) => answer,
        Err(error) => return tolerate(error),
    };
    let deleted = answer.get("deleted").and_then(Value::as_str).unwrap_or(id);
    if let Some(line) = issues.get(deleted).filter(|_| deleted != id) {
        tracing::warn!(id, deleted, "bd deleted another issue; it is put back");
        import(tool, &[(deleted.to_owned(), line.clone())], &mut NotTaken::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_quoted_as_bd_reads_them() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"x\""), "\"say \"\"x\"\"\"");
    }

    #[test]
    fn imports_are_cut_into_pieces() {
        let lines: Vec<(String, Line)> = (0..501).map(|n| (n.to_string(), Line::new())).collect();
        let sizes: Vec<usize> = batches(&lines).iter().map(|lines| lines.len()).collect();
        assert_eq!(sizes, [200, 200, 101]);
        assert!(batches(&[]).is_empty());
    }
}
