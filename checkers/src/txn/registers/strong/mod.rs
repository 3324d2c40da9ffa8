//! Serializability, of updates alone too, snapshot isolation, parallel too, prefix consistency, consistent view and cursor stability,
//! where the order of writes is open.
//!
//! To decide these is NP-complete (Papadimitriou 1979; Biswas & Enea 2019), so it is tried in three ways, the cheap first:
//!
//! 1. [`greedy`]: going along, as a serial run would; most histories that are serializable are found to be;
//! 2. [`problem`]: of two writers of a key, whatever closes a circle if it came first came second; again and again;
//! 3. [`solver`]: a search over what is left, which learns from circles.
//!
//! # Limits
//! Of graphs whose closure takes more than 256 MiB, some 45,000 nodes, nothing is known before the search, and where a key has thousands of
//! writers whose order is open the budget ends first; then it is unknown. Forward consistent view, monotonic snapshot reads and
//! monotonic view are decided only where something else implies or refutes them.

mod acyclic;
mod closure;
mod greedy;
#[cfg(test)]
mod oracle_tests;
mod problem;
mod shrink;
mod solver;
#[cfg(test)]
mod solver_tests;

use std::cell::OnceCell;

use self::problem::{Answer, Ask, Axiom, Time, Txn, decide};
use super::view::View;
use crate::budget::share;
use crate::graph::Times;
use crate::models::Model;
use crate::subject::Asked;
use crate::txn::answer::{Case, Findings, refutes};
use crate::txn::columns::{NONE, Outcome};
use crate::txn::tell::evidence;

/// A level that is decided here.
struct Level {
    model: Model,
    ask: Ask,
    /// What its violation is called.
    anomaly: &'static str,
    /// What is impossible then.
    what: &'static str,
}

const fn level(
    model: Model,
    axiom: Axiom,
    time: Time,
    anomaly: &'static str,
    what: &'static str,
) -> Level {
    Level { model, ask: Ask { axiom, time }, anomaly, what }
}

/// Strongest first.
const LEVELS: [Level; 11] = [
    level(
        Model::StrictSerializable,
        Axiom::Serializable,
        Time::Real,
        "no-serial-order-realtime",
        "No order of these transactions that fits real time explains what they read.",
    ),
    level(
        Model::StrongSessionSerializable,
        Axiom::Serializable,
        Time::Sessions,
        "no-serial-order-process",
        "No order of these transactions that fits their sessions explains what they read.",
    ),
    level(
        Model::Serializable,
        Axiom::Serializable,
        Time::None,
        "no-serial-order",
        "No order of these transactions explains what they read.",
    ),
    level(
        Model::StrongSnapshotIsolation,
        Axiom::Snapshot,
        Time::Real,
        "no-snapshots-realtime",
        "No order of snapshots and commits that fits real time explains what these transactions read.",
    ),
    level(
        Model::StrongSessionSnapshotIsolation,
        Axiom::Snapshot,
        Time::Sessions,
        "no-snapshots-process",
        "No order of snapshots and commits that fits the sessions explains what these transactions read.",
    ),
    level(
        Model::SnapshotIsolation,
        Axiom::Snapshot,
        Time::None,
        "no-snapshots",
        "No order of snapshots and commits explains what these transactions read.",
    ),
    level(
        Model::Prefix,
        Axiom::Prefix,
        Time::Sessions,
        "no-prefix",
        "No order of commits has, for each of these transactions, a beginning that explains what it read.",
    ),
    level(
        Model::ParallelSnapshotIsolation,
        Axiom::ParallelSnapshot,
        Time::Sessions,
        "no-parallel-snapshots",
        "No order of the writes of each key explains what these transactions read, if whatever was read of, overwritten, or done before in a session is seen with all that it saw.",
    ),
    level(
        Model::UpdateSerializable,
        Axiom::Update,
        Time::None,
        "no-update-order",
        "No order of those of these transactions that write explains what they read, and what each that only reads did.",
    ),
    level(
        Model::ConsistentView,
        Axiom::ParallelSnapshot,
        Time::None,
        "no-consistent-view",
        "No order of the writes of each key explains what these transactions read, if whatever was read of or overwritten is seen with all that it saw.",
    ),
    level(
        Model::CursorStability,
        Axiom::Cursor,
        Time::None,
        "G-cursor",
        "In every order of their writes another one comes between what one of these transactions read of a key and what it wrote there.",
    ),
];

