//! Generators that end, or change, another.

use keelhaul_history::Op;

use super::{Context, Generator, Next};
use crate::Invocation;

/// Ends after a number of operations; see [`super::Combine::limit`].
pub struct Limit<G> {
    inner: G,
    left: u64,
}

impl<G> Limit<G> {
    pub(super) const fn new(inner: G, n: u64) -> Self {
        Self { inner, left: n }
    }
}

impl<G: Generator> Generator for Limit<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if self.left == 0 {
            return Next::Done;
        }
        let next = self.inner.next(ctx);
        self.left -= u64::from(matches!(next, Next::Op { .. }));
        next
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.inner.update(ctx, event);
    }
}

/// Ends at an event; see [`super::Combine::until`].
pub struct Until<G, P> {
    inner: G,
    predicate: P,
    asked: bool,
    over: bool,
}

impl<G, P> Until<G, P> {
    pub(super) const fn new(inner: G, predicate: P) -> Self {
        Self { inner, predicate, asked: false, over: false }
    }
}

impl<G: Generator, P: FnMut(&Op) -> bool> Generator for Until<G, P> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        self.asked = true;
        if self.over { Next::Done } else { self.inner.next(ctx) }
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.over = self.over || self.asked && (self.predicate)(event);
        self.inner.update(ctx, event);
    }
}

/// Changes every operation; see [`super::Combine::map`].
pub struct Map<G, M> {
    inner: G,
    map: M,
}

impl<G, M> Map<G, M> {
    pub(super) const fn new(inner: G, map: M) -> Self {
        Self { inner, map }
    }
}

impl<G: Generator, M: FnMut(Invocation) -> Invocation> Generator for Map<G, M> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        match self.inner.next(ctx) {
            Next::Op { thread, op } => Next::Op { thread, op: (self.map)(op) },
            other => other,
        }
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        self.inner.update(ctx, event);
    }
}
