//! Beads: the model of an issue, its JSONL form, and how writes from many machines become one bead.
//!
//! Everything here is a pure function of its arguments. The way through the crate:
//! a line of a beads file is read by [`parse_line`] into a [`Bead`]; [`diff()`] turns the difference between a
//! bead and what was last shown into [`Write`]s to [`Unit`]s; [`BeadState`] folds writes, in whatever order they
//! come, and [`BeadState::shown`] says what the result looks like, conflicts included.

mod bead;
mod birth;
mod canon;
mod codec;
mod diff;
mod fields;
mod ids;
mod json;
mod line;
mod merge3;
mod ready;
mod register;
mod shown;
mod state;
mod time;
mod unit;
mod work;
mod write;

pub use bead::{Bead, BeadId, BeadIdError, ID_BYTES_MAX};
pub use birth::Birth;
pub use canon::{ValueError, canonical_hash};
pub use codec::{BEAD_STATE_VERSION, DecodeError};
pub use diff::{
    Ancestors, Diff, Shadow, create_writes, delete_write, diff, relation_write, resolve_write, touch_write,
    undelete_write,
};
pub use fields::{Field, Kind, Rule, Zero, field, fields, fields_markdown};
pub use ids::{common_prefix, make_id};
pub use json::{JSON_DEPTH_MAX, JsonError, parse_json};
pub use line::{LineError, Parsed, parse_line};
pub use merge3::{MergeConflict, MergeError, Merged, Settled, SettledRule, merge3};
pub use ready::{External, ExternalTarget, external_blockers, ready};
pub use shown::{Conflict, ConflictValue, Contribution, Shown, ShownUnit};
pub use state::BeadState;
pub use time::{instant_ns, instant_text};
pub use unit::{UNIT_BYTES_MAX, Unit, UnitError};
pub use work::WorkStep;
pub use write::{ANCESTORS_MAX, Baseline, REPLACES_MAX, Stamp, Write, WriteError};
