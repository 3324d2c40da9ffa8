//! Clients that take turns on a resource, each holding a lock while it appends to it.
//!
//! Threads work in groups, a group on one lock and the resource that it guards. Whoever gets the lock appends some items, one
//! operation each, and releases it: a critical section. The others ask again and again. The resource tells in which order items arrived,
//! so that a checker sees whether sections were kept apart *there*, which is the only place where it matters. Some sections last for
//! several leases, so that a holder whose lease is not renewed still works when the next one begins. Every item is appended once. At the
//! end every resource is read.

use std::collections::BTreeMap;

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{
    Combine, Context, Generator, Next, Spacing, Thread, independent, ops,
};
use keelhaul_history::{F, Kind, Op, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Workload;
use crate::begun::{Begun, log_uniform};

/// What the workload needs to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct LockOptions {
    /// Operations a second, over all threads.
    pub rate: f64,
    /// How long the main part lasts, nanoseconds.
    pub time_limit_ns: u64,
    /// Threads that share a lock; best the number of nodes, so that holders come from every node.
    pub threads_per_lock: u32,
}

/// Sections under one lock before its group takes the next: at least, and at most; drawn evenly on a logarithmic scale.
const SECTIONS_PER_LOCK: std::ops::Range<f64> = 6.0..60.0;
/// Items of a section; drawn likewise.
const ITEMS_PER_SECTION: std::ops::Range<f64> = 2.0..100.0;
/// How long a thread waits after it was refused, nanoseconds.
const PATIENCE_NS: std::ops::Range<u64> = 40_000_000..120_000_000;
/// Share of a waiting thread's turns that read the resource rather than ask for the lock.
const READS: f64 = 0.05;

/// The lock workload.
#[must_use]
pub fn lock(options: LockOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let mut key_rng = ChaCha8Rng::from_rng(rng);
    let pace_rng = ChaCha8Rng::from_rng(rng);
    let main = independent(options.threads_per_lock, begun.names(), move |_| {
        Turns::new(ChaCha8Rng::from_rng(&mut key_rng)).boxed()
    });
    let main = main
        .stagger(options.rate, Spacing::Poisson, pace_rng)
        .clients()
        .time_limit(options.time_limit_ns);
    let read_all = begun
        .final_reads(|key| Invocation { key: Some(key.into()), ..invocation("read", Value::Null) });
    let last =
        ops(read_all).stagger(options.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng)).clients();
    Workload { main: main.boxed(), last: last.boxed() }
}

fn invocation(f: &str, value: Value) -> Invocation {
    Invocation { f: F::from(f), key: None, value }
}

/// Where a thread stands.
#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    /// Items that it has still to append, if it was given the lock.
    holds: Option<u64>,
    /// When it asks again.
    again_ns: u64,
    /// When it was last given something to do, as a count.
    turn: u64,
}

/// The users of one lock.
struct Turns {
    rng: ChaCha8Rng,
    stands: BTreeMap<Thread, Stand>,
    turns: u64,
    items: i64,
    sections: u64,
}

impl Turns {
    fn new(mut rng: ChaCha8Rng) -> Self {
        let sections = log_uniform(SECTIONS_PER_LOCK, &mut rng);
        Self { rng, stands: BTreeMap::new(), turns: 0, items: 0, sections }
    }

    fn stand(&self, thread: Thread) -> Stand {
        self.stands.get(&thread).copied().unwrap_or_default()
    }

    /// What a thread does now.
    fn step(&mut self, stand: &mut Stand) -> Invocation {
        self.turns += 1;
        stand.turn = self.turns;
        match stand.holds {
            Some(0) => {
                stand.holds = None;
                invocation("release", Value::Null)
            }
            Some(_) => {
                self.items += 1;
                invocation("append", self.items.into())
            }
            None if self.rng.random_bool(READS) => invocation("read", Value::Null),
            None => invocation("acquire", Value::Null),
        }
    }
}

