//! Generators that spread operations over time.

use keelhaul_history::Op;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Context, Generator, Next};

/// How far behind its schedule a [`Stagger`] may fall and still catch up: enough to bridge a coarse timer, too
/// little to pound a store with seconds of backlog after it was down.
const LAG_NS_MAX: u64 = 100_000_000;

/// How [`Stagger`] draws the gaps between operations. Both have the same mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Exponential gaps: operations arrive as a Poisson process, in bursts and lulls.
    Poisson,
    /// Gaps uniform between nothing and twice the mean.
    Uniform,
}

/// Keeps a rate; see [`super::Combine::stagger`].
///
/// The rate is the total over all threads. Operations are scheduled ahead of time, whether or not a thread is free, so
/// the rate is kept as long as threads suffice. Whatever is more than a tenth of a second late is dropped from the
/// schedule: a stall is not followed by a flood.
pub struct Stagger<G> {
    inner: G,
    mean_ns: f64,
    spacing: Spacing,
    rng: ChaCha8Rng,
    next_ns: Option<u64>,
}

impl<G> Stagger<G> {
    /// # Panics
    /// The rate is not a positive number.
    pub(super) fn new(inner: G, per_second: f64, spacing: Spacing, rng: ChaCha8Rng) -> Self {
        assert!(
            per_second.is_finite() && per_second > 0.0,
            "the rate must be positive, not {per_second}"
        );
        Self { inner, mean_ns: 1e9 / per_second, spacing, rng, next_ns: None }
    }

    fn gap_ns(&mut self) -> u64 {
        let unit: f64 = self.rng.random();
        let gap = match self.spacing {
            Spacing::Poisson => -self.mean_ns * (1.0 - unit).ln(),
            Spacing::Uniform => 2.0 * self.mean_ns * unit,
        };
        gap as u64
    }
}

impl<G: Generator> Generator for Stagger<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let due = *self.next_ns.get_or_insert(ctx.now_ns());
        if ctx.now_ns() < due {
            return Next::Until(due);
        }
        let next = self.inner.next(ctx);
        if matches!(next, Next::Op { .. }) {
            let from = due.max(ctx.now_ns().saturating_sub(LAG_NS_MAX));
            self.next_ns = Some(from.saturating_add(self.gap_ns()));
        }
        next
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.inner.update(ctx, event);
    }
}

/// Keeps a distance; see [`super::Combine::delay`].
pub struct Delay<G> {
    inner: G,
    gap_ns: u64,
    next_ns: u64,
}

impl<G> Delay<G> {
    pub(super) const fn new(inner: G, gap_ns: u64) -> Self {
        Self { inner, gap_ns, next_ns: 0 }
    }
}

impl<G: Generator> Generator for Delay<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.now_ns() < self.next_ns {
            return Next::Until(self.next_ns);
        }
        let next = self.inner.next(ctx);
        if matches!(next, Next::Op { .. }) {
            self.next_ns = ctx.now_ns().saturating_add(self.gap_ns);
        }
        next
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.inner.update(ctx, event);
    }
}

/// Ends after a time; see [`super::Combine::time_limit`].
pub struct TimeLimit<G> {
    inner: G,
    limit_ns: u64,
    end_ns: Option<u64>,
}

impl<G> TimeLimit<G> {
    pub(super) const fn new(inner: G, limit_ns: u64) -> Self {
        Self { inner, limit_ns, end_ns: None }
    }
}

impl<G: Generator> Generator for TimeLimit<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let end = *self.end_ns.get_or_insert(ctx.now_ns().saturating_add(self.limit_ns));
        if ctx.now_ns() >= end {
            return Next::Done;
        }
        match self.inner.next(ctx) {
            Next::Until(t) => Next::Until(t.min(end)),
            Next::Pending => Next::Until(end),
            other => other,
        }
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.inner.update(ctx, event);
    }
}
