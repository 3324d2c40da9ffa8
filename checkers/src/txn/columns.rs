//! Transactions as flat rows.

use keelhaul_history::Value;

use super::predicates::Matched;
use crate::columns::WordMap;
use crate::in_flight::Span;

/// No transaction, no version, no position.
pub(crate) const NONE: u32 = u32::MAX;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It committed.
    Ok,
    /// It certainly did not.
    Fail,
    /// Nobody knows; what never completed is this too.
    Info,
}

/// A transaction. Rows stand in order of invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Txn {
    /// When and by whom; its completion is unknown unless it is known to have ended.
    pub span: Span,
    /// Number of its process among those of the history, in order of first invocation: processes are sessions.
    pub session: u32,
    pub outcome: Outcome,
    /// Its operations, see [`Txns::ops`].
    pub ops: (u32, u32),
}

/// What an operation within a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum F {
    /// `["append", key, value]`: `value` is the version.
    Append,
    /// `["w", key, value]`: `value` is the version.
    Write,
    /// `["r", key, value]` of a register: `value` is the version, or [`NONE`] of the initial one.
    Read,
    /// `["r", key, list]`: `value` is how many elements of the key's [spine](Txns::spine) it returned.
    List,
    /// The same, of a list that is no beginning of the spine: `value` is its number, see [`Txns::odd`].
    Odd,
    /// A read of all that matches a predicate: `value` is its number among [`Txns::matched`], and there is no key.
    Match,
    /// A read of which nobody knows what it returned.
    Unknown,
}

impl F {
    /// Whether it makes a version.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Append | Self::Write)
    }
}

/// An operation within a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MicroOp {
    pub f: F,
    /// Number of its key.
    pub key: u32,
    /// See [`F`].
    pub value: u32,
}

/// A history of transactions.
///
/// A *version* is a pair of key and value, numbered in order of first mention, whether anybody wrote it or not.
#[derive(Debug, Default)]
pub(crate) struct Txns {
    pub txns: Vec<Txn>,
    pub(super) ops: Vec<MicroOp>,
    /// Names of keys.
    pub keys: Vec<Value>,
    /// By session: its process.
    pub processes: Vec<u32>,
    /// By version: its key.
    pub version_keys: Vec<u32>,
    /// By version: its value, if that is a number; otherwise it is in `others`.
    pub(super) ints: Vec<i64>,
    pub(super) others: WordMap<u32, Value>,
    pub spines: Vec<Vec<u32>>,
    pub(super) odd: Vec<Vec<u32>>,
    /// What the store says of time.
    pub stamps: Stamps,
    /// What was read by predicates.
    pub matched: Vec<Matched>,
    /// Transactions that made what is there before everything else; rising.
    pub initial: Vec<u32>,
}

/// The numbers by which a store orders versions or transactions, as far as the history has them.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    /// By version: the number that the store gave it.
    pub versions: WordMap<u32, i64>,
    /// Versions that were given another number, too, and that one.
    pub others: Vec<(u32, i64)>,
    /// By transaction: the timestamps of its snapshot and of its commit.
    pub txns: WordMap<u32, (i64, i64)>,
}

impl Stamps {
    /// Notes the number of a version.
    pub fn number(&mut self, version: u32, number: i64) {
        if *self.versions.entry(version).or_insert(number) != number {
            self.others.push((version, number));
        }
    }
}

impl Txns {
    /// Whether a transaction made what is there before everything else.
    pub fn is_initial(&self, txn: u32) -> bool {
        self.initial.binary_search(&txn).is_ok()
    }

    /// What orders a version that a transaction wrote among those of its key: its number, or when the transaction committed.
    pub fn number(&self, txn: u32, version: u32) -> Option<i64> {
        if self.stamps.versions.is_empty() {
            return Some(self.stamps.txns.get(&txn)?.1);
        }
        self.stamps.versions.get(&version).copied()
    }

    /// The operations of a transaction, in its order. Of one that failed or whose outcome is unknown, what it asked for.
    pub fn ops(&self, txn: u32) -> &[MicroOp] {
        let (from, to) = self.txns[txn as usize].ops;
        &self.ops[from as usize..to as usize]
    }

    /// The longest list of a key that was read, of those that continue each other: versions.
    pub fn spine(&self, key: u32) -> &[u32] {
        &self.spines[key as usize]
    }

    /// A list that is no beginning of its key's spine: versions.
    pub fn odd(&self, list: u32) -> &[u32] {
        &self.odd[list as usize]
    }

    /// The list that an operation read, if it read one.
    pub fn list(&self, op: MicroOp) -> Option<&[u32]> {
        match op.f {
            F::List => Some(&self.spine(op.key)[..op.value as usize]),
            F::Odd => Some(self.odd(op.value)),
            F::Append | F::Write | F::Read | F::Match | F::Unknown => None,
        }
    }

    /// How many versions there are.
    pub fn versions(&self) -> u32 {
        self.version_keys.len() as u32
    }

