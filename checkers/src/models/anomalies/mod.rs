//! Every anomaly that a checker names, with what it means and which promises it breaks.
//!
//! A name may stand for related things in several workloads; then it is listed once, with all of them.

mod objects;
mod transactions;
mod workloads;

use super::Model;
use super::about::Example;
use super::anomaly_examples::EXAMPLES;

/// Something that must not happen.
#[derive(Clone, Copy, Debug)]
pub struct Anomaly {
    /// As checkers and `verdict.json` name it.
    pub name: &'static str,
    /// What happened, in a sentence or two.
    pub meaning: &'static str,
    /// Where it is looked for: models and workloads.
    pub found_by: &'static str,
    /// The weakest models that it refutes; empty if it breaks a promise of the workload's own.
    pub refutes: &'static [Model],
}

impl Anomaly {
    /// A history that has it, drawn, if it is one of transactions on lists.
    #[must_use]
    pub fn example(&self) -> Option<&'static Example> {
        EXAMPLES.iter().find(|(name, _)| *name == self.name).map(|(_, example)| example)
    }
}

/// All of them, in the order in which they are listed.
pub fn anomalies() -> impl Iterator<Item = &'static Anomaly> {
    [objects::TABLE, workloads::TABLE, transactions::TABLE].into_iter().flatten()
}

/// The anomaly of that name, in any case.
#[must_use]
pub fn anomaly(name: &str) -> Option<&'static Anomaly> {
    anomalies().find(|anomaly| anomaly.name.eq_ignore_ascii_case(name))
}

/// Of a single object, or of all objects of a kind together.
const fn of_objects(
    name: &'static str,
    meaning: &'static str,
    found_by: &'static str,
    refutes: &'static [Model],
) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes }
}

/// Of a workload that has a promise of its own.
const fn of_workload(name: &'static str, found_by: &'static str, meaning: &'static str) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes: &[] }
}

/// Of transactions.
const fn of_transactions(
    name: &'static str,
    found_by: &'static str,
    refutes: &'static [Model],
    meaning: &'static str,
) -> Anomaly {
    Anomaly { name, meaning, found_by, refutes }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different_and_no_model_has_one() {
        let names: BTreeSet<_> = anomalies().map(|a| a.name.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), anomalies().count());
        assert!(anomalies().all(|anomaly| Model::by_name(anomaly.name).is_none()));
        assert_eq!(anomaly("cycliccf").unwrap().refutes, [Model::CausalConvergence]);
        assert!(anomaly("nonsense").is_none());
    }
}
