//! The one way into the engine.

use engine::Input;
use tokio::sync::mpsc;

/// Inputs that may wait for the engine. Whoever makes more waits.
pub(super) const INPUTS_MAX: usize = 1_024;

/// Where inputs go. Cheap to clone.
pub(super) type Inputs = mpsc::Sender<Input>;

/// The engine's end.
pub(super) type InputsEnd = mpsc::Receiver<Input>;

pub(super) fn channel() -> (Inputs, InputsEnd) {
    mpsc::channel(INPUTS_MAX)
}
