//! Anomalies that no cycle shows: what is wrong with single reads, versions and transactions.

use crate::columns::WordMap;
use crate::txn::columns::{F, MicroOp, NONE, Outcome, Txns, Writers};
use crate::txn::deps::{External, externals};
use crate::txn::orders::Orders;
use crate::txn::singles::{Case, Singles, Updates};

/// What everything is known from.
pub(super) struct Facts<'a> {
    pub txns: &'a Txns,
    pub writers: &'a Writers,
    pub orders: &'a Orders,
}

/// All of them.
pub(super) fn singles(facts: &Facts<'_>) -> Singles {
    let mut found = Singles::new();
    facts.versions(&mut found);
    facts.reads(&mut found);
    facts.lost_updates(&mut found);
    facts.within(&mut found);
    facts.own_order(&mut found);
    found
}

fn add(found: &mut Singles, name: &'static str, case: impl FnOnce() -> Case) {
    found.entry(name).or_default().add(case);
}

impl Facts<'_> {
    fn outcome(&self, txn: u32) -> Outcome {
        self.txns.txns[txn as usize].outcome
    }

    fn value(&self, version: u32) -> String {
        self.txns.value(version).to_string()
    }

    /// Who read this version, first in the history.
    fn reader(&self, key: u32, version: u32) -> Option<u32> {
        (0..self.txns.txns.len() as u32).find(|row| {
            let mut ops = self.txns.ops(*row).iter().filter(|op| op.key == key);
            ops.any(|op| self.txns.list(*op).is_some_and(|list| list.contains(&version)))
        })
    }

    /// What is wrong with lists, each looked at once: spines, and the lists that are no beginning of one.
    fn versions(&self, found: &mut Singles) {
        for key in 0..self.txns.keys.len() as u32 {
            self.elements(key, self.txns.spine(key), found);
        }
        for row in 0..self.txns.txns.len() as u32 {
            for op in self.txns.ops(row).iter().filter(|op| op.f == F::Odd) {
                let odd = self.txns.odd(op.value);
                self.elements(op.key, odd, found);
                self.incompatible(row, *op, odd, found);
            }
        }
        self.spines_apart(found);
    }

    /// Where a list that is no beginning of the spine was the longest, reads of the spine disagree with it.
    fn spines_apart(&self, found: &mut Singles) {
        let apart = |(spine, order): (&Vec<u32>, &Vec<u32>)| {
            spine.iter().zip(order).position(|(a, b)| a != b).unwrap_or(spine.len())
        };
        let common: Vec<usize> =
            self.txns.spines.iter().zip(&self.orders.by_key).map(apart).collect();
        if self.txns.spines.iter().zip(&common).all(|(spine, common)| spine.len() == *common) {
            return;
        }
        for row in 0..self.txns.txns.len() as u32 {
            for op in self.txns.ops(row).iter().filter(|op| op.f == F::List) {
                if op.value as usize > common[op.key as usize] {
                    let list = self.txns.list(*op).unwrap_or_default();
                    self.incompatible(row, *op, list, found);
                }
            }
        }
    }

    fn incompatible(&self, row: u32, op: MicroOp, odd: &[u32], found: &mut Singles) {
        let order = &self.orders.by_key[op.key as usize];
        if order.starts_with(odd) {
            return;
        }
        add(found, "incompatible-order", || {
            let name = self.txns.key_name(op.key);
            let longest = (0..self.txns.txns.len() as u32).find(|other| {
                let mut ops = self.txns.ops(*other).iter().filter(|o| o.key == op.key);
                ops.any(|op| self.txns.list(*op) == Some(order.as_slice()))
            });
            let (this, other) = (self.txns.list_label(odd), self.txns.list_label(order));
            Case {
                txns: longest.into_iter().chain([row]).collect(),
                words: vec![format!(
                    "One read of {name} returned {this}, another one {other}: neither is a beginning of the other, so they \
                     are of no one list to which elements are appended."
                )],
            }
        });
    }

    fn elements(&self, key: u32, list: &[u32], found: &mut Singles) {
        let order = &self.orders.by_key[key as usize];
        let mut failed = None;
        let mut seen = WordMap::<u32, ()>::default();
        let is_order = list == order.as_slice();
        for (place, version) in list.iter().enumerate() {
            // In the order itself, what stands at its first place stands there first.
            let first = if is_order {
                self.orders.places[*version as usize] == place as u32
            } else {
                seen.insert(*version, ()).is_none()
            };
            match self.writers.of(*version) {
                _ if !first => self.duplicate(key, *version, found),
                None => self.garbage(key, *version, found),
                Some(writer) if self.outcome(writer) == Outcome::Fail => {
                    failed = Some((*version, writer));
                }
                Some(writer) => {
                    if let Some(aborted) = failed.take() {
                        self.dirty_update(key, aborted, (*version, writer), found);
                    }
                }
            }
        }
    }

    fn duplicate(&self, key: u32, version: u32, found: &mut Singles) {
        add(found, "duplicate-elements", || {
            let (name, value) = (self.txns.key_name(key), self.value(version));
            Case {
                txns: self.reader(key, version).into_iter().collect(),
                words: vec![format!(
                    "{value} stands more than once in what was read of {name}, and was appended once."
                )],
            }
        });
    }

    fn garbage(&self, key: u32, version: u32, found: &mut Singles) {
        add(found, "garbage-read", || {
            let (name, value) = (self.txns.key_name(key), self.value(version));
            Case {
                txns: self.reader(key, version).into_iter().collect(),
                words: vec![format!("{value} was read of {name}, and nobody ever appended it.")],
            }
        });
    }

    fn dirty_update(
        &self,
        key: u32,
        (aborted, by): (u32, u32),
        (version, writer): (u32, u32),
        found: &mut Singles,
    ) {
        add(found, "dirty-update", || {
            let name = self.txns.key_name(key);
            let (before, after) = (self.value(aborted), self.value(version));
            Case {
                txns: [by, writer].into_iter().chain(self.reader(key, version)).collect(),
                words: vec![format!(
                    "The append of {before} to {name} failed, and yet the committed append of {after} stands upon it."
                )],
            }
        });
    }

    /// Reads of what had failed, and of what its own transaction went on to change.
    fn reads(&self, found: &mut Singles) {
        let passing = self.txns.passing();
        externals(self.txns, |External { txn, key, version }| {
            if version != NONE
                && passing[version as usize]
                && let Some(writer) = self.writers.of(version).filter(|writer| *writer != txn)
            {
                self.intermediate(key, version, (writer, txn), found);
            }
        });
        self.aborted(found);
    }

    fn intermediate(
        &self,
        key: u32,
        version: u32,
        (writer, reader): (u32, u32),
        found: &mut Singles,
    ) {
        add(found, "G1b", || {
            let (name, value) = (self.txns.key_name(key), self.value(version));
            Case {
                txns: vec![writer, reader],
                words: vec![format!(
                    "A read of {name} ends in {value}, and the transaction that appended it went on to append more: the \
                     reader saw a part of it."
                )],
            }
        });
    }

    fn has_failed(&self, version: u32) -> bool {
        self.writers.of(version).is_some_and(|writer| self.outcome(writer) == Outcome::Fail)
    }

    fn aborted(&self, found: &mut Singles) {
        // By key: how much of its spine is clean.
        let clean = (0..self.txns.keys.len() as u32).map(|key| {
            let spine = self.txns.spine(key);
            spine.iter().position(|v| self.has_failed(*v)).unwrap_or(spine.len())
        });
        let clean: Vec<usize> = clean.collect();
        for reader in 0..self.txns.txns.len() as u32 {
            for op in self.txns.ops(reader) {
                if op.f == F::List && op.value as usize <= clean[op.key as usize] {
                    continue;
                }
                let list = self.txns.list(*op).unwrap_or_default();
                if let Some(version) = list.iter().find(|version| self.has_failed(**version)) {
                    self.read_aborted(op.key, *version, reader, found);
                }
            }
        }
    }

    fn read_aborted(&self, key: u32, version: u32, reader: u32, found: &mut Singles) {
        add(found, "G1a", || {
            let (name, value) = (self.txns.key_name(key), self.value(version));
            Case {
                txns: self.writers.of(version).into_iter().chain([reader]).collect(),
                words: vec![format!(
                    "The append of {value} to {name} failed, so it certainly did not happen, and yet it was read."
                )],
            }
        });
    }

    /// Several transactions that committed read one version of a key and appended to it.
    fn lost_updates(&self, found: &mut Singles) {
        let mut updates = Updates::new(self.txns);
        externals(self.txns, |read| {
            let External { txn, key, version } = read;
            let writes = self.txns.ops(txn).iter().any(|op| op.key == key && op.f == F::Append);
            let Some(first) = writes.then(|| updates.add(read)).flatten() else { return };
            add(found, "lost-update", || {
                let name = self.txns.key_name(key);
                let saw = match version {
                    NONE => "empty".into(),
                    version => format!("with {} as its last element", self.value(version)),
                };
                Case {
                    txns: vec![first, txn],
                    words: vec![format!(
                        "Both read {name} {saw} and appended to it: one of them did not take the other into account."
                    )],
                }
            });
        });
    }

    /// Reads that disagree with what their own transaction did before, or know what it does later.
    fn within(&self, found: &mut Singles) {
        let mut accessed = vec![NONE; self.txns.keys.len()];
        for row in 0..self.txns.txns.len() as u32 {
            let ops = self.txns.ops(row);
            let mut again = false;
            for op in ops {
                again |= std::mem::replace(&mut accessed[op.key as usize], row) == row;
            }
            if again && self.outcome(row) == Outcome::Ok {
                self.within_one(row, ops, found);
            }
        }
    }

    fn within_one(&self, row: u32, ops: &[MicroOp], found: &mut Singles) {
        for (at, op) in ops.iter().enumerate() {
            let Some(list) = self.txns.list(*op) else { continue };
            let later = ops[at..].iter().find(|later| {
                later.f == F::Append && later.key == op.key && list.contains(&later.value)
            });
            if let Some(later) = later {
                self.future(row, *op, *later, found);
            } else if !self.agrees(&ops[..at], *op, list) {
                self.internal(row, *op, found);
            }
        }
    }

    /// Appends of one transaction to a key that stand there in another order, or of which only the later one does.
    fn own_order(&self, found: &mut Singles) {
        let mut last = vec![(NONE, NONE); self.txns.keys.len()];
        for row in
            (0..self.txns.txns.len() as u32).filter(|row| self.orders.committed[*row as usize])
        {
            for op in self.txns.ops(row).iter().filter(|op| op.f == F::Append) {
                let before = std::mem::replace(&mut last[op.key as usize], (row, op.value));
                let place = |version: u32| self.orders.places[version as usize];
                if before.0 == row && place(before.1) > place(op.value) {
                    self.reversed(row, op.key, (before.1, op.value), found);
                }
            }
        }
    }

    fn reversed(&self, row: u32, key: u32, (first, then): (u32, u32), found: &mut Singles) {
        add(found, "internal", || {
            let name = self.txns.key_name(key);
            let (first, second) = (self.value(first), self.value(then));
            Case {
                txns: [row].into_iter().chain(self.reader(key, then)).collect(),
                words: vec![format!(
                    "A transaction appended {first} to {name} and then {second}, and a read has {second} without {first} before it."
                )],
            }
        });
    }

    /// Whether a list is what the operations before lead one to expect.
    fn agrees(&self, before: &[MicroOp], op: MicroOp, list: &[u32]) -> bool {
        let mut known: Option<&[u32]> = None;
        let mut own = Vec::new();
        for earlier in before.iter().filter(|earlier| earlier.key == op.key) {
            if let Some(read) = self.txns.list(*earlier) {
                known = Some(read);
                own.clear();
            } else if earlier.f == F::Append {
                own.push(earlier.value);
            }
        }
        let Some(base) = list.strip_suffix(own.as_slice()) else { return false };
        known.is_none_or(|known| known == base)
    }

    fn future(&self, row: u32, op: MicroOp, later: MicroOp, found: &mut Singles) {
        add(found, "future-read", || {
            let (read, append) = (self.txns.op_label(op), self.txns.op_label(later));
            Case {
                txns: vec![row],
                words: vec![format!(
                    "`{read}` has an element in it that the same transaction appends only later: `{append}`."
                )],
            }
        });
    }

    fn internal(&self, row: u32, op: MicroOp, found: &mut Singles) {
        add(found, "internal", || {
            let read = self.txns.op_label(op);
            Case {
                txns: vec![row],
                words: vec![format!(
                    "`{read}` is not what the transaction's own earlier operations on the key lead to."
                )],
            }
        });
    }
}
