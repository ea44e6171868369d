//! Making a prepared version visible without losing what somebody else writes at the same moment.
//!
//! The new file and the old one change places in one step (`RENAME_EXCHANGE`), and only then we look at what we
//! displaced. If it is what we built on, all is well. If not, a writer was faster: their version goes back. A writer
//! that still has the displaced file open could write into it later, so it is kept open (a [`Linger`]) for a while.

use super::event::ApplyError;
use super::generation::{Generation, blob_id};
use super::prepare::{PARTIAL_MARK, Prepared, TEMP_MARK};
use super::read;
use super::task::Step;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a displaced file is watched for writers that had opened it before.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// A displaced file that somebody may still write into.
#[derive(Debug)]
pub(crate) struct Linger {
    pub(crate) file: File,
    /// Its name, while its content is not safe elsewhere.
    pub(crate) path: Option<PathBuf>,
    /// Where it stood.
    pub(crate) target: PathBuf,
    /// What a writer of it started from.
    pub(crate) base: Vec<u8>,
    /// Whether it is younger than what is in its place: then its values win where both differ from the base.
    pub(crate) younger: bool,
    /// When it was last seen to change, and what it looked like.
    pub(crate) seen: (Instant, Option<read::Stamp>),
    /// Whether it was read and found to be its base, looking as it was seen then.
    pub(crate) verified: bool,
    /// Watched until then.
    pub(crate) until: Instant,
}

/// What swaps leave to be looked after, whether they succeed or not.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) lingers: Vec<Linger>,
    /// Versions with somebody's edits that were in the file, but not all the time. A writer that read the file when
    /// they were not may overwrite them without having seen them, so they count as seen now.
    pub(crate) passing: Vec<Vec<u8>>,
}

/// Makes a prepared version visible.
pub(crate) fn swap(prepared: &mut Prepared, on_step: fn(Step), aside: &mut Aside) -> Result<(), ApplyError> {
    let (temp, base) = (prepared.temp.take(), prepared.base.take());
    let target = prepared.target.as_path();
    let Some(temp) = temp else {
        // Nothing to write; but the promise is that the file has this generation.
        let now = read::read(target)?.map(|found| found.bytes);
        return if now == base { Ok(()) } else { Err(ApplyError::Changed) };
    };
    on_step(Step::Written);
    let Some(base) = base else { return create(temp.path(), target) };
    // Cheap, and it makes the dance below rare.
    let as_seen = prepared.base_stamp.is_some() && read::stamp(target)? == prepared.base_stamp;
    if !as_seen && read::read(target)?.is_none_or(|found| found.bytes != base) {
        return Err(ApplyError::Changed);
    }
    match exchange(temp.path(), target) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Err(ApplyError::Changed),
        Err(errno) if is_unsupported(errno) => return replace(temp.path(), target, base, aside),
        Err(errno) => return Err(ApplyError::from_io(target, &errno.into())),
    }
    on_step(Step::Swapped);
    // From here on the temp name holds somebody else's bytes: it is removed only when they are safe.
    let temp = temp.release();
    settle(&temp, target, base, &prepared.content, aside)
}

/// After the exchange: looks at what was displaced and puts things right.
fn settle(temp: &Path, target: &Path, base: Vec<u8>, ours: &[u8], aside: &mut Aside) -> Result<(), ApplyError> {
    let mut linger = open_linger(temp, target, base)?;
    let displaced = content(&mut linger);
    if displaced.as_ref() == Some(&linger.base) {
        forget_name(&mut linger);
        aside.lingers.push(linger);
        return Ok(());
    }
    // As it was read just now: once it is back in its place, its writer may already be at the next version.
    aside.passing.extend(displaced);
    // Theirs goes back to its place; what that displaces should be ours.
    let back = |temp: &Path| match exchange(temp, target) {
        Ok(()) => Ok(()),
        // The file was removed meanwhile: theirs may take the empty place, unless somebody else does.
        Err(Errno::NOENT) => rustix::fs::renameat_with(CWD, temp, CWD, target, RenameFlags::NOREPLACE),
        Err(errno) => Err(errno),
    };
    if back(temp).is_err() || !temp.exists() {
        // Either it is back without displacing anything, or it stays under its temp name until it is replayed.
        linger.path = temp.exists().then(|| temp.to_path_buf());
        aside.lingers.push(linger);
        return Err(ApplyError::Changed);
    }
    let mut second = open_linger(temp, target, std::mem::take(&mut linger.base))?;
    let displaced = content(&mut second);
    if displaced.as_deref() == Some(ours) {
        // The usual end. A writer may have opened ours in between, so it lingers too, with our lines as the base.
        second.base = ours.to_vec();
        forget_name(&mut second);
        aside.lingers.push(second);
        return Err(ApplyError::Changed);
    }
    aside.passing.extend(displaced);
    // A third version had taken the place of ours: it is the newest and goes back to the top. The second one is
    // replayed line by line from where it lies.
    if exchange(temp, target).is_err() {
        aside.lingers.push(second);
        return Err(ApplyError::Changed);
    }
    let mut third = open_linger(temp, target, second.base)?;
    third.younger = false;
    if !is_same_file(&third.file, &linger.file) {
        // A fourth version had come, too: every one of them is replayed.
        linger.base = third.base.clone();
        linger.path = None;
        linger.younger = false;
        aside.lingers.push(linger);
    }
    aside.lingers.push(third);
    Err(ApplyError::Changed)
}

