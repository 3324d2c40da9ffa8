//! Generators one after the other.

use std::collections::VecDeque;

use keelhaul_history::Op;

use super::{Boxed, Context, Generator, Next};

/// See [`sequence`].
pub struct Sequence(VecDeque<Boxed>);

/// One generator after the other, without waiting for operations that are in flight. Only the one whose turn it is
/// hears of events.
pub fn sequence(generators: impl IntoIterator<Item = Boxed>) -> Sequence {
    Sequence(generators.into_iter().collect())
}

impl Generator for Sequence {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        while let Some(current) = self.0.front_mut() {
            match current.next(ctx) {
                Next::Done => drop(self.0.pop_front()),
                other => return other,
            }
        }
        Next::Done
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if let Some(current) = self.0.front_mut() {
            current.update(ctx, event);
        }
    }
}

/// See [`phases`].
pub struct Phases {
    left: VecDeque<Boxed>,
    /// The first of `left` has begun.
    begun: bool,
}

/// One generator after the other; each begins when all threads in view are free, those of the nemesis included.
pub fn phases(generators: impl IntoIterator<Item = Boxed>) -> Phases {
    Phases { left: generators.into_iter().collect(), begun: false }
}

impl Generator for Phases {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        while let Some(current) = self.left.front_mut() {
            if !self.begun && !ctx.all_free() {
                return Next::Pending;
            }
            self.begun = true;
            match current.next(ctx) {
                Next::Done => {
                    self.left.pop_front();
                    self.begun = false;
                }
                other => return other,
            }
        }
        Next::Done
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if let Some(current) = self.left.front_mut().filter(|_| self.begun) {
            current.update(ctx, event);
        }
    }
}
