//! Cases in the notation of [`drawing`](crate::models::drawing): `[w x 1, r y 2]`, where `nil` is the initial value.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Judgement;
use crate::models::Model;
use crate::models::drawing::transactions;
use crate::testing::{judged, verdict_of};
use crate::verdict::Verdict;

fn judge(drawing: &str, options: &[(&str, &str)]) -> Judgement {
    judged("rw-register", options, &transactions(drawing))
}

/// Whether nothing happened that could show anything.
pub(super) fn is_vacuous(judgement: &Judgement) -> bool {
    judgement.checks.iter().any(|check| check.verdict == Verdict::Vacuous)
}

/// Asserts which anomalies there are.
#[track_caller]
fn check_with(drawing: &str, options: &[(&str, &str)], expected: &[&str]) {
    let judgement = judge(drawing, options);
    let found: BTreeSet<&str> = judgement.anomalies.iter().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{drawing}\n{judgement:#?}");
}

#[track_caller]
fn check(drawing: &str, expected: &[&str]) {
    check_with(drawing, &[], expected);
}

#[test]
fn reads_within_a_transaction() {
    check("A  [w x 1, r x 1]  [r x 1, r x 1]", &[]);
    check("A  [w x 1]  [r x 1, w x 2, r x 1]", &["internal"]);
    check("A  [w x 1, w x 2, r x 2]  [r x 2]", &[]);
    check("A  [w y 1, r x 1, w x 1]  [r y 1]", &["future-read"]);
}

#[test]
fn reads_of_what_was_not_to_be_read() {
    check("A  [w x 1)\nB            [r x 1]\nC  [w y 1]\nD            [r y 1]", &["G1a"]);
    check("A  [w x 1, w x 2]\nB                     [r x 1]", &["G1b"]);
    check("A  [w x 1]\nB               [r x 1, r x 7]", &["garbage-read", "internal"]);
}

#[test]
fn lost_updates() {
    check(
        "A  [w x 1]\nB              [r x 1, w x 2]\nC              [r x 1, w x 3]",
        &["G2-item", "lost-update", "write-skew"],
    );
}

#[test]
fn fractured_reads_and_causes() {
    check(
        "A  [w x 1, w y 1]\nB  [r x 1, r y nil]",
        &["G-monotonic", "G-single-item", "causality-violation"],
    );
    let skew = "A  [w x 1, w y 1]\nB  [r y nil, r x 1]";
    check(skew, &["G-single-item", "causality-violation", "fractured-read"]);
    let own = "A  [w x 1]  [r x nil]\nB  [r x 1]";
    let found = ["G-single-item-process", "causality-violation", "fractured-read-process"];
    check(own, &found);
    assert_eq!(verdict_of(Model::Serializable, &judge(own, &[])), Verdict::Valid);
    let causes = "A  [w x 1]\nB             [r x 1, w y 1]\nC                               [r y 1]  [r x nil]";
    check(causes, &["G-single-item-process", "causality-violation"]);
    let judgement = judge(causes, &[]);
    assert_eq!(verdict_of(Model::ReadAtomic, &judgement), Verdict::Valid);
    assert_eq!(verdict_of(Model::TransactionalCausal, &judgement), Verdict::Invalid);
}

#[test]
fn what_is_read_again_may_have_changed_by_then() {
    // C reads x as it was before B, then of B, and then x again as before.
    check(
        "A  [w x 1]\nB             [r x 1, w x 2, w y 2]\nC  [r x 1, r y 2, r x 1]",
        &["G-monotonic", "G-single-item", "causality-violation"],
    );
}

#[test]
fn an_order_that_nobody_wrote_down() {
    // Both wrote both keys, and two readers saw them in opposite orders.
    check(
        "A  [w x 1, w y 1]\nB  [w x 2, w y 2]\nC                     [r x 1, r y 2]",
        &["fractured-read"],
    );
}

#[test]
fn what_keys_promise() {
    let stale = "A  [w x 1]  [w x 2]  [r x 1]";
    check_with(stale, &[("sequential-keys", "true")], &["cyclic-versions"]);
    let other = "A  [w x 1]\nB             [w x 2]\nC                       [r x 1]";
    check_with(other, &[("linearizable-keys", "true")], &["cyclic-versions"]);
    let cycle = "A  [w x 1, w y 2]             [r x 2]\nB  [w x 2, w y 1]             [r y 2]";
    check_with(cycle, &[("sequential-keys", "true")], &["G0"]);
    let skew = "A  [w x 1, w y 1]\nB  [r x 1, r y 1, w x 2]\nC  [r x 1, r y 1]";
    check(skew, &[]);
    let single = "A  [w y 1]  [r y 1, w x 1, w y 2]\nB                          [r x 1, r y 1]";
    check(single, &["G-monotonic", "G-single-item", "causality-violation"]);
}

#[test]
fn unknown_outcomes_and_too_little() {
    check("A  [w x 1\nB             [r x nil]  [r x 1]", &[]);
    let twice = judge("A  [w x 1]\nB  [w x 1]\nC             [r x 1]", &[]);
    assert_eq!(twice.checks[0].verdict, Verdict::Unknown);
    assert_eq!(judge("A  [w x 1]  [w x 2]", &[]).checks[0].verdict, Verdict::Vacuous);
}

#[test]
fn a_circle_is_told_in_words() {
    let drawing = "A  [w x 1, w y 1]\nB  [w x 2, w y 2]\nC                     [r x 1, r y 2]";
    let judgement = judge(drawing, &[]);
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    let mut told = String::new();
    evidence.explanation.iter().for_each(|line| writeln!(told, "{line}").unwrap());
    assert_eq!(
        told,
        "T1 is process 0's `write x 1; write y 1`.\n\
         T2 is process 1's `write x 2; write y 2`.\n\
         T1 came before T2: both wrote y, and process 2's `read x -> 1; read y -> 2`, which had seen T1, read it from T2.\n\
         T2 came before T1: both wrote x, and process 2's `read x -> 1; read y -> 2`, which had seen T2, read it from T1.\n\
         So each of them came before itself, which cannot be.\n"
    );
    assert_eq!(evidence.ops.len(), 3);
}