/// Decides what is asked, and if nothing is, what stands below a level that is broken.
pub(super) fn find(view: &View<'_>, asked: &Asked<'_>, findings: &mut Findings) {
    let made = OnceCell::new();
    for (at, level) in LEVELS.iter().enumerate() {
        if !is_wanted(level, asked) || is_known(level, findings) {
            continue;
        }
        let (rows, txns) = made.get_or_init(|| transactions(view));
        let parts = LEVELS[at..].iter().filter(|level| is_wanted(level, asked)).count() as u32;
        let answer = share(asked.budget, parts, |budget| decide(txns, level.ask, budget));
        match answer {
            Answer::Holds => findings.decided.push(level.model),
            Answer::Open(exhausted) => {
                findings.leave_open(&[level.anomaly], &exhausted.to_string());
            }
            Answer::Broken => {
                let kept =
                    share(asked.budget, parts, |budget| shrink::shrink(txns, level.ask, budget));
                let rows: Vec<u32> = kept.iter().map(|at| rows[*at as usize]).collect();
                findings.cases.push(case(view, level, &rows));
            }
        }
    }
}

/// Whether a level matters: it is asked for or, if nothing is, could be.
fn is_wanted(level: &Level, asked: &Asked<'_>) -> bool {
    let asked_for = |name: &&str| {
        Model::by_name(name).is_some_and(|model| {
            level.model == model || (level.model.implies(model) && is_by_way_of(model))
        })
    };
    asked.models.is_empty() || asked.models.iter().any(asked_for)
}

/// Whether a model is decided only by what implies it.
fn is_by_way_of(model: Model) -> bool {
    let causal = Model::TransactionalCausal;
    let decided = LEVELS.iter().any(|level| level.model == model);
    !decided && !causal.implies(model) && model != Model::UpdateAtomic
}

/// Whether an anomaly refutes a level, or what is decided implies it, or nothing is to be said of it.
fn is_known(level: &Level, findings: &Findings) -> bool {
    findings.timeless.contains(&level.model)
        || findings.cases.iter().any(|case| refutes(case.name, level.model))
        || findings.decided.iter().any(|decided| {
            decided.implies(level.model)
                && !findings.cases.iter().any(|case| refutes(case.name, *decided))
        })
}

/// The committed transactions in order of invocation.
fn transactions(view: &View<'_>) -> (Vec<u32>, Vec<Txn>) {
    let rows: Vec<u32> = (0..view.rows()).filter(|row| view.committed[*row as usize]).collect();
    let mut numbers = vec![NONE; view.rows() as usize];
    for (number, row) in (0..).zip(&rows) {
        numbers[*row as usize] = number;
    }
    let txn = |row: &u32| {
        let of = &view.txns.txns[*row as usize];
        // To a serial run it is all one how often something is read.
        let mut reads: Vec<(u32, Option<u32>)> = Vec::new();
        for read in view.reads(*row) {
            let read = (read.key, numbers.get(read.writer as usize).copied());
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        Txn {
            session: of.session,
            times: Times {
                call: of.span.call,
                ret: (of.span.completed() && of.outcome == Outcome::Ok).then_some(of.span.ret),
            },
            reads,
            writes: view.writes(*row).iter().map(|write| write.key).collect(),
        }
    };
    let txns = rows.iter().map(txn).collect();
    (rows, txns)
}

fn case(view: &View<'_>, level: &Level, rows: &[u32]) -> Case {
    /// Transactions that are told.
    const TOLD_MAX: usize = 16;

    let mut words: Vec<String> = vec![level.what.into()];
    words.extend(rows.iter().take(TOLD_MAX).map(|row| {
        let process = view.txns.txns[*row as usize].span.process;
        format!("Process {process}: `{}`.", view.txns.label(*row))
    }));
    if rows.len() > TOLD_MAX {
        words.push(format!("And {} more.", rows.len() - TOLD_MAX));
    }
    Case { name: level.anomaly, count: 1, evidence: evidence(view.txns, rows, words) }
}
