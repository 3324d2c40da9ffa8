//! Groups of keys that are each written once, and read together: do all readers see the writes in one order?
//!
//! A group is worked on for a short time by many clients, so that its writes are concurrent and its readers meet every node;
//! several groups are in use at a time. Groups that are done with are still read now and then, and each is in the end.
//! It is Jepsen's workload (`jepsen.tests.long-fork`), with more readers a group: it is they who see a fork.

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Context, Generator, Next};
use keelhaul_history::Value;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::begun::Begun;
use crate::txns::{read, txn, write};
use crate::{TxnOptions, Workload};

/// Keys of a group.
const GROUP: i64 = 3;
/// Reads of a group while it is in use.
const READS: usize = 12;
/// Groups in use at a time.
const GROUPS: usize = 2;
/// Share of operations that are a read of any group that was begun so far, beside the others.
const REVISITS: f64 = 0.05;

/// The long-fork workload.
#[must_use]
pub fn long_fork(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let begun = Begun::default();
    let main = Groups { rng: ChaCha8Rng::from_rng(rng), in_use: Vec::new(), begun: begun.clone() };
    let mut order = ChaCha8Rng::from_rng(rng);
    let last = begun.final_reads(move |group| read_group(group, &mut order));
    options.workload(main, last, rng)
}

/// The operations.
struct Groups {
    rng: ChaCha8Rng,
    /// By group in use: what is still to be done.
    in_use: Vec<Vec<Invocation>>,
    begun: Begun,
}

impl Groups {
    /// Begins a group: its writes stand anywhere among its reads, but last is a read.
    fn fresh(&mut self) -> Vec<Invocation> {
        let group = self.begun.begin(1);
        let writes = (0..GROUP).map(|at| txn(vec![write("w", group * GROUP + at, 1)]));
        let mut ops: Vec<Invocation> = writes.collect();
        for _ in 0..READS - 1 {
            ops.push(read_group(group, &mut self.rng));
        }
        ops.shuffle(&mut self.rng);
        ops.insert(0, read_group(group, &mut self.rng));
        ops
    }
}

/// The keys in any order: a store need not read them in that of their names.
fn read_group(group: i64, rng: &mut ChaCha8Rng) -> Invocation {
    let mut micros: Vec<Value> = (0..GROUP).map(|at| read(group * GROUP + at)).collect();
    micros.shuffle(rng);
    txn(micros)
}

impl Generator for Groups {
    fn next(&mut self, ctx: &Context<'_>) -> Next {
        if ctx.pick().is_none() {
            return Next::Pending;
        }
        if self.begun.count() > 0 && self.rng.random_bool(REVISITS) {
            let group = self.begun.any(&mut self.rng);
            return Next::Op { thread: None, op: read_group(group, &mut self.rng) };
        }
        while self.in_use.len() < GROUPS {
            let fresh = self.fresh();
            self.in_use.push(fresh);
        }
        let at = self.rng.random_range(0..GROUPS);
        let Some(op) = self.in_use[at].pop() else { return Next::Pending };
        if self.in_use[at].is_empty() {
            self.in_use.remove(at);
        }
        Next::Op { thread: None, op }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::begun::FINAL_READS;
    use crate::txns::tests::{OPTIONS, history, micros};

    fn of(seed: u64) -> Vec<keelhaul_history::Op> {
        history(long_fork(OPTIONS, &mut ChaCha8Rng::seed_from_u64(seed)))
    }

    #[test]
    fn keys_are_written_once_and_groups_read_whole_and_at_the_end() {
        let history = of(1);
        let mut written: BTreeMap<i64, usize> = BTreeMap::new();
        let mut read: BTreeMap<i64, usize> = BTreeMap::new();
        for (f, key, _) in micros(&history) {
            *if f == "w" { &mut written } else { &mut read }.entry(key).or_default() += 1;
        }
        assert!(written.values().all(|n| *n == 1) && written.len() > 300, "{}", written.len());
        assert!(written.keys().all(|key| read.contains_key(key)));
        let last = history.iter().rposition(|op| op.value.to_string().contains("\"w\"")).unwrap();
        let mut after: BTreeMap<i64, usize> = BTreeMap::new();
        for (_, key, _) in micros(&history[last + 1..]) {
            *after.entry(key).or_default() += 1;
        }
        assert!(read.keys().all(|key| after[key] >= FINAL_READS as usize), "{after:?}");
        let whole = |op: &&keelhaul_history::Op| {
            let keys = micros(std::slice::from_ref(*op));
            let group = keys[0].1 / GROUP;
            keys.len() == GROUP as usize && keys.iter().all(|(_, key, _)| key / GROUP == group)
        };
        let mut reads = history.iter().filter(|op| {
            op.kind == keelhaul_history::Kind::Invoke && op.value.to_string().contains("\"r\"")
        });
        assert!(reads.all(|op| whole(&op)));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(of(2), of(2));
    }
}
