//! From registers to a verdict, for every model that looks at sessions.

use std::collections::BTreeSet;

use super::explain;
use super::open::search;
use super::order::{OPEN, Sessions};
use super::shrink::Shrinker;
use super::violation::{Known, Violation};
use crate::budget::{Budget, Exhausted};
use crate::columns::Registers;
use crate::models::Model;
use crate::verdict::{Check, Verdict};
use crate::words::count;

/// Finds what breaks a promise, if anything does, in what is known of who found whose value. Sources that are not known promise
/// nothing; when more is known, no violation goes away.
pub type Refute = fn(Known<'_>, &dyn Budget) -> Result<Option<Violation>, Exhausted>;

/// What can be said of a history.
pub enum Answer {
    /// It keeps the promise.
    Kept,
    /// It does not.
    Broken(Violation),
    /// Neither was proved.
    Open(Why),
}

/// Why nothing was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The budget ended.
    Budget(Exhausted),
    /// For so many reads several writes come into question, and there are too many choices to try.
    Repeated(usize),
}

/// Decides as far as the budget allows.
pub fn decide(sessions: &Sessions<'_>, refute: Refute, budget: &dyn Budget) -> Answer {
    let sources = sessions.sources();
    match refute(Known { sessions, sources: &sources }, budget) {
        Err(why) => Answer::Open(Why::Budget(why)),
        Ok(Some(violation)) => Answer::Broken(violation),
        Ok(None) if sources.contains(&OPEN) => search(sessions, &sources, refute, budget),
        Ok(None) => Answer::Kept,
    }
}

/// Judges a history by a model.
pub fn judge(model: Model, refute: Refute, registers: &Registers, budget: &dyn Budget) -> Check {
    let name = model.name();
    let sessions = Sessions::new(registers);
    match decide(&sessions, refute, budget) {
        Answer::Kept => {
            let processes: BTreeSet<u32> = sessions.chains().iter().map(|c| c.process).collect();
            let reason = format!(
                "{}: nothing contradicts it in {} of {} on {}",
                model.about().line,
                count(registers.op_count(), "operation"),
                count(processes.len(), "process"),
                count(registers.keys.len(), "key")
            );
            Check::new(name, Verdict::Valid, reason)
        }
        Answer::Open(Why::Budget(why)) => {
            let reason = format!("{why} before the promise was proved or refuted");
            Check::new(name, Verdict::Unknown, reason)
        }
        Answer::Open(Why::Repeated(reads)) => {
            let reason = format!(
                "values repeat: which write a read saw is unknown ({}); the likeliest choice breaks the promise, and \
                 there are too many to try them all",
                count(reads, "read")
            );
            Check::new(name, Verdict::Unknown, reason)
        }
        Answer::Broken(violation) => {
            let anomaly = violation.anomaly().to_string();
            let rows = violation.ops().into_iter().map(|op| {
                let place = sessions.place(op);
                (place.key, place.row)
            });
            let rows: Vec<(u32, u32)> = rows.collect();
            drop(sessions);
            let shrunk = Shrinker::new(registers, refute, budget).shrink(&rows);
            let evidence = explain::evidence(registers, &shrunk);
            let conclusion = evidence.explanation.iter().rev().find(|line| !line.is_empty());
            let reason = conclusion.map_or_else(|| anomaly.clone(), |line| explain::clause(line));
            Check {
                anomalies: vec![shrunk.violation.as_ref().map_or(anomaly, |v| v.anomaly().into())],
                evidence: Some(evidence),
                ..Check::new(name, Verdict::Invalid, reason)
            }
        }
    }
}
