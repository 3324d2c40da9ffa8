//! Transactions that append to lists and read them.
//!
//! A read of a list tells the order of all appends to it, so every dependency between transactions is known to the checker
//! (Kingsbury & Alvaro, *Elle*, VLDB 2020). As in Elle's generator a few keys are in use at a time, drawn with exponentially
//! falling weights, and each is replaced when it has had so many appends: lists stay short, and some keys see one fault while
//! others see several. Keys no longer in use are still read now and then, and at the end every key is: what was acknowledged and
//! then lost shows there at the latest.

use std::cell::Cell;
use std::rc::Rc;

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Combine, Context, Generator, Next, Spacing, ops};
use keelhaul_history::{F, Op, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Workload;

/// What the workload needs to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct ListAppendOptions {
    /// Transactions a second, over all threads.
    pub rate: f64,
    /// How long the main part lasts, nanoseconds.
    pub time_limit_ns: u64,
}

/// Keys in use at a time.
const KEYS: usize = 8;
/// Operations of a transaction: at least, and at most.
const LENGTH: std::ops::RangeInclusive<usize> = 1..=4;
/// Appends to a key before it is replaced: at least, and at most; drawn evenly on a logarithmic scale.
const APPENDS_PER_KEY: std::ops::Range<f64> = 16.0..256.0;
/// Share of transactions that begin with a read of any key that was begun so far.
const REVISITS: f64 = 0.05;
/// Reads of each key at the end; several, since one may meet a node that answers with an error.
const FINAL_READS: i64 = 3;

/// The list-append workload.
#[must_use]
pub fn list_append(options: ListAppendOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Rc::new(Cell::new(0));
    let main = Txns::new(Rc::clone(&begun), ChaCha8Rng::from_rng(rng))
        .stagger(options.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng))
        .clients()
        .time_limit(options.time_limit_ns);
    let last = ops(FinalReads { begun, next: 0 })
        .stagger(options.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng))
        .clients();
    Workload { main: main.boxed(), last: last.boxed() }
}

/// A key in use.
struct Key {
    name: i64,
    appended: i64,
    appends_max: i64,
}

/// The transactions.
struct Txns {
    rng: ChaCha8Rng,
    keys: Vec<Key>,
    /// How many keys were begun: their names are the numbers below.
    begun: Rc<Cell<i64>>,
}

impl Txns {
    fn new(begun: Rc<Cell<i64>>, rng: ChaCha8Rng) -> Self {
        let mut txns = Self { rng, keys: Vec::new(), begun };
        for _ in 0..KEYS {
            let key = txns.fresh();
            txns.keys.push(key);
        }
        txns
    }

    fn fresh(&mut self) -> Key {
        let name = self.begun.replace(self.begun.get() + 1);
        let max = self.rng.random_range(APPENDS_PER_KEY.start.ln()..APPENDS_PER_KEY.end.ln());
        Key { name, appended: 0, appends_max: max.exp() as i64 }
    }

    fn micro(&mut self) -> Value {
        let mut at = 0;
        while at + 1 < self.keys.len() && self.rng.random_bool(0.5) {
            at += 1;
        }
        let key = &mut self.keys[at];
        let name = key.name;
        if self.rng.random_bool(0.5) {
            return read(name);
        }
        key.appended += 1;
        let value = key.appended;
        if value == key.appends_max {
            self.keys[at] = self.fresh();
        }
        Value::List([Value::from("append"), name.into(), value.into()].into())
    }
}

fn read(key: i64) -> Value {
    Value::List([Value::from("r"), key.into(), Value::Null].into())
}

fn txn(micros: Vec<Value>) -> Invocation {
    Invocation { f: F::from("txn"), key: None, value: Value::List(micros.into()) }
}

impl Generator for Txns {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        let length = self.rng.random_range(LENGTH);
        let mut micros: Vec<Value> = (0..length).map(|_| self.micro()).collect();
        if self.rng.random_bool(REVISITS) {
            micros.insert(0, read(self.rng.random_range(0..self.begun.get())));
        }
        Next::Op { thread: None, op: txn(micros) }
    }

    fn update(&mut self, _ctx: &Context<'_>, _event: &Op) {}
}

/// Reads of every key that was begun. How many there are is known only when the first is asked for.
struct FinalReads {
    begun: Rc<Cell<i64>>,
    next: i64,
}

impl Iterator for FinalReads {
    type Item = Invocation;

    fn next(&mut self) -> Option<Invocation> {
        let key = self.next / FINAL_READS;
        self.next += 1;
        (key < self.begun.get()).then(|| txn(vec![read(key)]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::{phases, simulate};
    use keelhaul_engine::interpreter::Dispatch;
    use keelhaul_history::Kind;

    use super::*;

    fn history(seed: u64) -> Vec<Op> {
        let options = ListAppendOptions { rate: 1_000.0, time_limit_ns: 5_000_000_000 };
        let workload = list_append(options, &mut ChaCha8Rng::seed_from_u64(seed));
        let outcome = |Dispatch { op, .. }: &Dispatch| Outcome::Ok(op.value.clone());
        simulate(phases([workload.main, workload.last]).boxed(), 10, |_| 2_000_000, outcome)
    }

    /// Function, key and value of each operation of each transaction.
    fn micros(history: &[Op]) -> Vec<(String, i64, Option<i64>)> {
        let invoked = history.iter().filter(|op| op.kind == Kind::Invoke);
        let micros = invoked.flat_map(|op| op.value.as_list().unwrap());
        let parts = micros.map(|micro| micro.as_list().unwrap());
        parts
            .map(|m| (m[0].as_str().unwrap().into(), m[1].as_int().unwrap(), m[2].as_int()))
            .collect()
    }

    #[test]
    fn every_element_is_appended_once_and_keys_take_turns() {
        let mut appended: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for (_, key, value) in micros(&history(1)).iter().filter(|(f, ..)| f == "append") {
            assert!(appended.entry(*key).or_default().insert(value.unwrap()), "{key} {value:?}");
        }
        assert!(appended.len() > 3 * KEYS, "{}", appended.len());
        let most = appended.values().map(BTreeSet::len).max().unwrap();
        assert!(most as f64 <= APPENDS_PER_KEY.end && most > 32, "{most}");
    }

    #[test]
    fn every_key_is_read_at_the_end() {
        let history = history(2);
        let last = history.iter().rposition(|op| op.value.to_string().contains("append")).unwrap();
        let all: BTreeSet<i64> = micros(&history).iter().map(|(_, key, _)| *key).collect();
        let read: BTreeSet<i64> = micros(&history[last..]).iter().map(|(_, key, _)| *key).collect();
        assert_eq!(all, read);
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(history(3), history(3));
    }
}
