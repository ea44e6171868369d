//! Keeping what bd cannot hold, over restarts: one JSON line per issue.

use super::held::Held;
use crate::files::ReadError;
use proto::limits::FILE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::Path;

#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    #[serde(rename = "held")]
    held: Held,
}

/// What was kept; nothing if there is no file.
pub(crate) fn load(path: &Path) -> Result<BTreeMap<String, Held>, ReadError> {
    let bad = |reason: String| ReadError::Io { path: path.display().to_string(), reason };
    let text = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX as u64 => return Err(ReadError::TooLarge { bytes: meta.len() }),
        Ok(_) => std::fs::read_to_string(path).map_err(|e| ReadError::io(path, &e))?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(ReadError::io(path, &e)),
    };
    let record = |line| serde_json::from_str::<Record>(line).map(|record| (record.id, record.held));
    text.lines().map(record).collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))
}

/// Keeps it, whole or not at all. Writes nothing when the file says so already.
pub(crate) fn save(path: Option<&Path>, held: &BTreeMap<String, Held>) -> Result<(), ReadError> {
    let Some(path) = path else { return Ok(()) };
    let mut text = Vec::new();
    for (id, held) in held {
        let record = Record { id: id.clone(), held: held.clone() };
        serde_json::to_writer(&mut text, &record).map_err(|e| ReadError::io(path, &e.into()))?;
        text.push(b'\n');
    }
    if std::fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        let mut temp = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        temp.write_all(&text)?;
        temp.as_file().sync_all()?;
        temp.persist(path)?;
        Ok(())
    };
    write().map_err(|e| ReadError::io(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn comes_back_as_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("held.jsonl");
        assert!(load(&path).unwrap().is_empty());
        let full = json!({"id": "a", "n": 1.50}).as_object().unwrap().clone();
        let held = BTreeMap::from([("a".to_owned(), Held { full, shown: None, fields: vec!["n".into()] })]);
        save(Some(&path), &held).unwrap();
        assert_eq!(load(&path).unwrap(), held);
        std::fs::write(&path, "{\"id\":").unwrap();
        assert!(matches!(load(&path), Err(ReadError::Io { .. })), "a broken file is no empty one");
    }
}
