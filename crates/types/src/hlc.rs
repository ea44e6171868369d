//! A hybrid logical clock: it chooses what is shown among concurrent writes and nothing else.
//! Causality is dots.

use crate::UnixMs;
use serde::{Deserialize, Serialize};

/// How far a received stamp may push our clock past wall time, in milliseconds.
pub const MAX_PUSH_MS: u64 = 60_000;

/// An op stamped more than this many milliseconds ahead of wall time waits, outside heads and digest.
pub const MAX_AHEAD_MS: u64 = 600_000;

const COUNTER_BITS: u32 = 16;
const MS_MAX: u64 = (1 << 48) - 1;

/// 48 bits of Unix milliseconds and a 16-bit counter. Orders as its packed form does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hlc(u64);

/// Why a stamp is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HlcError {
    /// Further in the future than [`MAX_AHEAD_MS`].
    #[error("stamped {ahead_ms} ms ahead of this machine's clock")]
    Ahead {
        /// How far ahead of wall time, in milliseconds.
        ahead_ms: u64,
    },
}

impl Hlc {
    /// A stamp from its parts; milliseconds beyond 48 bits saturate.
    pub fn new(ms: UnixMs, counter: u16) -> Hlc {
        Hlc((ms.0.min(MS_MAX) << COUNTER_BITS) | u64::from(counter))
    }

    /// The wall-clock part.
    pub fn ms(self) -> UnixMs {
        UnixMs(self.0 >> COUNTER_BITS)
    }

    /// The counter that keeps stamps of one millisecond apart.
    pub fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The packed form: order-preserving.
    pub fn packed(self) -> u64 {
        self.0
    }

    /// Reads the packed form.
    pub fn from_packed(packed: u64) -> Hlc {
        Hlc(packed)
    }

    /// Whether an op with this stamp may take effect at wall time `now`.
    ///
    /// # Errors
    /// [`HlcError::Ahead`] when it must wait.
    pub fn check(self, now: UnixMs) -> Result<(), HlcError> {
        let ahead_ms = self.ms().since_ms(now);
        if ahead_ms > MAX_AHEAD_MS { Err(HlcError::Ahead { ahead_ms }) } else { Ok(()) }
    }
}

/// The clock of one host: strictly rising, never more than [`MAX_PUSH_MS`] past wall time because of others.
#[derive(Clone, Copy, Debug, Default)]
pub struct HlcClock {
    last: Hlc,
}

impl HlcClock {
    /// A clock that continues after `last` (the highest stamp that this host ever used).
    pub fn resume(last: Hlc) -> HlcClock {
        HlcClock { last }
    }

    /// The stamp for a new local op.
    pub fn tick(&mut self, now: UnixMs) -> Hlc {
        let wall = Hlc::new(now, 0);
        self.last = if wall > self.last { wall } else { Hlc(self.last.0 + 1) };
        self.last
    }

    /// Learns a received stamp, so that later local ops are stamped after it; bounded by [`MAX_PUSH_MS`].
    pub fn observe(&mut self, seen: Hlc, now: UnixMs) {
        let bound = Hlc::new(now.plus_ms(MAX_PUSH_MS), 0);
        self.last = self.last.max(seen.min(bound));
    }

    /// The highest stamp given or learnt.
    pub fn last(&self) -> Hlc {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_rise_even_when_the_wall_clock_falls() {
        let mut clock = HlcClock::default();
        let a = clock.tick(UnixMs(1_000));
        let b = clock.tick(UnixMs(500));
        let c = clock.tick(UnixMs(2_000));
        assert!(a < b && b < c);
        assert_eq!(c, Hlc::new(UnixMs(2_000), 0));
    }

    #[test]
    fn a_stamp_from_the_future_pushes_at_most_a_minute() {
        let mut clock = HlcClock::default();
        clock.observe(Hlc::new(UnixMs(10_000_000), 3), UnixMs(1_000));
        assert_eq!(clock.last().ms(), UnixMs(61_000));
        assert_eq!(Hlc::new(UnixMs(601_001), 0).check(UnixMs(1_000)), Err(HlcError::Ahead { ahead_ms: 600_001 }));
        assert_eq!(Hlc::new(UnixMs(601_000), 0).check(UnixMs(1_000)), Ok(()));
    }
}
