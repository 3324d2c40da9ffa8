//! A bank: money goes from account to account, and all balances are read at once.
//!
//! Whatever part of a transfer a read sees, without the other part the total is wrong; so a read needs a snapshot, and writers must
//! not lose each other's updates. It is Jepsen's workload (`jepsen.tests.bank`): eight accounts, a total of a hundred, transfers of up to
//! five, as many reads as transfers.
//!
//! The bank is opened first, in one transaction, and nothing else happens until that is acknowledged. It is tried again where the
//! outcome is not known: an opening that takes effect late sets all balances at once, and so changes no total.

use keelhaul_engine::Invocation;
use keelhaul_engine::generator::{Combine, Spacing, from_fn, ops, phases, repeat};
use keelhaul_history::{F, Kind, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{TxnOptions, Workload};

/// Accounts, named from 0.
const ACCOUNTS: i64 = 8;
/// What all balances come to.
const TOTAL: i64 = 100;
/// What a transfer moves at most.
const AMOUNT_MAX: i64 = 5;
/// Time between two attempts to open the bank.
const OPEN_AGAIN_NS: u64 = 100_000_000;
/// Reads at the end; several, since one may meet a node that answers with an error.
const FINAL_READS: usize = 20;

/// The bank workload.
#[must_use]
pub fn bank(options: TxnOptions, rng: &mut ChaCha8Rng) -> Workload {
    let opened = |op: &keelhaul_history::Op| op.f.as_str() == "open" && op.kind == Kind::Ok;
    let opening = repeat(open()).delay(OPEN_AGAIN_NS).until(opened);
    let mut choice = ChaCha8Rng::from_rng(rng);
    let work = from_fn(move |_| {
        Some(if choice.random_bool(0.5) { read() } else { transfer(&mut choice) })
    })
    .stagger(options.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng));
    let main = phases([opening.boxed(), work.boxed()]).clients().time_limit(options.time_limit_ns);
    let last = ops((0..FINAL_READS).map(|_| read()))
        .stagger(options.rate, Spacing::Poisson, ChaCha8Rng::from_rng(rng))
        .clients();
    Workload { main: main.boxed(), last: last.boxed() }
}

/// The total, in parts as equal as may be.
fn open() -> Invocation {
    let balance = |account| TOTAL / ACCOUNTS + i64::from(account < TOTAL % ACCOUNTS);
    let entry = |account: i64| (account.to_string().into(), Value::Int(balance(account)));
    let balances = Value::Map((0..ACCOUNTS).map(entry).collect());
    Invocation { f: F::from("open"), key: None, value: balances }
}

fn read() -> Invocation {
    let accounts = Value::List((0..ACCOUNTS).map(Value::Int).collect());
    Invocation { f: F::Read, key: None, value: accounts }
}

fn transfer(rng: &mut ChaCha8Rng) -> Invocation {
    let from = rng.random_range(0..ACCOUNTS);
    let to = (from + rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
    let amount = rng.random_range(1..=AMOUNT_MAX);
    let value = Value::map([("from", from.into()), ("to", to.into()), ("amount", amount.into())]);
    Invocation { f: F::from("transfer"), key: None, value }
}

#[cfg(test)]
mod tests {
    use keelhaul_engine::Outcome;
    use keelhaul_engine::generator::simulate;
    use keelhaul_engine::interpreter::Dispatch;
    use keelhaul_history::Op;

    use super::*;

    /// Of a store that does not acknowledge the first openings.
    fn history(seed: u64) -> Vec<Op> {
        let options = TxnOptions { rate: 1_000.0, time_limit_ns: 3_000_000_000 };
        let Workload { main, last } = bank(options, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut attempts = 0;
        let outcome = move |Dispatch { op, .. }: &Dispatch| {
            attempts += u32::from(op.f.as_str() == "open");
            if attempts < 3 { Outcome::Info("?".into()) } else { Outcome::Ok(op.value.clone()) }
        };
        simulate(phases([main, last]).boxed(), 10, |_| 2_000_000, outcome)
    }

    #[test]
    fn nothing_happens_before_the_bank_is_open() {
        let history = history(1);
        let opened = history.iter().position(|op| op.kind == Kind::Ok).unwrap();
        assert!(history[..=opened].iter().all(|op| op.f.as_str() == "open"), "{history:?}");
        assert_eq!(history[opened + 1..].iter().filter(|op| op.f.as_str() == "open").count(), 0);
        let Value::Map(balances) = &history[0].value else { panic!("{:?}", history[0]) };
        assert_eq!(balances.iter().map(|(_, n)| n.as_int().unwrap()).sum::<i64>(), TOTAL);
    }

    #[test]
    fn transfers_are_between_two_accounts_and_reads_come_last() {
        let history = history(2);
        let count = |f: &str| history.iter().filter(|op| op.f.as_str() == f).count();
        assert!(count("transfer") > 1_000 && count("read") > 1_000);
        for op in history.iter().filter(|op| op.f.as_str() == "transfer") {
            let part = |name| op.value.get(name).unwrap().as_int().unwrap();
            assert!(part("from") != part("to") && (1..=AMOUNT_MAX).contains(&part("amount")));
        }
        assert!(history[history.len() - 2 * FINAL_READS..].iter().all(|op| op.f == F::Read));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(history(3), history(3));
    }
}
