//! The one source of chance.

use engine::Entropy;

/// A seeded generator; also the engines' entropy.
#[derive(Clone, Debug)]
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(fastrand::Rng::with_seed(seed))
    }

    /// A generator of its own, so that one consumer's draws do not shift another's.
    pub(crate) fn fork(&mut self) -> Rng {
        Rng(self.0.fork())
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.u64(0..n.max(1))
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.0.f64() < p
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.0.usize(0..of.len())) }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill(&mut out);
        out
    }
}

impl Entropy for Rng {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}
