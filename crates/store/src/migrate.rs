//! Moving a store from an older format to the present one.
//!
//! How far the move is stands in the database itself, written in the same batch as the work it speaks of: whatever cuts
//! a move off, the next opening goes on behind the last stride that was kept. `FORMAT` says `N > M` from before the
//! first stride until after everything is synced; the new number is written last.

use crate::format::Format;
use crate::{Options, Store, StoreError};
use rocksdb::WriteBatch;
use types::Step;

/// Key in the default column family. Value: the format reached (4 bytes, big-endian) ‖ the cursor in the step that
/// leaves it.
const PROGRESS: &[u8] = b"migration";

/// How far a move is.
struct Progress {
    reached: u32,
    cursor: Vec<u8>,
}

impl Store {
    pub(crate) fn migrate(&mut self, found: Format, options: &Options) -> Result<(), StoreError> {
        let ours = options.format();
        let (from, mut progress) = match found {
            Format::At(at) if at == ours => return Ok(()),
            Format::At(at) => (at, Progress { reached: at, cursor: Vec::new() }),
            Format::Moving { from, to } => (from, self.progress(from, to)?),
        };
        Format::Moving { from, to: ours }.write(&self.path)?;
        if matches!(found, Format::At(_)) {
            // What an earlier move left here must not be taken for progress of this one.
            self.keep_progress(&progress, WriteBatch::default())?;
        }
        while progress.reached < ours {
            // Formats and steps are counted from the first: the step at `reached` leaves that format.
            let at = (progress.reached - crate::format::FIRST) as usize;
            let Some(step) = options.steps.get(at) else { break };
            progress = self.stride(step, progress)?;
        }
        self.sync()?;
        Format::At(ours).write(&self.path)?;
        self.migrated_from = Some(from);
        Ok(())
    }

    fn stride(&self, step: &Step, at: Progress) -> Result<Progress, StoreError> {
        let failed = |reason: String| {
            let path = self.path.clone();
            StoreError::Migration { path, from: at.reached, step: step.name, reason }
        };
        let stride = (step.stride)(self, &at.cursor).map_err(|err| failed(err.to_string()))?;
        let next = match stride.next {
            None => Progress { reached: at.reached + 1, cursor: Vec::new() },
            // It would begin again and never end.
            Some(next) if next == at.cursor || next.is_empty() => return Err(failed("no progress".to_owned())),
            Some(cursor) => Progress { reached: at.reached, cursor },
        };
        self.keep_progress(&next, self.batch(&stride.puts)?)?;
        Ok(next)
    }

    fn progress(&self, from: u32, to: u32) -> Result<Progress, StoreError> {
        let kept = self.db.get(PROGRESS).map_err(|err| StoreError::open(&self.path, &err))?;
        let kept = kept.as_deref().and_then(|bytes| bytes.split_first_chunk::<4>());
        let kept = kept.map(|(reached, cursor)| (u32::from_be_bytes(*reached), cursor.to_vec()));
        Ok(match kept {
            Some((reached, cursor)) if (from..=to).contains(&reached) => Progress { reached, cursor },
            // Cut off before the first batch.
            _ => Progress { reached: from, cursor: Vec::new() },
        })
    }

    fn keep_progress(&self, progress: &Progress, mut batch: WriteBatch) -> Result<(), StoreError> {
        batch.put(PROGRESS, [&progress.reached.to_be_bytes()[..], &progress.cursor].concat());
        self.write_batch(batch)
    }
}

#[cfg(test)]
mod tests;
