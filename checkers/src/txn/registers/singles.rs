//! Anomalies that no cycle shows: what is wrong with single reads and transactions.

use super::view::View;
use crate::txn::columns::{F, MicroOp, NONE, Outcome};
use crate::txn::deps::External;
use crate::txn::singles::{Case, Singles, Updates};

/// All of them.
pub(super) fn singles(view: &View<'_>) -> Singles {
    let mut looking = Looking { view, found: Singles::new(), passing: view.txns.passing() };
    // By key, of the transaction at hand: what it last read or wrote there.
    let mut known: Vec<(u32, Option<MicroOp>)> = vec![(NONE, None); view.txns.keys.len()];
    for row in 0..view.rows() {
        if view.txns.txns[row as usize].outcome != Outcome::Ok {
            continue;
        }
        for op in view.txns.ops(row) {
            let slot = &mut known[op.key as usize];
            let before = if slot.0 == row { slot.1 } else { None };
            if op.f == F::Read {
                looking.read(row, *op, before);
            }
            if op.f != F::Unknown {
                *slot = (row, Some(*op));
            }
        }
    }
    looking.lost_updates();
    looking.found
}

struct Looking<'a> {
    view: &'a View<'a>,
    found: Singles,
    /// See [`Txns::passing`](crate::txn::columns::Txns::passing).
    passing: Vec<bool>,
}

impl Looking<'_> {
    fn add(&mut self, name: &'static str, told: impl FnOnce(&View<'_>) -> (Vec<u32>, String)) {
        let view = self.view;
        self.found.entry(name).or_default().add(|| {
            let (txns, words) = told(view);
            Case { txns, words: vec![words] }
        });
    }

    /// A read, and what its transaction had done to the key before.
    fn read(&mut self, row: u32, op: MicroOp, before: Option<MicroOp>) {
        if let Some(before) = before
            && before.value != op.value
        {
            self.add("internal", |view| {
                let (read, earlier) = (view.txns.op_label(op), view.txns.op_label(before));
                let words =
                    format!("`{read}` disagrees with `{earlier}` earlier in the same transaction.");
                (vec![row], words)
            });
        }
        if op.value == NONE || before.is_some_and(|before| before.value == op.value) {
            return;
        }
        let version = op.value;
        let Some(writer) = self.view.writers.of(version) else {
            return self.add("garbage-read", |view| {
                (
                    vec![row],
                    format!("`{}` is of a value that nobody ever wrote.", view.txns.op_label(op)),
                )
            });
        };
        if writer == row {
            // Its own write is known if it came before.
            if !self.wrote_before(row, op) {
                self.add("future-read", |view| {
                    let read = view.txns.op_label(op);
                    (
                        vec![row],
                        format!(
                            "`{read}` is of a value that the same transaction writes only later."
                        ),
                    )
                });
            }
            return;
        }
        if self.view.txns.txns[writer as usize].outcome == Outcome::Fail {
            self.add("G1a", |view| {
                let read = view.txns.op_label(op);
                (vec![writer, row], format!("`{read}` is of a value whose transaction failed."))
            });
        }
        if self.passing[version as usize] {
            self.add("G1b", |view| {
                let read = view.txns.op_label(op);
                let words =
                    format!("`{read}` is of a value that its transaction went on to overwrite.");
                (vec![writer, row], words)
            });
        }
    }

    /// Whether the transaction wrote a version before it read it.
    fn wrote_before(&self, row: u32, read: MicroOp) -> bool {
        let ops = self.view.txns.ops(row);
        let at = |f: F| {
            ops.iter().position(|op| op.f == f && op.key == read.key && op.value == read.value)
        };
        at(F::Write) < at(F::Read)
    }

    /// Transactions that read the same version of a key and wrote the key.
    fn lost_updates(&mut self) {
        let view = self.view;
        let mut updates = Updates::new(view.txns);
        for row in (0..view.rows()).filter(|row| !view.writes(*row).is_empty()) {
            for (at, read) in view.reads(row).iter().enumerate() {
                let first = !view.reads(row)[..at].iter().any(|before| before.key == read.key);
                if !first || view.write_of(row, read.key).is_none() {
                    continue;
                }
                let read = External { txn: row, key: read.key, version: read.version };
                let Some(other) = updates.add(read) else { continue };
                self.add("lost-update", |view| {
                    let name = view.txns.key_name(read.key);
                    let value = view.txns.value(read.version);
                    let words = format!(
                        "Both transactions read {name} with {value} and wrote it: one of them did not take the other into account."
                    );
                    (vec![other, row], words)
                });
            }
        }
    }
}
