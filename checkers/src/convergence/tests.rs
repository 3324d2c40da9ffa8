//! Ends of histories, as they are drawn: a column is a second.

use super::*;
use crate::models::drawing::registers;

const WRITES: &str = "\
A  [write x 1]
B               [write x 2]";

fn judged(reads: &str, quiet: Quiet) -> Check {
    check(&registers(&format!("{WRITES}{reads}")), &quiet)
}

#[track_caller]
fn verdict(reads: &str, expected: Verdict) -> Check {
    let check = judged(reads, Quiet::default());
    assert_eq!(check.verdict, expected, "{check:#?}");
    check
}

#[test]
fn agreement_and_how_long_it_took() {
    let check = verdict(
        "
C                             [read x 2]
D                               [read x 1]    [read x 2]",
        Verdict::Valid,
    );
    // From the end of the last write to that of the last other value.
    assert_eq!(check.details["time-to-convergence-ns"]["max"], json!(15_000_000_000_u64));
    assert_eq!(check.details["keys-agreed"], json!(1));
}

#[test]
fn disagreement_names_the_last_reads() {
    let reads = "
C                             [read x 2]                 [read x 2]
D                               [read x 1]    [read x 1]";
    let check = verdict(reads, Verdict::Invalid);
    let evidence = check.evidence.unwrap();
    let labels: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(labels, ["write 1", "write 2", "read -> 1", "read -> 2"]);
    assert!(evidence.minimal);
    assert_eq!(
        evidence.explanation,
        [
            "The writes to key \"x\" had stopped at 26.000 s, and nothing was broken from 26.000 s on.",
            "Process 3 last read 1, at 46.000 s.",
            "Process 2 last read 2, at 57.000 s.",
            "To the end of the history, processes 3 and 2 did not come to read the same from key \"x\".",
        ]
    );
    // Process 3 does not read any more after what replicas are allowed to take.
    let allowed = Quiet { allowed_ns: 25_000_000_000, ..Quiet::default() };
    assert_eq!(judged(reads, allowed).verdict, Verdict::Vacuous);
    let healed = Quiet { healed_ns: 40_000_000_000, ..Quiet::default() };
    assert_eq!(judged(reads, healed).verdict, Verdict::Invalid);
    let unhealed = Quiet { unhealed: true, ..Quiet::default() };
    assert_eq!(judged(reads, unhealed).verdict, Verdict::Vacuous);
}

#[test]
fn what_was_written_must_arrive() {
    let reads = "
C                             [read x nil]
D                             [read x nil]";
    assert_eq!(verdict(reads, Verdict::Invalid).anomalies, ["lost-write"]);
    let reads = "
C                             [read x nil]
D                             [read x 2]";
    assert_eq!(verdict(reads, Verdict::Invalid).anomalies, ["not-converged"]);
    let reads = "
C                             [read x 3]";
    assert_eq!(verdict(reads, Verdict::Invalid).anomalies, ["thin-air-read"]);
}

#[test]
fn too_little_was_read() {
    verdict("", Verdict::Vacuous);
    verdict("\nC                             [read x 2]  [read x 1]  [read x 2]", Verdict::Vacuous);
    verdict("\nC            [read x 1]\nD            [read x 2]", Verdict::Vacuous);
}

#[test]
fn a_write_of_unknown_outcome_ends_when_it_is_found() {
    let late = "
E                             [write x 3
C                                          [read x 2]
D                                                      [read x 3]";
    verdict(late, Verdict::Vacuous);
    verdict(
        &format!(
            "{late}  [read x 3]\nF                                                                   [read x 2]"
        ),
        Verdict::Invalid,
    );
    verdict(
        &format!(
            "{late}  [read x 3]\nF                                                                   [read x 3]"
        ),
        Verdict::Valid,
    );
    // It may be the second 2 that is found.
    let again = "
E                             [write x 2
C                                                                  [read x 1]
D                                                      [read x 2]
F                                                                  [read x 2]";
    verdict(again, Verdict::Unknown);
}

#[test]
fn the_examples_are_judged_as_they_say() {
    let about = Model::Eventual.about();
    let verdict = |drawing| check(&registers(drawing), &Quiet::default()).verdict;
    assert_eq!(verdict(about.allowed.drawing), Verdict::Valid);
    assert_eq!(verdict(about.forbidden.drawing), Verdict::Invalid);
}