impl Generator for Turns {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        let holds = |thread: Thread| self.stand(thread).holds.is_some();
        if self.sections == 0 && !ctx.threads().any(holds) {
            return Next::Done;
        }
        let open = self.sections > 0;
        let ready = |thread: &Thread| {
            let stand = self.stand(*thread);
            stand.holds.is_some() || open && stand.again_ns <= ctx.now_ns()
        };
        let thread = ctx.free().filter(ready).min_by_key(|thread| self.stand(*thread).turn);
        let Some(thread) = thread else {
            let again = ctx.free().map(|thread| self.stand(thread).again_ns).min();
            return again.filter(|_| open).map_or(Next::Pending, Next::Until);
        };
        let mut stand = self.stand(thread);
        let op = self.step(&mut stand);
        self.stands.insert(thread, stand);
        Next::Op { thread: Some(thread), op }
    }

    fn update(&mut self, ctx: &Context<'_>, event: &Op) {
        if event.kind == Kind::Invoke {
            return;
        }
        let thread = ctx.thread(event.process);
        let mut stand = self.stand(thread);
        let ok = event.kind == Kind::Ok;
        match event.f.as_str() {
            // What one is given after the last section is released at once.
            "acquire" if ok && self.sections == 0 => stand.holds = Some(0),
            "acquire" if ok => {
                self.sections -= 1;
                stand.holds = Some(log_uniform(ITEMS_PER_SECTION, &mut self.rng));
            }
            "append" if ok => stand.holds = stand.holds.map(|left| left.saturating_sub(1)),
            // Fenced off, or out of reach, or its process is gone: the section has ended.
            _ => stand.holds = None,
        }
        if stand.holds.is_none() {
            stand.again_ns = ctx.now_ns() + self.rng.random_range(PATIENCE_NS);
        }
        self.stands.insert(thread, stand);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::{phases, simulate};
    use keelhaul_engine::interpreter::Dispatch;

    use super::*;

    /// A run against locks that work, of clients of which some crash.
    fn history(seed: u64) -> Vec<Op> {
        let options =
            LockOptions { rate: 400.0, time_limit_ns: 20_000_000_000, threads_per_lock: 5 };
        let workload = lock(options, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut holders = BTreeMap::<Option<Value>, keelhaul_history::Process>::new();
        let mut performed = 0;
        let outcome = move |Dispatch { op, process, .. }: &Dispatch| {
            performed += 1;
            let holder = holders.get(&op.key).copied();
            match op.f.as_str() {
                "acquire" if holder.is_some() => return Outcome::Fail("held".into()),
                "acquire" => drop(holders.insert(op.key.clone(), *process)),
                "read" => {}
                _ => assert_eq!(holder, Some(*process), "{op:?} by who does not hold the lock"),
            }
            if op.f.as_str() == "release" || performed % 100 == 0 {
                holders.remove(&op.key);
            }
            if performed % 100 == 0 {
                return Outcome::Info("gone".into());
            }
            Outcome::Ok(op.value.clone())
        };
        simulate(phases([workload.main, workload.last]).boxed(), 20, |_| 2_000_000, outcome)
    }

    #[test]
    fn holders_append_and_release_and_others_ask() {
        let history = history(1);
        let count = |f: &str, kind| {
            history.iter().filter(|op| op.f.as_str() == f && op.kind == kind).count()
        };
        let (acquired, released) = (count("acquire", Kind::Ok), count("release", Kind::Ok));
        assert!(acquired > 50 && released * 10 > acquired * 4, "{acquired} {released}");
        assert!(count("append", Kind::Ok) > 4 * acquired);
        assert!(count("acquire", Kind::Fail) > acquired);
    }

    #[test]
    fn every_item_is_appended_once_and_every_resource_is_read_at_the_end() {
        let history = history(2);
        let mut items = BTreeSet::new();
        let appends = |op: &&Op| op.f.as_str() == "append" && op.kind == Kind::Invoke;
        for op in history.iter().filter(appends) {
            assert!(items.insert((op.key.clone(), op.value.clone())), "{op:?}");
        }
        let last = history.iter().rposition(|op| op.f.as_str() == "append").unwrap();
        let all: BTreeSet<_> = history.iter().map(|op| op.key.clone()).collect();
        let read: BTreeSet<_> = history[last..].iter().map(|op| op.key.clone()).collect();
        assert_eq!(all, read);
        assert!(all.len() > 4, "{}", all.len());
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(history(3), history(3));
    }
}
