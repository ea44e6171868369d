//! Finding the beads file of a directory.

use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The largest `metadata.json` that is read, in bytes.
const METADATA_BYTES_MAX: u64 = 1024 * 1024;

/// Why a directory cannot be coupled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such directory.
    #[error("no such directory: {0}")]
    NoDirectory(String),
    /// `metadata.json` cannot be read or is no JSON object.
    #[error("cannot read {path}: {reason}")]
    Metadata {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// `jsonl_export` leads out of the directory.
    #[error("jsonl_export is not a plain file name: {0:?}")]
    ExportName(String),
    /// A file of an earlier run cannot be looked after, or `.beads` cannot be made.
    #[error("cannot use {path}: {reason}")]
    Io {
        /// What could not be used.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> OpenError {
        OpenError::Io { path: path.display().to_string(), reason: error.to_string() }
    }
}

#[derive(Deserialize)]
struct Metadata {
    jsonl_export: Option<String>,
}

/// The beads file of `dir`, whether it exists or not: what `.beads/metadata.json` names, else `issues.jsonl`, else the
/// old name `beads.jsonl` when only that exists. `.beads` is made when it is missing.
pub(crate) fn locate(dir: &Path) -> Result<PathBuf, OpenError> {
    if !dir.is_dir() {
        return Err(OpenError::NoDirectory(dir.display().to_string()));
    }
    let beads = dir.join(".beads");
    std::fs::create_dir_all(&beads).map_err(|e| OpenError::io(&beads, &e))?;
    if let Some(name) = exported_name(&beads.join("metadata.json"))? {
        return Ok(beads.join(name));
    }
    let usual = beads.join("issues.jsonl");
    let legacy = beads.join("beads.jsonl");
    // `symlink_metadata`: a dangling link is there too, and is an error later rather than a reason to look elsewhere.
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    Ok(if !exists(&usual) && exists(&legacy) { legacy } else { usual })
}

/// The name that the tool was told to export to. The file comes with a cloned repository, so it is not trusted.
fn exported_name(path: &Path) -> Result<Option<String>, OpenError> {
    let refuse = |reason: String| OpenError::Metadata { path: path.display().to_string(), reason };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(refuse(e.to_string())),
    };
    let mut text = String::new();
    file.take(METADATA_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| refuse(e.to_string()))?;
    if text.len() as u64 > METADATA_BYTES_MAX {
        return Err(refuse(format!("larger than {METADATA_BYTES_MAX} bytes")));
    }
    let metadata: Metadata = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let Some(name) = metadata.jsonl_export.filter(|name| !name.is_empty()) else { return Ok(None) };
    let mut parts = Path::new(&name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part.to_str() == Some(name.as_str()) && name.ends_with(".jsonl") => {
            Ok(Some(name))
        }
        _ => Err(OpenError::ExportName(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_metadata(text: &str) -> Result<PathBuf, OpenError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".beads")).unwrap();
        std::fs::write(dir.path().join(".beads/metadata.json"), text).unwrap();
        locate(dir.path()).map(|path| path.file_name().unwrap().into())
    }

    #[test]
    fn names_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(locate(dir.path()).unwrap(), dir.path().join(".beads/issues.jsonl"));
        std::fs::write(dir.path().join(".beads/beads.jsonl"), "").unwrap();
        assert_eq!(locate(dir.path()).unwrap(), dir.path().join(".beads/beads.jsonl"));
        std::fs::write(dir.path().join(".beads/issues.jsonl"), "").unwrap();
        assert_eq!(locate(dir.path()).unwrap(), dir.path().join(".beads/issues.jsonl"));
        assert_eq!(with_metadata(r#"{"jsonl_export":"my.jsonl","x":1}"#).unwrap(), PathBuf::from("my.jsonl"));
        assert_eq!(with_metadata(r#"{"jsonl_export":""}"#).unwrap(), PathBuf::from("issues.jsonl"));
    }

    #[test]
    fn hostile_metadata_is_refused() {
        for name in ["/etc/x.jsonl", "../x.jsonl", "a/b.jsonl", "..", ".", "./x.jsonl", "x.jsonl/", "config.yaml"] {
            let got = with_metadata(&serde_json::json!({ "jsonl_export": name }).to_string());
            assert_eq!(got, Err(OpenError::ExportName(name.into())));
        }
        assert!(matches!(with_metadata("["), Err(OpenError::Metadata { .. })));
        assert!(matches!(with_metadata(&" ".repeat(1024 * 1024 + 1)), Err(OpenError::Metadata { .. })));
        assert!(matches!(locate(Path::new("/nonexistent/x")), Err(OpenError::NoDirectory(_))));
    }
}
