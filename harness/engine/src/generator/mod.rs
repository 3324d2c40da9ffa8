//! Generators: what shall be done next, as pure state machines.
//!
//! A generator is asked "what now?" with a [`Context`] (the time, and which threads are free) and answers with
//! [`Next`]: an operation, a time to ask again, "wait for a completion", or "done". It is told of every event.
//! It owns no clock and no thread, and takes its randomness as a seeded generator, so that the same seed and the
//! same events give the same operations; `simulate` tests one in virtual time.
//!
//! Terms, as in Jepsen: a *thread* is one of the fixed number of actors that perform operations one at a time; a
//! *process* is the identity under which a thread acts, replaced when nobody knows how its operation ended.
//!
//! Generators are built from [sources](from_fn), the methods of [`Combine`], and functions over several
//! generators: [`mix`], [`any_of`], [`sequence`], [`phases`], [`reserve`], [`each_thread`], [`independent`].
//!
//! ```
//! use keelhaul_engine::Invocation;
//! use keelhaul_engine::generator::{Combine, Spacing, from_fn, nemesis, any_of, sleep, once, sequence};
//! use keelhaul_history::{F, Value};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let read = || Invocation { f: F::Read, key: None, value: Value::Null };
//! let fault = |name: &str| Invocation { f: name.into(), key: None, value: Value::Null };
//! let work = from_fn(move |_| Some(read())).stagger(100.0, Spacing::Poisson, ChaCha8Rng::seed_from_u64(7)).clients();
//! let faults = nemesis(sequence([
//!     sleep(5_000_000_000).boxed(),
//!     once(fault("partition")).boxed(),
//!     sleep(5_000_000_000).boxed(),
//!     once(fault("heal")).boxed(),
//! ]));
//! let all = any_of([work.boxed(), faults.boxed()]).time_limit(30_000_000_000);
//! # drop(all);
//! ```

mod bound;
mod choice;
mod context;
mod independent;
mod order;
mod simulate;
mod source;
#[cfg(test)]
mod tests;
mod threads;
mod timing;

use keelhaul_history::Op;

use crate::Invocation;

pub use bound::{Limit, Map, Until};
pub use choice::{AnyOf, Mix, any_of, mix};
pub use context::{Context, Thread, Threads};
pub use independent::{Independent, independent};
pub use order::{Phases, Sequence, phases, sequence};
pub use simulate::simulate;
pub use source::{FromFn, Log, Ops, Sleep, from_fn, log, once, ops, repeat, sleep};
pub use threads::{Clients, EachThread, Nemesis, Reserve, clients, each_thread, nemesis, reserve};
pub use timing::{Delay, Spacing, Stagger, TimeLimit};

/// A generator's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Perform this now.
    Op {
        /// Who shall do it: a thread that is free in the context that was passed in. None: any free client thread
        /// of it, and the caller picks the one that has been idle longest.
        thread: Option<Thread>,
        /// What to do.
        op: Invocation,
    },
    /// Nothing before this time, in nanoseconds since the run began, unless an event changes that.
    Until(u64),
    /// Nothing until some event happens.
    Pending,
    /// Nothing, ever again.
    Done,
}

/// Something that says what to do next.
///
/// Obligations: `next` answers [`Next::Op`] only with an operation that a free thread of `ctx` can take now, and
/// counts it as taken: whoever gets an operation performs it, none is ever handed back. The other answers change
/// nothing that matters, since callers ask again as often as they like. After [`Next::Done`] a generator is not
/// asked again, or goes on saying done.
pub trait Generator {
    /// What to do now.
    fn next(&mut self, ctx: &Context<'_>) -> Next;

    /// Told of every event, invocations and completions, in history order. `ctx` is the state after the event.
    /// Events of operations that other generators asked for come too.
    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        let _ = (ctx, event);
    }
}

/// A generator of any kind.
pub type Boxed = Box<dyn Generator>;

impl<G: Generator + ?Sized> Generator for Box<G> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        (**self).next(ctx)
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        (**self).update(ctx, event);
    }
}

/// Combinators over one generator, as methods.
pub trait Combine: Generator + Sized + 'static {
    /// As a [`Boxed`].
    fn boxed(self) -> Boxed {
        Box::new(self)
    }

    /// At most `n` operations.
    fn limit(self, n: u64) -> Limit<Self> {
        Limit::new(self, n)
    }

    /// `per_second` operations a second on average, over all threads together. See [`Stagger`].
    fn stagger(
        self,
        per_second: f64,
        spacing: Spacing,
        rng: rand_chacha::ChaCha8Rng,
    ) -> Stagger<Self> {
        Stagger::new(self, per_second, spacing, rng)
    }

    /// At least `gap_ns` nanoseconds between one operation's invocation and the next.
    fn delay(self, gap_ns: u64) -> Delay<Self> {
        Delay::new(self, gap_ns)
    }

    /// Done `limit_ns` nanoseconds after it was first asked. Operations that are in flight then go on.
    fn time_limit(self, limit_ns: u64) -> TimeLimit<Self> {
        TimeLimit::new(self, limit_ns)
    }

    /// This, then, when all threads are free again, `next`. The same as [`phases`] of the two.
    fn then(self, next: impl Generator + 'static) -> Phases {
        phases([self.boxed(), next.boxed()])
    }

    /// Done as soon as an event, invocation or completion, satisfies the predicate. Events from before this
    /// generator was first asked do not count.
    fn until<P: FnMut(&Op) -> bool>(self, predicate: P) -> Until<Self, P> {
        Until::new(self, predicate)
    }

    /// Every operation passed through a function.
    fn map<M: FnMut(Invocation) -> Invocation>(self, map: M) -> Map<Self, M> {
        Map::new(self, map)
    }

    /// On client threads only.
    fn clients(self) -> Clients<Self> {
        clients(self)
    }

    /// On the nemesis only.
    fn nemesis(self) -> Nemesis<Self> {
        nemesis(self)
    }
}

impl<G: Generator + Sized + 'static> Combine for G {}
