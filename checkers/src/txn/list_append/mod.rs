//! Lists to which transactions append: the order of versions is known.
//!
//! A read of `[1, 2, 3]` says that 1, 2 and 3 were appended in this order, so the longest list that was read of a key is the
//! order of its versions, and every dependency between transactions follows (Kingsbury & Alvaro 2020, section 5). Appends
//! that committed and that nobody saw follow all that somebody saw.
//!
//! 1. [`single`]: what is wrong with single reads, versions and transactions;
//! 2. [`deps`](super::deps): the graph of dependencies and real time; no cycle in it proves strict serializability and all below;
//! 3. [`cycles`](super::cycles): otherwise a shortest cycle of each class.
//!
//! # Limits
//! An element must not be appended twice to a key. Where reads contradict each other (`incompatible-order`) the longest one is
//! taken for the order. There are no predicates, so item anomalies are all there are: repeatable read is serializability.

#[cfg(test)]
mod axioms;
#[cfg(test)]
mod boundary_tests;
#[cfg(test)]
mod oracle_tests;
mod single;
#[cfg(test)]
mod tests;

use keelhaul_history::RawOp;

use self::single::{Facts, singles};
use super::answer::{Case, Findings, refutes};
use super::columns::{Txns, Writers};
use super::cycles;
use super::deps::Dependencies;
use super::orders::Orders;
use super::read::{Reading, Shape};
use super::tell;
use crate::columns::ColumnError;
use crate::graph::acyclic;
use crate::models::Model;
use crate::subject::{Asked, Judged, OptionError, Settings, Subject};
use crate::workload::Workload;

/// Models of which the absence of cycles and other anomalies is the definition.
pub(super) const DECIDED: [Model; 14] = [
    Model::StrictSerializable,
    Model::StrongSessionSerializable,
    Model::Serializable,
    Model::StrongSnapshotIsolation,
    Model::StrongSessionSnapshotIsolation,
    Model::RepeatableRead,
    Model::SnapshotIsolation,
    Model::ParallelSnapshotIsolation,
    Model::ConsistentView,
    Model::StrongReadCommitted,
    Model::StrongSessionReadCommitted,
    Model::ReadCommitted,
    Model::StrongReadUncommitted,
    Model::StrongSessionReadUncommitted,
];

pub(super) const WORKLOAD: Workload = Workload {
    name: "list-append",
    what: "transactions that append to lists and read them: which isolation do they have",
    models: super::MODELS,
    options: &[],
    subject,
};

fn subject(_settings: &Settings) -> Result<Box<dyn Subject>, OptionError> {
    Ok(Box::new(Lists(Reading::new(Shape::Lists))))
}

struct Lists(Reading);

impl Subject for Lists {
    fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        self.0.observe(op)
    }

    fn finish(self: Box<Self>, asked: &Asked<'_>) -> Judged {
        let txns = self.0.finish();
        let findings = find(&txns, asked);
        findings.judged(&txns, super::MODELS, asked)
    }
}

/// Everything that can be found in the history.
pub(super) fn find(txns: &Txns, asked: &Asked<'_>) -> Findings {
    let mut decided = DECIDED.to_vec();
    decided.extend([Model::ReadUncommitted, Model::CursorStability]);
    let mut findings = Findings { decided, ..Findings::default() };
    let writers = Writers::new(txns);
    findings.doubt = writers.doubt(txns, "appended", "elements");
    if findings.doubt.is_some() {
        return findings;
    }
    let orders = Orders::of_lists(txns, &writers);
    let facts = Facts { txns, writers: &writers, orders: &orders };
    let dependencies = Dependencies { txns, writers: &writers, orders: &orders };
    let (found, looked) = rayon::join(|| singles(&facts), || Looked::at(&dependencies));
    findings.add_singles(txns, found);
    find_cycles(&dependencies, &looked, asked, &mut findings);
    findings.cases.sort_by_key(|case| cycles::rank(&FIRST, case.name));
    findings
}

/// What the graph of all dependencies comes to, at a first look.
struct Looked {
    edges: usize,
    acyclic: bool,
}

impl Looked {
    fn at(dependencies: &Dependencies<'_>) -> Self {
        let (graph, edges) = dependencies.graph(false);
        Self { edges, acyclic: acyclic(&graph) }
    }
}

/// What those anomalies are called, see [`Dependencies::fractured`].
const FRACTURED: [&str; 2] = ["fractured-read", "G-monotonic"];

fn find_cycles(
    dependencies: &Dependencies<'_>,
    &Looked { edges, acyclic }: &Looked,
    asked: &Asked<'_>,
    findings: &mut Findings,
) {
    findings.details.insert("transactions".into(), dependencies.txns.txns.len().into());
    findings.details.insert("dependencies".into(), edges.into());
    if edges == 0 {
        findings.vacuous = Some("no transaction depends on another one".into());
        return;
    }
    if acyclic {
        return;
    }
    let (graph, _) = dependencies.graph(true);
    cycles::add_cycles(&graph, asked.budget, findings, |steps| dependencies.cycle(steps));
    for (name, (count, first)) in FRACTURED.into_iter().zip(dependencies.fractured()) {
        if let Some(first) = first {
            let words = vec![dependencies.tell_fractured(&first)];
            let evidence = tell::evidence(dependencies.txns, &[first.writer, first.reader], words);
            findings.cases.push(Case { name, count, evidence });
        }
    }
    let known = findings.cases.iter().any(|case| refutes(case.name, Model::CursorStability));
    let (count, first) = dependencies.overtaken();
    if let Some(first) = first.filter(|_| !known) {
        let words = vec![dependencies.tell_overtaken(&first)];
        let writer = dependencies.writers.of(first.between);
        let rows: Vec<u32> = writer.into_iter().chain([first.read.txn]).collect();
        let evidence = tell::evidence(dependencies.txns, &rows, words);
        findings.cases.push(Case { name: "G-cursor", count, evidence });
    }
}

/// Anomalies that show most, the first first.
const FIRST: [&str; 10] = [
    "duplicate-elements",
    "garbage-read",
    "incompatible-order",
    "G1a",
    "dirty-update",
    "future-read",
    "internal",
    "G0",
    "G1b",
    "G1c",
];
