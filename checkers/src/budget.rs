//! Limits on a search, brought in by the caller because this crate has no clock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a search had to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The time allowed has passed.
    Time,
    /// The bytes allowed are in use.
    Memory,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "the time budget ended",
            Self::Memory => "the memory budget ended",
        })
    }
}

/// Decides when a search has cost enough. Asked from several threads, every few thousand steps of a search.
pub trait Budget: Sync {
    /// `bytes` is what all searches of the calling checker hold in their caches now, to within a few per cent; the
    /// history itself is not included, and a caller that knows what its whole process holds does better to go by that.
    /// Once this has returned `Some` it must keep doing so.
    fn spent(&self, bytes: usize) -> Option<Exhausted>;

    /// Asked before so many bytes besides caches are taken at once; they are not taken if this returns `Some`, and something
    /// smaller may be tried. A budget for caches alone has no opinion.
    fn room(&self, _bytes: usize) -> Option<Exhausted> {
        None
    }

    /// A budget that ends when one part in `parts` of the time that is left has passed, and with this one. `None` if it
    /// does not know the time.
    fn share(&self, _parts: u32) -> Option<Box<dyn Budget + '_>> {
        None
    }
}

/// A budget that may also be asked only so often: a bound on the effort that no clock can change.
pub struct Bounded<'a> {
    budget: &'a dyn Budget,
    looks: AtomicU64,
}

impl<'a> Bounded<'a> {
    /// `looks` is how often it may be asked before it ends, at the latest with `budget`.
    #[must_use]
    pub const fn new(budget: &'a dyn Budget, looks: u64) -> Self {
        Self { budget, looks: AtomicU64::new(looks) }
    }
}

impl Budget for Bounded<'_> {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        let less = |looks: u64| looks.checked_sub(1);
        match self.looks.try_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => self.budget.spent(bytes),
            Err(_) => Some(Exhausted::Time),
        }
    }

    fn room(&self, bytes: usize) -> Option<Exhausted> {
        self.budget.room(bytes)
    }
}

/// Runs `work` with a share of the budget, see [`Budget::share`]; with all of it if it cannot be shared.
pub fn share<T>(budget: &dyn Budget, parts: u32, work: impl FnOnce(&dyn Budget) -> T) -> T {
    match budget.share(parts) {
        Some(share) => work(&*share),
        None => work(budget),
    }
}

/// Looks at a budget once in some thousand steps, which several threads may take together.
pub struct Sparing<'a> {
    budget: &'a dyn Budget,
    steps: AtomicU64,
}

impl<'a> Sparing<'a> {
    /// Steps between two looks.
    const STEPS: u64 = 1 << 12;

    /// No step has been taken.
    #[must_use]
    pub const fn new(budget: &'a dyn Budget) -> Self {
        Self { budget, steps: AtomicU64::new(0) }
    }

    /// Some steps more, with so many bytes held.
    ///
    /// # Errors
    /// If the budget has ended, as far as it was looked at.
    pub fn step(&self, steps: usize, bytes: usize) -> Result<(), Exhausted> {
        let before = self.steps.fetch_add(steps as u64, Ordering::Relaxed);
        if before / Self::STEPS == (before + steps as u64) / Self::STEPS {
            return Ok(());
        }
        self.budget.spent(bytes).map_or(Ok(()), Err)
    }
}

/// A budget without limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Budget for Unlimited {
    fn spent(&self, _bytes: usize) -> Option<Exhausted> {
        None
    }
}

impl<B: Fn(usize) -> Option<Exhausted> + Sync> Budget for B {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        self(bytes)
    }
}
