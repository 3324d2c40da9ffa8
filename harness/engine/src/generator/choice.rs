//! Generators that choose among several.

use keelhaul_history::Op;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Boxed, Context, Generator, Next};

/// See [`any_of`].
pub struct AnyOf {
    inner: Vec<Boxed>,
    /// Who is asked first: whoever follows the one that answered last, so that none starves.
    first: usize,
}

/// Whichever generator has an operation soonest; when several have one now they take turns. Done when all are.
pub fn any_of(generators: impl IntoIterator<Item = Boxed>) -> AnyOf {
    AnyOf { inner: generators.into_iter().collect(), first: 0 }
}

impl Generator for AnyOf {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let mut soonest = Next::Done;
        let mut i = 0;
        while i < self.inner.len() {
            let at = (self.first + i) % self.inner.len();
            match self.inner[at].next(ctx) {
                op @ Next::Op { .. } => {
                    self.first = at + 1;
                    return op;
                }
                Next::Done => {
                    drop(self.inner.remove(at));
                    // Whoever was asked before this one is not asked again.
                    if at < self.first {
                        self.first -= 1;
                    }
                }
                other => {
                    soonest = sooner(soonest, other);
                    i += 1;
                }
            }
        }
        soonest
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        for generator in &mut self.inner {
            generator.update(ctx, event);
        }
    }
}

/// The more eager of two answers without an operation.
pub(super) fn sooner(a: Next, b: Next) -> Next {
    match (a, b) {
        (Next::Until(a), Next::Until(b)) => Next::Until(a.min(b)),
        (until @ Next::Until(_), _) | (_, until @ Next::Until(_)) => until,
        (Next::Done, other) | (other, _) => other,
    }
}

/// See [`mix`].
pub struct Mix {
    inner: Vec<(u32, Boxed)>,
    chosen: Option<usize>,
    rng: ChaCha8Rng,
}

/// For every operation a generator drawn at random, by weight. One that has to wait makes the mix wait, so that the
/// proportions hold whatever the threads do; one that is done drops out. Done when all are. A weight of 0 leaves
/// its generator out.
pub fn mix(generators: impl IntoIterator<Item = (u32, Boxed)>, rng: ChaCha8Rng) -> Mix {
    Mix {
        inner: generators.into_iter().filter(|(weight, _)| *weight > 0).collect(),
        chosen: None,
        rng,
    }
}

impl Mix {
    fn draw(&mut self) -> usize {
        let total: u64 = self.inner.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.rng.random_range(0..total);
        for (i, (weight, _)) in self.inner.iter().enumerate() {
            if at < u64::from(*weight) {
                return i;
            }
            at -= u64::from(*weight);
        }
        unreachable!("the draw is below the sum of the weights")
    }
}

impl Generator for Mix {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        while !self.inner.is_empty() {
            let chosen = match self.chosen {
                Some(chosen) => chosen,
                None => self.draw(),
            };
            let next = self.inner[chosen].1.next(ctx);
            match next {
                Next::Op { .. } => self.chosen = None,
                Next::Done => {
                    drop(self.inner.remove(chosen));
                    self.chosen = None;
                    continue;
                }
                Next::Until(_) | Next::Pending => self.chosen = Some(chosen),
            }
            return next;
        }
        Next::Done
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        for (_, generator) in &mut self.inner {
            generator.update(ctx, event);
        }
    }
}
