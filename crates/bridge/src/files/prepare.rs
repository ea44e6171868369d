//! A new version of the file, written beside it under a name that tells what it is.

use super::edit;
use super::event::ApplyError;
use super::generation::{Generation, MISSING, blob_id};
use super::read::{self, ReadError, Stamp};
use super::scan::{Known, LINES_MAX, Scan, Span, scan};
use proto::limits::FILE_BYTES_MAX;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A new version of the file that is on disk but not visible yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Prepared {
    /// The generation that the commit brings.
    pub generation: Generation,
    /// The generation that it builds on.
    pub expected: Generation,
    pub(crate) target: PathBuf,
    /// `None` when nothing changes.
    pub(crate) temp: Option<Temp>,
    /// The bytes that it builds on; `None` when there is no file.
    pub(crate) base: Option<Vec<u8>>,
    /// What the file looked like when it had them; `None`: it was changing, or changed too short ago to tell.
    pub(crate) base_stamp: Option<Stamp>,
    pub(crate) content: Vec<u8>,
}

/// A file beside the target; removed when dropped, unless it was let go.
#[derive(Debug)]
pub(crate) struct Temp(Option<PathBuf>);

impl Temp {
    pub(crate) fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// From now on somebody else looks after the file.
    pub(crate) fn release(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %error, "cannot remove a prepared file");
        }
    }
}

/// The file itself, if `path` is a link. A dangling link is an error: nothing is created where a link points to.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, ReadError> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(ReadError::BrokenLink(path.display().to_string()));
            }
            Ok(path.to_path_buf())
        }
        Err(e) => Err(ReadError::io(path, &e)),
    }
}

/// Builds and writes the version of the file in which `lines` are carried out. `seen`: what the file looks like when it
/// has the expected generation, and where its lines stand then; it spares hashing and taking apart a file that was so
/// a moment ago.
pub(crate) fn prepare(
    path: &Path,
    expected: Generation,
    known: &Known,
    seen: Option<(&Stamp, &[Span])>,
    lines: &[(String, Option<String>)],
) -> Result<Prepared, ApplyError> {
    let edits = edit::check(lines).map_err(|(id, error)| ApplyError::Line { id, error })?;
    let target = resolve(path)?;
    let found = read::read(&target)?;
    let (base, meta, stamp) = match found {
        Some(content) => (Some(content.bytes), Some(content.meta), content.stamp),
        None => (None, None, None),
    };
    let old = base.as_deref().unwrap_or_default();
    let content = match seen.filter(|(as_seen, _)| stamp.as_ref() == Some(as_seen)) {
        Some((_, spans)) => edit::edit(old, spans, edits),
        None => {
            if base.as_deref().map_or(MISSING, blob_id) != expected {
                return Err(ApplyError::Changed);
            }
            let before = scan(old, expected, known)?;
            refuse_broken(&before)?;
            edit::edit(old, &before.spans, edits)
        }
    };
    let base_stamp = stamp.filter(|stamp| !stamp.is_racy(SystemTime::now()));
    if content == old {
        return Ok(Prepared { generation: expected, expected, target, temp: None, base, base_stamp, content });
    }
    if content.len() > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge { bytes: content.len() as u64 }.into());
    }
    if memchr::memchr_iter(b'\n', &content).nth(LINES_MAX).is_some() {
        return Err(ReadError::TooManyLines.into());
    }
    let generation = blob_id(&content);
    let temp = write_temp(&target, meta.as_ref(), expected, generation, &content)?;
    Ok(Prepared { generation, expected, target, temp: Some(temp), base, base_stamp, content })
}

pub(crate) fn refuse_broken(scan: &Scan) -> Result<(), ApplyError> {
    match scan.snapshot.broken.first() {
        Some(first) => Err(ApplyError::Broken {
            total: scan.snapshot.broken_total,
            line_no: first.line_no,
            error: first.error.clone(),
        }),
        None => Ok(()),
    }
}

/// Writes and syncs the new version. The directory is not synced: after a power cut either version may be there, and
/// the generation tells which.
fn write_temp(
    target: &Path,
    meta: Option<&Metadata>,
    expected: Generation,
    generation: Generation,
    content: &[u8],
) -> Result<Temp, ApplyError> {
    let whole = temp_path(target, expected, generation);
    let path = partial_path(&whole);
    let fail = |e: std::io::Error| ApplyError::from_io(&path, &e);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(fail)?;
    let mut temp = Temp(Some(path.clone()));
    if let Some(meta) = meta {
        keep_owner(&file, meta, target)?;
        file.set_permissions(Permissions::from_mode(meta.mode() & 0o7777)).map_err(fail)?;
    } else {
        // A new file gets the mode that the directory's own files usually have; nothing secret is in a beads file.
        file.set_permissions(Permissions::from_mode(0o644)).map_err(fail)?;
    }
    file.write_all(content).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    // Under its full name a file is whole.
    std::fs::rename(&path, &whole).map_err(fail)?;
    temp.0 = Some(whole);
    Ok(temp)
}

fn partial_path(whole: &Path) -> PathBuf {
    let mut name = whole.file_name().unwrap_or_default().to_os_string();
    name.push(PARTIAL_MARK);
    whole.with_file_name(name)
}

fn keep_owner(file: &File, old: &Metadata, target: &Path) -> Result<(), ApplyError> {
    let new = file.metadata().map_err(|e| ApplyError::from_io(target, &e))?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    let uid = rustix::fs::Uid::from_raw(old.uid());
    let gid = rustix::fs::Gid::from_raw(old.gid());
    rustix::fs::fchown(file.as_fd(), Some(uid), Some(gid))
        .map_err(|_| ApplyError::Owner { path: target.display().to_string() })
}

/// The middle of the names of our own files beside the target.
pub(crate) const TEMP_MARK: &str = ".townmesh.";

/// The end of the name of a file that is still being written.
pub(crate) const PARTIAL_MARK: &str = ".part";

/// `.<file>.townmesh.<expected>.<generation>.<pid>-<n>`: after a crash the name tells whose bytes these are.
fn temp_path(target: &Path, expected: Generation, generation: Generation) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let file = target.file_name().unwrap_or_default().to_string_lossy();
    let (expected, generation) = (hex::encode(expected), hex::encode(generation));
    target.with_file_name(format!(".{file}{TEMP_MARK}{expected}.{generation}.{}-{n}", std::process::id()))
}
