//! Rows that transactions write, delete, and find by predicates.
//!
//! A read by a predicate returns the keys that match, and says of all others that they do not: whatever version of such a
//! key it looked at was one that the predicate does not match. So if the versions of a key are known in their order, even what was
//! not returned tells where between them the read stands (Adya 1999, chapter 4; the idea of a closed universe of keys is Elle's).
//!
//! # Events
//! `init`, a map of keys and values: what is there before everything else. A `txn` has `["insert", key, value]`,
//! `["w", key, value]`, `["delete", key]`, `["r", key, value]` and `["rp", predicate, map]`; see [`Predicate`] for these. A key
//! that is not there, be it not yet or no longer, has the value null. Behind the value of an operation the number of its version may
//! stand, as in `rw-register`.
//!
//! # What is known
//! 1. [`singles`]: what is wrong with single reads, and with matches that nothing explains;
//! 2. [`versions`]: the order of the versions of a key: one after the initial; or each written by who had read the one before; or numbered;
//! 3. [`deps`]: the graph of dependencies, on items and by predicates, and its cycles.
//!
//! What was returned was read, and makes item dependencies; what was not returned makes dependencies by predicate. Where several
//! versions of a key fit and others that do not lie between them, it is only known that the read follows the first and precedes
//! what follows the last. So what is found is proved; but if there was such a case, nothing found proves nothing, and the verdict is unknown.

mod deps;
#[cfg(test)]
mod oracle_tests;
mod predicate;
mod singles;
#[cfg(test)]
mod tests;
mod versions;

use keelhaul_history::RawOp;

use self::deps::Facts;
pub(super) use self::predicate::Matched;
use self::versions::Versions;
use super::answer::Findings;
use super::columns::{Txns, Writers};
use super::read::{Reading, Shape};
use super::{cycles, list_append};
use crate::columns::ColumnError;
use crate::graph::acyclic;
use crate::models::Model;
use crate::subject::{Asked, Judged, Subject};
use crate::workload::Workload;

pub(super) const WORKLOAD: Workload = Workload {
    name: "closed-predicate",
    what: "transactions that write and delete rows, and find them by predicates: which isolation do they have",
    models: super::MODELS,
    options: &[],
    subject: |_| Ok(Box::new(Rows(Reading::new(Shape::Rows)))),
};

struct Rows(Reading);

impl Subject for Rows {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.0.observe(op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let txns = self.0.finish();
        find(&txns, asked).judged(&txns, super::MODELS, asked)
    }
}

/// Anomalies that show most, the first first.
const FIRST: [&str; 9] = [
    "garbage-read",
    "predicate-read-miss",
    "wrong-match",
    "G1a",
    "future-read",
    "internal",
    "G0",
    "G1b",
    "G1c",
];

/// Why nothing can be said.
const NOTHING: &str = "no transaction depends on another one";

/// Everything that can be found in the history.
fn find(txns: &Txns, asked: &Asked<'_>) -> Findings {
    let mut decided = list_append::DECIDED.to_vec();
    decided.push(Model::ReadUncommitted);
    let mut findings = Findings { decided, ..Findings::default() };
    findings.details.insert("transactions".into(), txns.txns.len().into());
    let writers = Writers::new(txns);
    findings.doubt = writers.doubt(txns, "written", "values");
    if findings.doubt.is_some() {
        return findings;
    }
    let versions = Versions::new(txns, &writers);
    let facts = Facts { txns, writers: &writers, versions: &versions };
    findings.add_singles(txns, singles::singles(&facts));
    let made = facts.graph(false);
    findings.details.insert("dependencies".into(), made.edges.into());
    if made.edges == 0 {
        findings.vacuous = Some(NOTHING.into());
        return findings;
    }
    if let Some(key) = versions.unordered {
        let why = format!("in which order {} was written is not known", txns.key_name(key));
        findings.leave_open(&["G0"], &why);
    } else if made.ambiguous > 0 {
        let why = "of keys that predicates did not match several versions fit";
        findings.leave_open(&["G1c"], why);
    }
    if !acyclic(&made.graph) {
        let graph = facts.graph(true).graph;
        let open = findings.open.take();
        cycles::add_cycles(&graph, asked.budget, &mut findings, |steps| facts.cycle(steps));
        findings.open = findings.open.take().or(open);
    }
    findings.cases.sort_by_key(|case| cycles::rank(&FIRST, case.name));
    findings
}
