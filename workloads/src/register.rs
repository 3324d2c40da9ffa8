//! Reads, writes and compare-and-sets on many registers.
//!
//! Every value written to a register is written once, so that a read names the write it saw, and a checker need not
//! guess. Threads work in groups, a group on one register at a time; a register is in use for some dozen to some thousand
//! operations, so that some see one fault and others several. Registers no longer in use are still read now and then: a
//! loss that nobody overwrites stays to be seen, by whichever node leads later. At the end every register is read again, after all
//! faults: what was acknowledged and then lost shows there at the latest.

use std::collections::VecDeque;

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Combine, Context, Generator, Next, Spacing, independent, ops};
use keelhaul_history::{F, Kind, Op, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Workload;
use crate::begun::{Begun, log_uniform};

/// What the workload needs to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct RegisterOptions {
    /// Operations a second, over all threads.
    pub rate: f64,
    /// How long the main part lasts, nanoseconds.
    pub time_limit_ns: u64,
    /// Threads that share a register; best a multiple of the number of nodes, so that every node serves each register.
    pub threads_per_key: u32,
}

/// Operations on one register before its group takes the next: at least, and at most. Drawn evenly on a logarithmic
/// scale, so that most registers are short: what their last write left stays for the rest of the run.
const OPS_PER_KEY: std::ops::Range<f64> = 30.0..2_000.0;
/// Share of operations that are turned into a read of any register begun so far.
const REVISITS: f64 = 0.1;
/// Values of a register that a cas may expect: the newest ones seen.
const RECENT: usize = 3;

/// The register workload.
#[must_use]
pub fn register(options: RegisterOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let mut key_rng = ChaCha8Rng::from_rng(rng);
    let pace_rng = ChaCha8Rng::from_rng(rng);
    let main = independent(options.threads_per_key, begun.names(), move |_| {
        let mut rng = ChaCha8Rng::from_rng(&mut key_rng);
        let limit = log_uniform(OPS_PER_KEY, &mut rng);
        Register { rng, next_value: 1, recent: VecDeque::new() }.limit(limit).boxed()
    });
    let (mut revisit_rng, known) = (ChaCha8Rng::from_rng(rng), begun.clone());
    let main = main
        .map(move |op| {
            if !revisit_rng.random_bool(REVISITS) {
                return op;
            }
            read(known.any(&mut revisit_rng))
        })
        .stagger(options.rate, Spacing::Poisson, pace_rng)
        .clients()
        .time_limit(options.time_limit_ns);
    let last_rng = ChaCha8Rng::from_rng(rng);
    let last =
        ops(begun.final_reads(read)).stagger(options.rate, Spacing::Poisson, last_rng).clients();
    Workload { main: main.boxed(), last: last.boxed() }
}

fn read(register: i64) -> Invocation {
    Invocation { f: F::Read, key: Some(Value::Int(register)), value: Value::Null }
}

/// The operations on one register.
struct Register {
    rng: ChaCha8Rng,
    next_value: i64,
    /// The newest values that operations are known to have seen or set, newest first.
    recent: VecDeque<Value>,
}

impl Register {
    fn fresh(&mut self) -> i64 {
        self.next_value += 1;
        self.next_value - 1
    }

    /// Mostly the newest value, so that many succeed; sometimes an older one, which must not.
    fn expected(&mut self) -> Value {
        let at = if self.rng.random_bool(0.7) { 0 } else { self.rng.random_range(0..RECENT) };
        self.recent.get(at).or(self.recent.front()).cloned().unwrap_or_default()
    }
}

impl Generator for Register {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        let (f, value) = match self.rng.random_range(0..100) {
            0..45 => (F::Read, Value::Null),
            45..75 => (F::Write, Value::Int(self.fresh())),
            _ => {
                let expected = self.expected();
                (F::Cas, Value::pair(expected, self.fresh()))
            }
        };
        Next::Op { thread: None, op: Invocation { f, key: None, value } }
    }

    fn update(&mut self, _ctx: &Context<'_>, event: &Op) {
        if event.kind != Kind::Ok {
            return;
        }
        let seen = match &event.f {
            F::Cas => event.value.as_list().and_then(|pair| pair.get(1)),
            _ => Some(&event.value),
        };
        if let Some(seen) = seen
            && self.recent.front() != Some(seen)
        {
            self.recent.push_front(seen.clone());
            self.recent.truncate(RECENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::{phases, simulate};
    use keelhaul_engine::interpreter::Dispatch;

    use super::*;

    fn history(seed: u64) -> Vec<Op> {
        let options =
            RegisterOptions { rate: 2_000.0, time_limit_ns: 10_000_000_000, threads_per_key: 5 };
        let workload = register(options, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut registers = BTreeMap::<Option<Value>, Value>::new();
        let outcome = move |Dispatch { op, .. }: &Dispatch| {
            let register = registers.entry(op.key.clone()).or_default();
            match op.f {
                F::Read => Outcome::Ok(register.clone()),
                F::Write => {
                    *register = op.value.clone();
                    Outcome::Ok(op.value.clone())
                }
                _ => {
                    let pair = op.value.as_list().unwrap();
                    if *register != pair[0] {
                        return Outcome::Fail("mismatch".into());
                    }
                    *register = pair[1].clone();
                    Outcome::Ok(op.value.clone())
                }
            }
        };
        simulate(phases([workload.main, workload.last]).boxed(), 10, |_| 2_000_000, outcome)
    }

    #[test]
    fn every_value_of_a_register_is_written_once() {
        let mut seen = BTreeSet::new();
        for op in history(1).iter().filter(|op| op.kind == Kind::Invoke && op.f != F::Read) {
            let value = op.value.as_list().map_or(&op.value, |pair| &pair[1]);
            assert!(seen.insert((op.key.clone(), value.clone())), "{op:?}");
        }
        assert!(seen.len() > 1_000);
    }

    #[test]
    fn many_cas_succeed_and_many_do_not() {
        let history = history(2);
        let count = |kind| history.iter().filter(|op| op.f == F::Cas && op.kind == kind).count();
        assert!(
            count(Kind::Ok) * 4 > count(Kind::Fail) && count(Kind::Fail) * 10 > count(Kind::Ok)
        );
    }

    #[test]
    fn every_register_is_read_at_the_end() {
        let history = history(3);
        let last_write = history.iter().rposition(|op| op.f != F::Read).unwrap();
        let all: BTreeSet<_> = history.iter().map(|op| op.key.clone()).collect();
        let read: BTreeSet<_> = history[last_write..].iter().map(|op| op.key.clone()).collect();
        assert_eq!(all, read);
        assert!(all.len() > 4);
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(history(4), history(4));
    }
}
