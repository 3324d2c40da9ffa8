//! The histories that the checkers' cost is told by, each with a name.

use crate::histories::{HistoryOptions, Words};
use crate::logs::LogOptions;
use crate::objects::ObjectOptions;
use crate::txns::{Isolation, TxnOptions};

/// What is generated.
#[derive(Clone, Debug)]
pub enum Input {
    /// Registers, or keys.
    Registers(HistoryOptions),
    /// Any other object.
    Object(ObjectOptions),
    /// A partitioned log.
    Log(LogOptions),
    /// Transactions on lists.
    Txns(TxnOptions),
}

/// A history that can be made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Also the name of its file.
    pub name: String,
    /// What it is judged as.
    pub workload: &'static str,
    /// How it is made.
    pub input: Input,
    /// Whether it is read as a log of Porcupine's.
    pub log: bool,
}

fn registers(name: &str, workload: &'static str, options: HistoryOptions) -> Made {
    Made { name: name.into(), workload, input: Input::Registers(options), log: false }
}

fn object(name: &str, workload: &'static str, mut options: ObjectOptions) -> Made {
    options.workload = workload.into();
    Made { name: name.into(), workload, input: Input::Object(options), log: false }
}

fn kv(ops: u64, clients: u32, keys: u32) -> HistoryOptions {
    let words = Words::Kv;
    HistoryOptions { words, ops, clients, keys, ..HistoryOptions::default() }
}

/// One register of few values, a third each of reads, writes and cas.
fn cas(ops: u64, clients: u32, values: u32) -> HistoryOptions {
    HistoryOptions {
        ops,
        clients,
        keys: 1,
        values: Some(values),
        reads_percent: 34,
        cas_percent: 33,
        ..HistoryOptions::default()
    }
}

/// The objects whose cost is shown by size.
const GROWING: [(&str, &str); 4] = [
    ("fifo-queue", "fifo-queue"),
    ("stack", "stack"),
    ("priority-queue", "priority-queue"),
    ("set", "set"),
];

/// What the table of speed is about.
#[must_use]
pub fn speed_inputs() -> Vec<Made> {
    let crashing = HistoryOptions { crashed_per_mille: 50, ..cas(1_000, 30, 5) };
    let mut inputs = vec![
        registers("kv 1M, 8 clients, 10 keys", "kv", kv(1_000_000, 8, 10)),
        registers("kv 1M, 8 clients, 10 keys", "kv", kv(1_000_000, 8, 10)),
        registers("kv 10k, 30 clients, one key", "kv", kv(10_000, 30, 1)),
        registers(
            "kv with appends 10k, 30 clients, 10 keys",
            "kv",
            HistoryOptions { cas_percent: 30, ..kv(10_000, 30, 10) },
        ),
        registers("cas-register 2k, 20 clients", "cas-register", cas(2_000, 20, 5)),
        registers(
            "cas-register 2k, 20 clients, cas that expect anything",
            "cas-register",
            HistoryOptions { blind_cas: true, ..cas(2_000, 20, 5) },
        ),
        registers("cas-register 1k, 30 clients, 5 % crashed", "cas-register", crashing.clone()),
        registers(
            "cas-register 1k, 30 clients, 5 % crashed, a wrong read",
            "cas-register",
            HistoryOptions { corrupt: true, ..crashing },
        ),
        object("queue 1M", "queue", ObjectOptions::default()),
        object(
            "stack 1M, 90 % pushes",
            "stack",
            ObjectOptions { puts_percent: 90, ..ObjectOptions::default() },
        ),
        object(
            "fifo-queue 1M, a wrong result",
            "fifo-queue",
            ObjectOptions { corrupt: true, puts_percent: 60, ..ObjectOptions::default() },
        ),
    ];
    inputs[1].log = true;
    for (name, skips_per_mille) in [("kafka 1M messages", 0), ("kafka 1M messages, skipping", 1)] {
        let input = Input::Log(LogOptions { skips_per_mille, ..LogOptions::default() });
        inputs.push(Made { name: name.into(), workload: "kafka", input, log: false });
    }
    inputs.extend(txn_inputs());
    for workload in ["queue", "fifo-queue", "priority-queue"] {
        inputs.push(object(
            &format!("{workload} 50k, 50 values"),
            workload,
            ObjectOptions { ops: 50_000, values: Some(50), ..ObjectOptions::default() },
        ));
    }
    for (label, ops) in [("100k", 100_000), ("1M", 1_000_000), ("10M", 10_000_000)] {
        let register = HistoryOptions { ops, ..HistoryOptions::default() };
        inputs.push(registers(&format!("register {label}, 100 keys"), "register", register));
        inputs.push(registers(&format!("kv {label}, 100 keys"), "kv", kv(ops, 8, 100)));
        // Ten million elements do not fit into the line that a read of all of them takes.
        for (name, workload) in
            GROWING.into_iter().filter(|(name, _)| *name != "set" || ops < 10_000_000)
        {
            let options = ObjectOptions { ops, ..ObjectOptions::default() };
            inputs.push(object(&format!("{name} {label}, unique values"), workload, options));
        }
    }
    inputs
}

/// Transactions: a database that keeps its promise, one that keeps a weaker one, and one without any.
fn txn_inputs() -> impl Iterator<Item = Made> {
    [
        ("list-append 1M, serial", 1_000_000, Isolation::Serial),
        ("list-append 100k, serial", 100_000, Isolation::Serial),
        ("list-append 10M, serial", 10_000_000, Isolation::Serial),
        ("list-append 100k, snapshot isolation", 100_000, Isolation::Snapshot),
        ("list-append 10k, no isolation", 10_000, Isolation::Nothing),
        ("list-append 100k, no isolation", 100_000, Isolation::Nothing),
    ]
    .into_iter()
    .map(|(name, txns, isolation)| {
        let input = Input::Txns(TxnOptions { txns, isolation, ..TxnOptions::default() });
        Made { name: name.into(), workload: "list-append", input, log: false }
    })
}

/// The hardest histories, for limits of time and memory.
#[must_use]
pub fn budget_inputs() -> Vec<Made> {
    let hard = HistoryOptions { crashed_per_mille: 100, blind_cas: true, ..cas(20_000, 40, 3) };
    vec![
        registers("cas-register 20k, 40 clients, 3 values, 10 % crashed", "cas-register", hard),
        object(
            "queue 50k, 50 values, 2 % crashed",
            "queue",
            ObjectOptions {
                ops: 50_000,
                values: Some(50),
                crashed_per_mille: 20,
                ..ObjectOptions::default()
            },
        ),
        object(
            "stack 50k, 50 values",
            "stack",
            ObjectOptions { ops: 50_000, values: Some(50), ..ObjectOptions::default() },
        ),
        registers(
            "kv with appends 20k, 60 clients, one key, 5 % crashed",
            "kv",
            HistoryOptions { cas_percent: 40, crashed_per_mille: 50, ..kv(20_000, 60, 1) },
        ),
        object(
            "multi-register 20k, 40 clients, 3 values, 5 % crashed",
            "multi-register",
            ObjectOptions {
                ops: 20_000,
                clients: 40,
                values: Some(3),
                crashed_per_mille: 50,
                ..ObjectOptions::default()
            },
        ),
        object("set 1M with reads", "set", ObjectOptions { ..ObjectOptions::default() }),
        registers(
            "register 10M, 100 keys",
            "register",
            HistoryOptions { ops: 10_000_000, ..HistoryOptions::default() },
        ),
    ]
}
