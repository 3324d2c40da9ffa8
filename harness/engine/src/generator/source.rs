//! Generators that make operations themselves.

use super::{Context, Generator, Next};
use crate::Invocation;

/// See [`from_fn`].
pub struct FromFn<M>(M);

/// Asks a function each time a client thread is free; done when it returns none, and then it is not asked again.
pub const fn from_fn<M: FnMut(&Context<'_>) -> Option<Invocation>>(make: M) -> FromFn<M> {
    FromFn(make)
}

impl<M: FnMut(&Context<'_>) -> Option<Invocation>> Generator for FromFn<M> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if !ctx.can_take() {
            return Next::Pending;
        }
        (self.0)(ctx).map_or(Next::Done, |op| Next::Op { thread: None, op })
    }
}

/// See [`ops`].
pub struct Ops<I>(I);

/// The operations of an iterator, in order, one whenever a thread is free.
pub fn ops<I: IntoIterator<Item = Invocation>>(operations: I) -> Ops<I::IntoIter> {
    Ops(operations.into_iter())
}

/// One operation.
#[must_use]
pub fn once(op: Invocation) -> Ops<std::option::IntoIter<Invocation>> {
    Ops(Some(op).into_iter())
}

/// The same operation for ever.
#[must_use]
pub fn repeat(op: Invocation) -> Ops<std::iter::Repeat<Invocation>> {
    Ops(std::iter::repeat(op))
}

impl<I: Iterator<Item = Invocation>> Generator for Ops<I> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if !ctx.can_take() {
            return Next::Pending;
        }
        self.0.next().map_or(Next::Done, |op| Next::Op { thread: None, op })
    }
}

/// See [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    duration_ns: u64,
    until_ns: Option<u64>,
}

/// No operation, and done this many nanoseconds after it was first asked. Occupies no thread.
#[must_use]
pub const fn sleep(duration_ns: u64) -> Sleep {
    Sleep { duration_ns, until_ns: None }
}

impl Generator for Sleep {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let until = *self.until_ns.get_or_insert(ctx.now_ns().saturating_add(self.duration_ns));
        if ctx.now_ns() < until { Next::Until(until) } else { Next::Done }
    }
}

/// See [`log`].
#[derive(Debug)]
pub struct Log(Option<Box<str>>);

/// Logs a line when its turn comes, and is done. The line is no part of the history.
pub fn log(line: impl Into<Box<str>>) -> Log {
    Log(Some(line.into()))
}

impl Generator for Log {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if let Some(line) = self.0.take() {
            ctx.log(line);
        }
        Next::Done
    }
}
