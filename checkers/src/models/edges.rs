//! Every model's drawings against the checkers, and a history for every edge of the lattice.

use super::drawing::registers;
use super::{Model, about};
use crate::budget::Unlimited;
use crate::registers::DECIDABLE;
use crate::verdict::Verdict;

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
    for model in Model::ALL {
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
    for stronger in Model::ALL {
        for weaker in stronger.implied() {
            check(witness(stronger, *weaker), &[*weaker], &[stronger]);
        }
    }
}
