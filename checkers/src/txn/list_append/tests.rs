//! Cases in a short notation. A line is a process; a transaction is in brackets, as in the drawings of
//! [`about_txn`](crate::models).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::models::Model;
use crate::testing::{self, judged};
use crate::verdict::Verdict;
use crate::{Judgement, txn::MODELS};

/// Everything about the history that a drawing shows.
fn judge(drawing: &str) -> Judgement {
    judged("list-append", &[], &crate::models::drawing::transactions(drawing))
}

/// Asserts which anomalies there are.
fn check(drawing: &str, expected: &[&str]) {
    let judgement = judge(drawing);
    let found: BTreeSet<&str> = judgement.anomalies.iter().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{drawing}\n{judgement:#?}");
}

/// What a history is found to have and not to have.
fn verdict(model: Model, drawing: &str) -> Verdict {
    verdict_of(model, &crate::models::drawing::transactions(drawing))
}

/// The same of events.
pub(super) fn verdict_of(model: Model, events: &str) -> Verdict {
    testing::verdict_of(model, &judged("list-append", &[], events))
}

#[test]
fn every_example_is_judged_as_it_says() {
    for model in MODELS.iter().map(|name| Model::by_name(name).unwrap()) {
        let about = model.about();
        let (allowed, forbidden) = (about.allowed.drawing, about.forbidden.drawing);
        assert_ne!(verdict(model, allowed), Verdict::Invalid, "{model}:\n{allowed}");
        assert_eq!(verdict(model, forbidden), Verdict::Invalid, "{model}:\n{forbidden}");
    }
}

#[test]
fn reads_within_a_transaction() {
    check("A  [append x 1, read x 1]  [read x 1, read x 1]", &[]);
    check("A  [append x 1]  [read x 1, read x nil]", &["internal"]);
    check("A  [append x 1]\nB                [append x 2, read x 1]", &["internal"]);
    check("A  [read x 1, append x 1]\nB                           [read x 1]", &["future-read"]);
}

#[test]
fn reads_of_what_was_not_to_be_read() {
    check("A  [append x 1)\nB                [read x 1]", &["G1a"]);
    check(
        "A  [append x 1, append x 2]\nB  [read x 1]\nC                              [read x 1 2]",
        &["G1b", "G-single-item", "causality-violation"],
    );
    check("A  [append x 1]\nB                [read x 7]", &["garbage-read"]);
    check("A  [append x 1]\nB                [read x 1 1]", &["duplicate-elements"]);
    check(
        "A  [append x 1]\nB  [append x 2]\nC                [read x 1]\nD                [read x 2]",
        &["incompatible-order"],
    );
    // The longer one came later.
    check(
        "A  [append x 1]\nB  [append x 2]\nC                [read x 1]\nD                            [read x 2 1]",
        &["incompatible-order"],
    );
    check(
        "A  [append x 1)\nB  [append x 2]\nC                  [read x 1 2]",
        &["G1a", "dirty-update"],
    );
}

#[test]
fn what_nobody_saw_follows_what_was_seen() {
    // Both appends follow the empty list that C saw, in whatever order; and C followed one of them.
    check(
        "A  [append x 1]\nB  [append x 2, append y 1]\nC                              [read x nil, read y 1]",
        &["G-single-item", "fractured-read", "causality-violation"],
    );
    // Who read the last version and appended is not before itself.
    check(
        "A  [read x nil, append x 1]\nB  [read y nil]\nC                                [read y nil]",
        &[],
    );
}

#[test]
fn unknown_outcomes() {
    check("A  [append x 1\nB                [read x nil]  [read x 1]", &[]);
    check(
        "A  [append x 1\nB                [read x 1]  [read x nil]",
        &["G-single-item-process", "causality-violation"],
    );
    let twice = judge("A  [append x 1]\nB  [append x 1]\nC                [read x 1]");
    assert_eq!(twice.checks[0].verdict, Verdict::Unknown);
    assert_eq!(judge("A  [append x 1]  [append x 2]").checks[0].verdict, Verdict::Vacuous);
}

#[test]
fn a_cycle_is_told_in_words() {
    let judgement = judge("A  [append x 1]\nB                [read x nil]");
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    let mut told = String::new();
    evidence.explanation.iter().for_each(|line| writeln!(told, "{line}").unwrap());
    assert_eq!(
        told,
        "T1 is process 0's `append x 1`.\n\
         T2 is process 1's `read x -> []`.\n\
         T1 came before T2: T1 had completed (event 1) before T2 was invoked (event 2).\n\
         T2 came before T1: T2 read x before anything was written to it, and so without 1, which T1 wrote there.\n\
         So each of them came before itself, which cannot be.\n"
    );
    assert_eq!(judgement.anomalies, ["G-single-item-realtime"]);
    assert_eq!(judgement.not, ["strong-snapshot-isolation"]);
    assert_eq!(judgement.strongest, ["strong-session-serializable", "strong-read-committed"]);
}
