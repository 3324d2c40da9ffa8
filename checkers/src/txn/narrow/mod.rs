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
use super::singles::{Case, Cases};
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
    cases: Cases,
    /// Why not all could be looked at.
    doubt: Option<String>,
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
        let kinds = [("garbage-read", &garbage), ("G1a", &aborted), (anomaly.name, &found.cases)];
        let mut check = Check::new(anomaly.name, Verdict::Valid, String::new());
        check.details.insert("units".into(), found.units.into());
        check.details.insert("cases".into(), found.cases.count.into());
        let broken: Vec<_> = kinds.iter().filter(|(_, cases)| cases.count > 0).collect();
        if let Some((_, worst)) = broken.first() {
            check.verdict = Verdict::Invalid;
            check.anomalies = broken.iter().map(|(name, _)| (*name).into()).collect();
            let told = broken.iter().map(|(name, cases)| format!("{} {name}", cases.count));
            check.reason = format!("{} in {units}", told.collect::<Vec<_>>().join(", "));
            let evidence = worst.first.clone().map(|case| case.evidence(self.txns));
            check.evidence = evidence.map(|evidence| Evidence { minimal: true, ..evidence });
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
    fn unwritten(&self) -> (Cases, Cases) {
        let (mut aborted, mut garbage) = (Cases::default(), Cases::default());
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
}
