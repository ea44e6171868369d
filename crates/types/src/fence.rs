//! The number of a grant: which of several that give one bead away counts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Rises with every grant of a bead. Ordered: a later epoch stands above every number of an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Whose turn it was to grant: rises with every change of the coordinator.
    pub epoch: u64,
    /// The grants of this bead in that epoch, from 1. People see it as "attempt n".
    pub n: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_stands_above() {
        let fence = |epoch, n| Fence { epoch, n };
        assert!(fence(2, 1) > fence(1, 99) && fence(1, 2) > fence(1, 1));
        assert_eq!(fence(2, 1).to_string(), "2.1");
    }
}
