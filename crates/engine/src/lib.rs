//! The node as a state machine: [`Engine::handle`] takes one [`Input`] and answers with [`Effect`]s.
//!
//! There is no clock, no randomness, no I/O and no runtime in here: time and entropy are arguments, records are
//! read through a [`types::View`], and everything that must be kept or sent is an effect. A journey is one folder:
//! [`space`] (charters, tickets, joining), [`sync`] (ops: making, taking in, catching up), [`checkpoint`]
//! (beginning without history), [`workspace`] (beads files),
//! [`peers`] (who is there), [`sling`] (work that crosses machines), [`desk`] (what people ask for).

mod boot;
mod checkpoint;
mod command;
mod desk;
mod effect;
mod engine;
mod entropy;
mod error;
mod input;
mod memory;
mod op;
mod peers;
pub mod records;
mod sling;
mod space;
mod sync;
mod txn;
mod workspace;

pub use boot::{Boot, BootError};
pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, CheckpointError, CheckpointRule};
pub use command::{
    BATCH_MAX, BeadChange, BeadEdit, Choice, Command, CostsBy, FieldValue, JudgeOrder, SlingOrder, SpaceRef,
};
pub use effect::{Effect, NetEffect, Verdict, WorkEffect, WorkspaceEffect};
pub use engine::Engine;
pub use entropy::Entropy;
pub use error::ApiError;
pub use input::{
    ApplyResult, AskId, CallId, FileLine, FileSnapshot, Generation, Input, LogPart, NetInput, RunReport, WorkInput,
    WorkspaceId, WorkspaceInput, WorkspaceKind,
};
pub use memory::Memory;
pub use op::{OP_VERSION, Op, OpError};
pub use sling::{Ended, Outcome, describe_step};
pub use sync::{ServePlan, serve_page};