fn is_same_file(a: &File, b: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn open_linger(temp: &Path, target: &Path, base: Vec<u8>) -> Result<Linger, ApplyError> {
    let now = Instant::now();
    let file = read::open(temp)?.ok_or(ApplyError::Changed)?;
    let path = Some(temp.to_path_buf());
    let (seen, until) = ((now, None), now + LINGER);
    Ok(Linger { file, path, target: target.into(), base, younger: true, seen, verified: false, until })
}

/// What the file holds; `None` if it cannot be read.
fn content(linger: &mut Linger) -> Option<Vec<u8>> {
    read::read_open(&mut linger.file, &linger.target).ok().map(|content| content.bytes)
}

fn forget_name(linger: &mut Linger) {
    if let Some(path) = linger.path.take()
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a displaced file");
    }
}

/// Puts a first version where there is no file.
fn create(temp: &Path, target: &Path) -> Result<(), ApplyError> {
    let result = match rustix::fs::renameat_with(CWD, temp, CWD, target, RenameFlags::NOREPLACE) {
        // A hard link never replaces anything either; the temp name goes with its guard.
        Err(errno) if is_unsupported(errno) => rustix::fs::link(temp, target),
        other => other,
    };
    match result {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(ApplyError::Changed),
        Err(errno) => Err(ApplyError::from_io(target, &errno.into())),
    }
}

/// Where files cannot be exchanged: the old one is held open while it is replaced. A version that is renamed into
/// place between the last look and the rename is lost; there is no way to tell on such a file system.
fn replace(temp: &Path, target: &Path, base: Vec<u8>, aside: &mut Aside) -> Result<(), ApplyError> {
    let mut linger = open_linger(target, target, base)?;
    linger.path = None;
    if content(&mut linger).as_ref() != Some(&linger.base) {
        return Err(ApplyError::Changed);
    }
    rustix::fs::rename(temp, target).map_err(|errno| ApplyError::from_io(target, &errno.into()))?;
    aside.lingers.push(linger);
    Ok(())
}

fn exchange(temp: &Path, target: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, temp, CWD, target, RenameFlags::EXCHANGE)
}

fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// Looks after files that a crash left beside the target. What we built on and what we built is removed; anything
/// else is a version that a crash kept us from putting back: it goes back if ours is still in its place, else it is
/// kept under a name of its own, which is returned.
pub(crate) fn recover(target: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    let (Some(dir), Some(file)) = (target.parent(), target.file_name()) else { return Ok(kept) };
    let prefix = format!(".{}{TEMP_MARK}", file.to_string_lossy());
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((expected, ours)) = name.strip_prefix(&prefix).and_then(parse_generations) else { continue };
        let temp = entry.path();
        if name.ends_with(PARTIAL_MARK) {
            std::fs::remove_file(&temp)?;
            continue;
        }
        let Ok(Some(found)) = read::read(&temp) else { continue };
        let generation = blob_id(&found.bytes);
        if generation == ours || generation == expected {
            std::fs::remove_file(&temp)?;
        } else if let Ok(Some(current)) = read::read(target)
            && blob_id(&current.bytes) == ours
            && exchange(&temp, target).is_ok()
        {
            // Somebody may have been faster than the exchange: only ours is removed.
            match read::read(&temp) {
                Ok(Some(displaced)) if blob_id(&displaced.bytes) == ours => std::fs::remove_file(&temp)?,
                _ => kept.push(keep(&temp, target, generation)?),
            }
        } else {
            kept.push(keep(&temp, target, generation)?);
        }
    }
    Ok(kept)
}

/// `<expected>.<ours>.<pid>-<n>`
fn parse_generations(rest: &str) -> Option<(Generation, Generation)> {
    let mut parts = rest.split('.');
    let mut next = || Some(hex::decode(parts.next()?).ok()?.try_into().ok()).flatten();
    Some((next()?, next()?))
}

/// Gives somebody's version a name that says what it is and that nothing of ours removes.
pub(crate) fn keep(temp: &Path, target: &Path, generation: Generation) -> std::io::Result<PathBuf> {
    let kept = kept_path(target, generation);
    std::fs::rename(temp, &kept)?;
    Ok(kept)
}

/// The name under which a version is kept for people.
pub(crate) fn kept_path(target: &Path, generation: Generation) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!("{name}.rescued-{}", &hex::encode(generation)[..12]))
}