    /// By version: whether its transaction writes the key again after it.
    pub fn passing(&self) -> Vec<bool> {
        let mut passing = vec![false; self.versions() as usize];
        let mut last = vec![(NONE, NONE); self.keys.len()];
        for row in 0..self.txns.len() as u32 {
            for op in self.ops(row).iter().filter(|op| op.f.writes()) {
                let before = std::mem::replace(&mut last[op.key as usize], (row, op.value));
                if before.0 == row {
                    passing[before.1 as usize] = true;
                }
            }
        }
        passing
    }

    /// The value of a version; null for the initial one.
    pub fn value(&self, version: u32) -> Value {
        if version == NONE {
            return Value::Null;
        }
        let int = || Value::Int(self.ints[version as usize]);
        self.others.get(&version).cloned().unwrap_or_else(int)
    }

    /// Name of a key, as people read it: a text without its quotes.
    pub fn key_name(&self, key: u32) -> String {
        let name = &self.keys[key as usize];
        name.as_str().map_or_else(|| name.to_string(), Into::into)
    }

    /// A transaction in one line, e.g. `append x 3; read y -> [1, 2]`.
    pub fn label(&self, txn: u32) -> String {
        let ops = self.ops(txn).iter().map(|op| self.op_label(*op));
        ops.collect::<Vec<_>>().join("; ")
    }

    /// An operation, e.g. `append x 3`.
    pub fn op_label(&self, op: MicroOp) -> String {
        if op.f == F::Match {
            return self.matched[op.value as usize].label(self);
        }
        let key = self.key_name(op.key);
        match op.f {
            F::Match => String::new(),
            F::Append => format!("append {key} {}", self.value(op.value)),
            F::Write if self.value(op.value) == Value::Null => format!("delete {key}"),
            F::Write => format!("write {key} {}", self.value(op.value)),
            F::Read => format!("read {key} -> {}", self.value(op.value)),
            F::List | F::Odd => {
                let list = self.list(op).unwrap_or_default();
                format!("read {key} -> {}", self.list_label(list))
            }
            F::Unknown => format!("read {key}"),
        }
    }

    /// A list, the middle of a long one left out.
    pub fn list_label(&self, list: &[u32]) -> String {
        /// Elements that are shown at either end of a long list.
        const ENDS: usize = 4;

        let shown = |list: &[u32]| {
            let values = list.iter().map(|version| self.value(*version).to_string());
            values.collect::<Vec<_>>().join(", ")
        };
        if list.len() <= 2 * ENDS + 1 {
            return format!("[{}]", shown(list));
        }
        format!("[{}, …, {}]", shown(&list[..ENDS]), shown(&list[list.len() - ENDS..]))
    }
}

/// Who wrote each version.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    by_version: Vec<u32>,
    /// Versions that were written again: version, the later writer.
    pub again: Vec<(u32, u32)>,
}

impl Writers {
    /// One pass over all operations.
    pub fn new(txns: &Txns) -> Self {
        let mut writers =
            Self { by_version: vec![NONE; txns.versions() as usize], again: Vec::new() };
        for (row, txn) in txns.txns.iter().enumerate() {
            let (from, to) = txn.ops;
            for op in &txns.ops[from as usize..to as usize] {
                if op.f.writes() {
                    let writer = &mut writers.by_version[op.value as usize];
                    if *writer == NONE {
                        *writer = row as u32;
                    } else {
                        writers.again.push((op.value, row as u32));
                    }
                }
            }
        }
        writers
    }

    /// Why versions cannot be told apart, if they cannot; it says `written` and `values` of what is written.
    pub fn doubt(&self, txns: &Txns, written: &str, values: &str) -> Option<String> {
        let (version, _) = *self.again.first()?;
        let key = txns.key_name(txns.version_keys[version as usize]);
        let value = txns.value(version);
        Some(format!("{value} was {written} to {key} twice: {values} must differ to be told apart"))
    }

    /// By transaction: whether it certainly took effect. What was read had happened, whatever became of its client.
    pub fn took_effect(&self, txns: &Txns) -> Vec<bool> {
        let mut took: Vec<bool> = txns.txns.iter().map(|txn| txn.outcome == Outcome::Ok).collect();
        if took.iter().all(|ok| *ok) {
            return took;
        }
        let mut saw = |version: u32| {
            if let Some(writer) = self.of(version) {
                let writer = writer as usize;
                took[writer] |= txns.txns[writer].outcome == Outcome::Info;
            }
        };
        let ended_well = |row: &u32| txns.txns[*row as usize].outcome == Outcome::Ok;
        let rows = (0..txns.txns.len() as u32).filter(ended_well);
        for op in rows.flat_map(|row| txns.ops(row)) {
            match op.f {
                F::Read => saw(op.value),
                F::Match => {
                    txns.matched[op.value as usize].found.iter().for_each(|found| saw(found.1));
                }
                _ => {}
            }
        }
        took
    }

    /// The first transaction that wrote, or would have written, a version; nobody if it is garbage.
    pub fn of(&self, version: u32) -> Option<u32> {
        let writer = self.by_version.get(version as usize).copied()?;
        (writer != NONE).then_some(writer)
    }
}
