//! Many objects at once: threads in groups, each group on a key of its own.
//!
//! Checking an object's history costs much more than its length, so a long run is best made of many short histories
//! over keys of their own (linearizability is a local property: Herlihy and Wing, "Linearizability", 1990, §3.2).

use std::ops::Range;

use keelhaul_history::{Op, Value};

use super::choice::sooner;
use super::threads::ask_within;
use super::{Boxed, Context, Generator, Next, Thread};

/// How many keys in a row may be done without one operation. Keys are often endless: without a bound a
/// generator that is always done would hang the run.
const EMPTY_KEYS_MAX: u32 = 10_000;

/// See [`independent`].
pub struct Independent<I, M> {
    threads_per_key: u32,
    keys: I,
    make: M,
    groups: Vec<Group>,
    /// Who is asked first: whoever follows the one that answered last.
    first: usize,
    divided: bool,
}

/// A group of threads and what it works on.
struct Group {
    threads: Range<u32>,
    /// None: the keys ran out.
    work: Option<(Value, Boxed)>,
}

/// Divides the client threads in view into groups of at least `threads_per_key` (all of them into one group if there
/// are fewer). Each group takes the next key, runs the generator made for it, and when that is done takes
/// another key, without waiting for operations in flight. Done when the keys have run out and all generators are done.
///
/// Every operation gets its group's key, whatever its generator said. A key's generator hears of events of its own
/// group and key only.
///
/// The returned generator panics when it is asked and thousands of keys in a row had nothing to do.
pub fn independent<I, M>(threads_per_key: u32, keys: I, make: M) -> Independent<I::IntoIter, M>
where
    I: IntoIterator<Item = Value>,
    M: FnMut(&Value) -> Boxed,
{
    Independent {
        threads_per_key: threads_per_key.max(1),
        keys: keys.into_iter(),
        make,
        groups: Vec::new(),
        first: 0,
        divided: false,
    }
}

impl<I: Iterator<Item = Value>, M: FnMut(&Value) -> Boxed> Independent<I, M> {
    /// Groups as even as possible, so that no thread stays idle.
    fn divide(&mut self, ctx: &Context<'_>) {
        let all = ctx.client_threads();
        let threads = all.end - all.start;
        let count = (threads / self.threads_per_key).clamp(threads.min(1), threads.max(1));
        let bound = |group: u32| {
            all.start + (u64::from(group) * u64::from(threads) / u64::from(count)) as u32
        };
        for group in 0..count {
            let work = self.fresh();
            self.groups.push(Group { threads: bound(group)..bound(group + 1), work });
        }
        self.divided = true;
    }

    fn fresh(&mut self) -> Option<(Value, Boxed)> {
        let key = self.keys.next()?;
        let generator = (self.make)(&key);
        Some((key, generator))
    }

    fn ask(&mut self, ctx: &Context<'_>, at: usize) -> Next {
        let view = ctx.range(self.groups[at].threads.clone());
        for _ in 0..EMPTY_KEYS_MAX {
            let Some((key, generator)) = &mut self.groups[at].work else { return Next::Done };
            match ask_within(generator, &view) {
                Next::Op { thread, mut op } => {
                    op.key = Some(key.clone());
                    return Next::Op { thread, op };
                }
                Next::Done => self.groups[at].work = self.fresh(),
                other => return other,
            }
        }
        panic!("the generators of {EMPTY_KEYS_MAX} keys in a row asked for nothing")
    }
}

impl<I: Iterator<Item = Value>, M: FnMut(&Value) -> Boxed> Generator for Independent<I, M> {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if !self.divided {
            self.divide(ctx);
        }
        let mut soonest = Next::Done;
        for i in 0..self.groups.len() {
            let at = (self.first + i) % self.groups.len();
            match self.ask(ctx, at) {
                op @ Next::Op { .. } => {
                    self.first = at + 1;
                    return op;
                }
                other => soonest = sooner(soonest, other),
            }
        }
        soonest
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        let Thread::Client(thread) = ctx.thread(event.process) else { return };
        let at = self.groups.partition_point(|group| group.threads.end <= thread);
        let Some(group) = self.groups.get_mut(at).filter(|group| group.threads.contains(&thread))
        else {
            return;
        };
        if let Some((key, generator)) = &mut group.work
            && event.key.as_ref() == Some(key)
        {
            generator.update(&ctx.range(group.threads.clone()), event);
        }
    }
}
