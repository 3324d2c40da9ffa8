//! What workloads of transactions have in common: how operations are spelled, and a mix of reads and writes.

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Combine, Context, Generator, Next, Spacing, ops};
use keelhaul_history::{F, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Workload;
use crate::begun::Begun;
use crate::keys::Keys;

/// What a workload of transactions needs to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct TxnOptions {
    /// Transactions a second, over all threads.
    pub rate: f64,
    /// How long the main part lasts, nanoseconds.
    pub time_limit_ns: u64,
}

/// Makes a workload of transactions.
pub type MakeTxns = fn(TxnOptions, &mut ChaCha8Rng) -> Workload;

impl TxnOptions {
    /// What goes on until the time limit, and then what is read; both at the rate.
    pub(crate) fn workload(
        self,
        main: impl Generator + 'static,
        last: impl Iterator<Item = Invocation> + 'static,
        rng: &mut ChaCha8Rng,
    ) -> Workload {
        let main = main
            .stagger(self.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng))
            .clients()
            .time_limit(self.time_limit_ns);
        let last =
            ops(last).stagger(self.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng)).clients();
        Workload { main: main.boxed(), last: last.boxed() }
    }
}

/// Operations of a transaction: at least, and at most.
const LENGTH: std::ops::RangeInclusive<usize> = 1..=4;
/// Share of transactions that begin with a read of any key that was begun so far.
const REVISITS: f64 = 0.05;

/// A read of a key.
pub(crate) fn read(key: i64) -> Value {
    Value::List([Value::from("r"), key.into(), Value::Null].into())
}

/// An operation that writes, of this name.
pub(crate) fn write(f: &str, key: i64, value: i64) -> Value {
    Value::List([Value::from(f), key.into(), value.into()].into())
}

/// A transaction.
pub(crate) fn txn(micros: Vec<Value>) -> Invocation {
    Invocation { f: F::from("txn"), key: None, value: Value::List(micros.into()) }
}

/// A transaction that reads a key and does nothing else.
pub(crate) fn read_alone(key: i64) -> Invocation {
    txn(vec![read(key)])
}

/// Transactions of reads and writes in equal parts.
pub(crate) struct Mixed {
    rng: ChaCha8Rng,
    keys: Keys,
    /// What a write is called.
    f: &'static str,
}

impl Mixed {
    pub(crate) fn new(f: &'static str, begun: Begun, mut rng: ChaCha8Rng) -> Self {
        let keys = Keys::new(begun, &mut rng);
        Self { rng, keys, f }
    }

    fn micro(&mut self) -> Value {
        if self.rng.random_bool(0.5) {
            return read(self.keys.read(&mut self.rng));
        }
        let (key, value) = self.keys.write(&mut self.rng);
        write(self.f, key, value)
    }
}

impl Generator for Mixed {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        let length = self.rng.random_range(LENGTH);
        let mut micros: Vec<Value> = (0..length).map(|_| self.micro()).collect();
        if self.rng.random_bool(REVISITS) {
            micros.insert(0, read(self.keys.revisit(&mut self.rng)));
        }
        Next::Op { thread: None, op: txn(micros) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::{phases, simulate};
    use keelhaul_engine::interpreter::Dispatch;
    use keelhaul_history::{Kind, Op};

    use super::*;
    use crate::keys::{KEYS, WRITES_PER_KEY};

    pub const OPTIONS: TxnOptions = TxnOptions { rate: 1_000.0, time_limit_ns: 5_000_000_000 };

    /// What is asked of a store that answers everything.
    pub fn history(workload: Workload) -> Vec<Op> {
        let outcome = |Dispatch { op, .. }: &Dispatch| Outcome::Ok(op.value.clone());
        simulate(phases([workload.main, workload.last]).boxed(), 10, |_| 2_000_000, outcome)
    }

    /// Function, key and value of each operation of each transaction.
    pub fn micros(history: &[Op]) -> Vec<(String, i64, Option<i64>)> {
        let invoked = history.iter().filter(|op| op.kind == Kind::Invoke);
        let micros = invoked.flat_map(|op| op.value.as_list().unwrap());
        let parts = micros.map(|micro| micro.as_list().unwrap());
        parts
            .map(|m| (m[0].as_str().unwrap().into(), m[1].as_int().unwrap(), m[2].as_int()))
            .collect()
    }

    /// Every value is written once, keys take turns, all are read at the end, and the seed decides everything.
    pub fn check(f: &str, workload: MakeTxns) {
        let history_of = |seed| history(workload(OPTIONS, &mut ChaCha8Rng::seed_from_u64(seed)));
        let history = history_of(1);
        let mut written: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for (_, key, value) in micros(&history).iter().filter(|(name, ..)| name == f) {
            assert!(written.entry(*key).or_default().insert(value.unwrap()), "{key} {value:?}");
        }
        assert!(written.len() > 3 * KEYS, "{}", written.len());
        let most = written.values().map(BTreeSet::len).max().unwrap();
        assert!(most as f64 <= WRITES_PER_KEY.end && most > 32, "{most}");

        let last =
            history.iter().rposition(|op| op.value.to_string().contains(&format!("\"{f}\"")));
        let keys = |history: &[Op]| -> BTreeSet<i64> {
            micros(history).iter().map(|(_, key, _)| *key).collect()
        };
        assert_eq!(keys(&history), keys(&history[last.unwrap()..]));
        assert_eq!(history, history_of(1));
    }
}
