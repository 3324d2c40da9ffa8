//! Every model's drawings against the checkers, and a history for every edge of the lattice.

use super::drawing::registers;
use super::{Model, about};
use crate::budget::Unlimited;
use crate::registers::DECIDABLE;
use crate::verdict::Verdict;

/// Models of single objects.
fn objects() -> impl Iterator<Item = Model> {
    Model::ALL.into_iter().filter(|model| !model.is_transactional())
}

/// What the checker of the model says, if there is one.
fn verdict(model: Model, drawing: &str) -> Option<Verdict> {
    let (_, check) = DECIDABLE.iter().find(|(decidable, _)| *decidable == model)?;
    Some(check(&registers(drawing), &Unlimited).verdict)
}

/// Asserts what the checkers say of a drawing, where there are checkers.
fn check(drawing: &str, keeps: &[Model], breaks: &[Model]) {
    for (models, expected) in [(keeps, Verdict::Valid), (breaks, Verdict::Invalid)] {
        for model in models {
            let verdict = verdict(*model, drawing).unwrap_or(expected);
            assert_eq!(verdict, expected, "{model}:\n{drawing}");
        }
    }
}

#[test]
fn every_example_is_judged_as_it_says() {
    for model in objects() {
        let about::About { allowed, forbidden, .. } = model.about();
        check(allowed.drawing, &[model], &[]);
        check(forbidden.drawing, &[], &[model]);
    }
}

/// For each edge a history that has the weaker model and not the stronger.
fn witness(stronger: Model, weaker: Model) -> &'static str {
    use Model::{
        Causal, CausalConvergence, CausalMemory, MonotonicReads, MonotonicWrites, Pram,
        ReadYourWrites, Sequential, WritesFollowReads,
    };

    match (stronger, weaker) {
        (Sequential, CausalMemory | CausalConvergence) => Sequential.about().forbidden.drawing,
        (CausalMemory, Causal) => CausalConvergence.about().allowed.drawing,
        (CausalConvergence, Causal) => CausalMemory.about().allowed.drawing,
        (CausalConvergence, MonotonicReads)
        | (Causal, WritesFollowReads)
        | (Pram, MonotonicReads | MonotonicWrites) => ReadYourWrites.about().forbidden.drawing,
        (Causal, MonotonicWrites | ReadYourWrites) => WritesFollowReads.about().forbidden.drawing,
        _ => weaker.about().allowed.drawing,
    }
}

#[test]
fn every_edge_has_a_history_that_tells_its_ends_apart() {
    for stronger in objects() {
        for weaker in stronger.implied() {
            check(witness(stronger, *weaker), &[*weaker], &[stronger]);
        }
    }
}

/// Histories besides the examples that tell models apart.
const OTHERS: &[&str] = &[
    // Concurrent writes seen in two orders by two readers, each of which keeps to its own.
    "\
A  [write x 1]
B  [write x 2]
C               [read x 1]  [read x 2]
D               [read x 2]  [read x 1]",
    // The later of two writes to different keys, without the earlier one.
    "\
A  [write x 1]  [write y 1]
B                            [read y 1]  [read x nil]",
    // A cause missed by a process that otherwise sees everything in order.
    "\
A  [write x 1]
B               [read x 1]  [write y 1]
C                                        [read y 1]  [read x nil]  [read x 1]",
];

#[test]
fn every_two_models_that_do_not_imply_each_other_are_told_apart() {
    let abouts: Vec<_> = objects().map(Model::about).collect();
    let examples = abouts.iter().flat_map(|about| [about.allowed.drawing, about.forbidden.drawing]);
    let drawings: Vec<&str> = examples.chain(OTHERS.iter().copied()).collect();
    for (keeps, _) in DECIDABLE {
        for (breaks, _) in DECIDABLE {
            let (kept, broken) = (Some(Verdict::Valid), Some(Verdict::Invalid));
            let mut told = drawings.iter().map(|d| (verdict(*keeps, d), verdict(*breaks, d)));
            assert_eq!(
                told.any(|verdicts| verdicts == (kept, broken)),
                !keeps.implies(*breaks),
                "{keeps} without {breaks}"
            );
        }
    }
}
