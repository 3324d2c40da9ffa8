//! Is there one order of all operations on all objects that keeps each process' own order and explains all results?
//!
//! Lamport, *How to Make a Multiprocessor Computer That Correctly Executes Multiprocess Programs* (IEEE Transactions on
//! Computers C-28(9), 1979). The property is not local: all keys are judged together. Real time does not count; only the order
//! in which each process issued its operations does. An operation whose outcome is unknown may take effect at any
//! time after those that its process issued before it, or never.
//!
//! For registers:
//! 1. a read of a value that nobody wrote settles it;
//! 2. where each value was written once ([`problem`]), [`order`] decides; where some were written more often it may still
//!    find that there is no order;
//! 3. otherwise [`fronts`] decides by search, as it does for all other objects ([`objects`]).
//!
//! A violation is reduced by [`shrink`] and put in words by [`explain`].

mod decide;
mod explain;
mod fronts;
#[cfg(test)]
mod object_tests;
pub mod objects;
#[cfg(test)]
mod oracle_tests;
mod order;
mod problem;
mod shrink;

use std::collections::BTreeSet;

use crate::budget::{Budget, Exhausted};
use crate::columns::{RegisterOp, Registers};
use crate::linearizable::search::{Stop, Watch};
use crate::models::Model;
use crate::verdict::{Check, Evidence, Verdict};
use crate::words::count;
use decide::{Decided, Row, by_search, by_versions, phantom};
use shrink::Shrinker;

/// The checker's name in reports.
pub const NAME: &str = Model::Sequential.name();

/// Operations that are looked at, at most, when a search found no order and it is not known which ones are to blame.
const SEED_MAX: usize = 1 << 11;

/// Operations of a proof for which something simpler is tried.
const PAIRS_MAX: usize = 32;

/// Watches a search by a budget alone.
struct Watched<'a>(&'a dyn Budget);

impl Watch for Watched<'_> {
    fn look(&mut self, bytes: usize, _steps: u64) -> Option<Stop> {
        self.0.spent(bytes).map(Stop::Budget)
    }
}

/// Judges all registers of a history together.
#[must_use]
pub fn check(registers: &Registers, budget: &dyn Budget) -> Check {
    let mut watch = Watched(budget);
    if let Some(row) = phantom(registers) {
        let reason = "an operation found a value that nobody ever wrote";
        return invalid(registers, &[row], reason.into(), budget);
    }
    if let Some(decided) = by_versions(registers, false, &mut watch) {
        return judged(registers, &decided, budget);
    }
    judged(registers, &by_search(registers, &mut watch), budget)
}

/// Whether an operation found a value that nobody ever wrote: then no model holds.
#[must_use]
pub fn finds_garbage(registers: &Registers) -> bool {
    phantom(registers).is_some()
}

fn judged(registers: &Registers, decided: &Decided, budget: &dyn Budget) -> Check {
    let ops = count(registers.op_count(), "operation");
    match decided.legal {
        Ok(true) => {
            let reason = format!(
                "one order of all {ops} on {} keeps each process' own order and explains all results",
                count(registers.keys.len(), "key")
            );
            Check::new(NAME, Verdict::Valid, reason)
        }
        Ok(false) => {
            let reason = format!(
                "no order of all {ops} keeps each process' own order and explains all results"
            );
            match &decided.proof {
                Some(proof) => invalid(registers, &proof.rows(), reason, budget),
                None => searched(registers, &decided.order, reason, budget),
            }
        }
        Err(stop) => {
            let placed = if decided.order.is_empty() {
                String::new()
            } else {
                format!("; {} of them found a place at most", decided.order.len())
            };
            let reason =
                format!("{} before an order of {ops} was found or excluded{placed}", stopped(stop));
            Check::new(NAME, Verdict::Unknown, reason)
        }
    }
}

/// A violation that the rows show, with all that they depend on.
fn invalid(registers: &Registers, rows: &[Row], reason: String, budget: &dyn Budget) -> Check {
    let mut shrinker = Shrinker::new(registers, budget);
    // A process that goes back at one key is told more easily than the circle that was found.
    let back = rows.iter().take(PAIRS_MAX).filter_map(|row| Some([before(registers, *row)?, *row]));
    let simple = back.into_iter().find_map(|pair| shrinker.shrink(&pair));
    let shrunk = simple.or_else(|| shrinker.shrink(rows));
    let evidence =
        shrunk.map_or_else(|| whole(registers), |shrunk| explain::evidence(registers, &shrunk));
    violation(reason, evidence)
}

/// The operation that the same process did before, on the same key.
fn before(registers: &Registers, (key, row): Row) -> Option<Row> {
    let ops = &registers.keys[key as usize].ops;
    let process = ops[row as usize].process;
    let earlier = ops[..row as usize].iter().rposition(|op| op.process == process)?;
    Some((key, earlier as u32))
}

fn violation(reason: String, evidence: Evidence) -> Check {
    let anomalies = vec![explain::ANOMALY.into()];
    Check { anomalies, evidence: Some(evidence), ..Check::new(NAME, Verdict::Invalid, reason) }
}

/// A violation that a search found, whose longest order is known: the last few operations that found a place and all that found
/// none of each process' next ones, then ever more of them.
fn searched(registers: &Registers, order: &[Row], reason: String, budget: &dyn Budget) -> Check {
    let op = |row: &Row| -> &RegisterOp { &registers.keys[row.0 as usize].ops[row.1 as usize] };
    let placed: BTreeSet<Row> = order.iter().copied().collect();
    let mut rest: Vec<Row> = Vec::new();
    for (key, register) in registers.keys.iter().enumerate() {
        let rows = (0..register.ops.len()).map(|row| (key as u32, row as u32));
        rest.extend(rows.filter(|row| op(row).completed() && !placed.contains(row)));
    }
    rest.sort_unstable_by_key(|row| op(row).call);
    let mut shrinker = Shrinker::new(registers, budget);
    let mut window = 8;
    while window <= SEED_MAX {
        let late = &order[order.len().saturating_sub(window)..];
        let next = &rest[..rest.len().min(window)];
        if let Some(shrunk) = shrinker.shrink(&[late, next].concat()) {
            return violation(reason, explain::evidence(registers, &shrunk));
        }
        if late.len() == order.len() && next.len() == rest.len() {
            break;
        }
        window *= 2;
    }
    violation(reason, whole(registers))
}

/// Where no smaller part was found that shows it.
fn whole(registers: &Registers) -> Evidence {
    Evidence {
        key: None,
        ops: Vec::new(),
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal: false,
        edges: Vec::new(),
        explanation: vec![format!(
            "All orders of the {} were excluded; the budget ended before a smaller part was found that shows it.",
            count(registers.op_count(), "operation")
        )],
    }
}

const fn stopped(stop: Stop) -> &'static str {
    match stop {
        Stop::Budget(Exhausted::Time) => "the time budget ended",
        Stop::Budget(Exhausted::Memory) => "the memory budget ended",
        Stop::Share | Stop::Cancelled => "the search was given up",
    }
}
