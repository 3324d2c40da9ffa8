//! Workloads of registers that are made to bring out one anomaly, so that it is found without knowing the order of versions.
//!
//! * [`lost_update`]: transactions read a key and write it. Two that read the same version and both committed: whichever came
//!   second, it did not see the first, and overwrote it (Berenson et al., *A critique of ANSI SQL isolation levels*, 1995, P4).
//! * [`write_skew`]: keys are written once, by transactions that read other such keys. Two that each missed the other's write:
//!   whichever came second should have seen it (Berenson et al. 1995, A5B).
//!
//! Both take one pass. Before them reads of what nobody wrote, or what had failed, are told (garbage read, G1a).
//!
//! # Limits
//! Only the one anomaly is looked for, among transactions that are known to have committed: `rw-register` looks for all.

mod lost_update;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
mod write_skew;

use keelhaul_history::RawOp;

use super::columns::{NONE, Outcome, Txns, Writers};
use super::deps::externals;
use super::read::{Reading, Shape};
use crate::columns::ColumnError;
use crate::judge::guard;
use crate::subject::{Asked, Judged, Subject};
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use crate::workload::Workload;

pub(super) const LOST_UPDATE: Workload = Workload {
    name: "lost-update",
    what: "transactions that read a register and write it: does each write follow what was read",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Narrow::new(&lost_update::ANOMALY))),
};

pub(super) const WRITE_SKEW: Workload = Workload {
    name: "write-skew",
    what: "transactions that read registers and write one of them, each register once: do no two miss each other's write",
    models: &[],
    options: &[],
    subject: |_| Ok(Box::new(Narrow::new(&write_skew::ANOMALY))),
};

/// What is looked for.
struct Anomaly {
    /// Of the workload, its check, and the anomaly.
    name: &'static str,
    find: fn(&Facts<'_>) -> Found,
    /// What was looked at, in the singular, and what holds of each.
    unit: &'static str,
    promise: &'static str,
    /// Why it may be that nothing was looked at.
    too_little: &'static str,
}

/// What everything is known from.
struct Facts<'a> {
    txns: &'a Txns,
    writers: &'a Writers,
}

/// What was found.
#[derive(Default)]
struct Found {
    /// How many units could have shown the anomaly.
    units: usize,
    cases: usize,
    first: Option<Case>,
    /// Why not all could be looked at.
    doubt: Option<String>,
}

/// A case, told by the transactions that have a part in it.
struct Case {
    txns: Vec<u32>,
    words: Vec<String>,
}

impl Found {
    fn add(&mut self, case: impl FnOnce() -> Case) {
        self.cases += 1;
        self.first.get_or_insert_with(case);
    }
}

/// A history that is judged by one anomaly.
struct Narrow {
    anomaly: &'static Anomaly,
    reading: Reading,
}

impl Narrow {
    fn new(anomaly: &'static Anomaly) -> Self {
        Self { anomaly, reading: Reading::new(Shape::Registers) }
    }
}

impl Subject for Narrow {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.reading.observe(op)
    }

    fn finish(self: Box<Self>, _asked: &Asked<'_>) -> Judged {
        let Self { anomaly, reading } = *self;
        let txns = reading.finish();
        let check = guard(anomaly.name, || {
            let writers = Writers::new(&txns);
            Facts { txns: &txns, writers: &writers }.check(anomaly)
        });
        let operations = txns.txns.len();
        Judged { keys: txns.keys.len(), operations, checks: vec![check], standing: Vec::new() }
    }
}

impl Facts<'_> {
    fn check(&self, anomaly: &Anomaly) -> Check {
        let found = (anomaly.find)(self);
        let (aborted, garbage) = self.unwritten();
        let units = count(found.units, anomaly.unit);
        let kinds = [("garbage-read", &garbage), ("G1a", &aborted), (anomaly.name, &found)];
        let mut check = Check::new(anomaly.name, Verdict::Valid, String::new());
        for (name, found) in [("units", found.units), ("cases", found.cases)] {
            check.details.insert(name.into(), found.into());
        }
        let broken: Vec<_> = kinds.iter().filter(|(_, found)| found.cases > 0).collect();
        if let Some((_, worst)) = broken.first() {
            check.verdict = Verdict::Invalid;
            check.anomalies = broken.iter().map(|(name, _)| (*name).into()).collect();
            let told = broken.iter().map(|(name, found)| format!("{} {name}", found.cases));
            check.reason = format!("{} in {units}", told.collect::<Vec<_>>().join(", "));
            check.evidence = worst.first.as_ref().map(|case| self.evidence(case));
        } else if let Some(doubt) = found.doubt {
            (check.verdict, check.reason) = (Verdict::Unknown, doubt);
        } else if found.units == 0 {
            (check.verdict, check.reason) = (Verdict::Vacuous, anomaly.too_little.into());
        } else {
            check.reason = format!("{} {units}", anomaly.promise);
        }
        check
    }

    /// Reads of what a failed transaction wrote, and of what nobody did.
    fn unwritten(&self) -> (Found, Found) {
        let (mut aborted, mut garbage) = (Found::default(), Found::default());
        externals(self.txns, |read| {
            if read.version == NONE {
                return;
            }
            let (key, value) = (self.txns.key_name(read.key), self.txns.value(read.version));
            match self.writers.of(read.version) {
                None => garbage.add(|| Case {
                    txns: vec![read.txn],
                    words: vec![format!("{value} was read of {key}, and nobody ever wrote it.")],
                }),
                Some(writer) if self.outcome(writer) == Outcome::Fail => aborted.add(|| Case {
                    txns: vec![writer, read.txn],
                    words: vec![format!(
                        "The write of {value} to {key} failed, so it certainly did not happen, and yet it was read."
                    )],
                }),
                Some(_) => {}
            }
        });
        (aborted, garbage)
    }

    fn outcome(&self, txn: u32) -> Outcome {
        self.txns.txns[txn as usize].outcome
    }

    /// Who did a transaction, and what it was.
    fn told(&self, txn: u32) -> String {
        let span = &self.txns.txns[txn as usize].span;
        format!("process {}'s `{}` (event {})", span.process, self.txns.label(txn), span.call)
    }

    /// Why versions cannot be told apart, if they cannot.
    fn written_again(&self) -> Option<String> {
        let (version, _) = self.writers.again.first()?;
        let key = self.txns.key_name(self.txns.version_keys[*version as usize]);
        Some(format!(
            "{} was written to {key} twice: values must differ to be told apart",
            self.txns.value(*version)
        ))
    }

    fn evidence(&self, case: &Case) -> Evidence {
        let shown = |row: &u32| {
            let failed = if self.outcome(*row) == Outcome::Fail { " (failed)" } else { "" };
            let label = format!("{}{failed}", self.txns.label(*row));
            self.txns.txns[*row as usize].span.shown(label)
        };
        let mut ops: Vec<_> = case.txns.iter().map(shown).collect();
        ops.sort_by_key(|op| op.index);
        Evidence {
            key: None,
            ops,
            longest_order: Vec::new(),
            stuck: Vec::new(),
            minimal: true,
            edges: Vec::new(),
            explanation: case.words.clone(),
        }
    }
}
