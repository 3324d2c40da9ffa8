//! Pairs of keys that two transactions read, each of which then writes another one of the two.
//!
//! Snapshot isolation lets both commit, though neither saw the other: they write different keys, so neither overwrites anything.
//! In no order of the two is that so. The two are asked for one right after the other, so that they run at the same time; then
//! the pair is read, and sometimes later again, and at the end every pair is. It is what Jepsen's `adya` workload does with
//! inserts and predicates.

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Context, Generator, Next};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::begun::Begun;
use crate::txns::{read, read_alone, txn, write};
use crate::{TxnOptions, Workload};

/// Share of operations that read any pair that was begun so far, beside the others.
const REVISITS: f64 = 0.05;

/// The write-skew workload.
#[must_use]
pub fn write_skew(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let last = begun.final_reads(read_alone);
    let pairs = Pairs { rng: ChaCha8Rng::from_rng(rng), begun, rest: Vec::new() };
    options.workload(pairs, last, rng)
}

/// The transactions.
struct Pairs {
    rng: ChaCha8Rng,
    /// How many keys were begun; a pair is an even one and the next.
    begun: Begun,
    /// What is still to be done with the last pair.
    rest: Vec<Invocation>,
}

impl Pairs {
    fn next_pair(&mut self) -> Vec<Invocation> {
        let first = self.begun.begin(2);
        let update = |key: i64| txn(vec![read(first), read(first + 1), write("w", key, 1)]);
        let mut rest = vec![read_pair(first), update(first), update(first + 1)];
        if self.rng.random_bool(0.5) {
            rest.swap(1, 2);
        }
        rest
    }
}

fn read_pair(first: i64) -> Invocation {
    txn(vec![read(first), read(first + 1)])
}

impl Generator for Pairs {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        if self.rest.is_empty() {
            if self.begun.count() > 0 && self.rng.random_bool(REVISITS) {
                let pair = self.rng.random_range(0..self.begun.count() / 2);
                return Next::Op { thread: None, op: read_pair(2 * pair) };
            }
            self.rest = self.next_pair();
        }
        let op = self.rest.pop().expect("a pair has operations");
        Next::Op { thread: None, op }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::txns::tests::{OPTIONS, history, micros};

    #[test]
    fn two_transactions_write_a_pair_and_each_key_is_read_at_the_end() {
        let of = |seed| history(write_skew(OPTIONS, &mut ChaCha8Rng::seed_from_u64(seed)));
        let history = of(1);
        let mut written: BTreeMap<i64, usize> = BTreeMap::new();
        for op in &history {
            let micros = micros(std::slice::from_ref(op));
            for (_, key, _) in micros.iter().filter(|(f, ..)| f == "w") {
                *written.entry(*key).or_default() += 1;
                let read: BTreeSet<i64> =
                    micros.iter().filter(|(f, ..)| f == "r").map(|(_, key, _)| *key).collect();
                assert_eq!(read, BTreeSet::from([key / 2 * 2, key / 2 * 2 + 1]));
            }
        }
        assert!(written.len() > 1_000 && written.values().all(|n| *n == 1), "{}", written.len());
        let last = history.iter().rposition(|op| op.value.to_string().contains("\"w\"")).unwrap();
        let after = micros(&history[last + 1..]);
        let read: BTreeSet<i64> = after.iter().map(|(_, key, _)| *key).collect();
        assert!(written.keys().all(|key| read.contains(key)));
        assert_eq!(history, of(1));
    }
}
