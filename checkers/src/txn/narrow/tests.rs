//! Cases in the notation of events.

use crate::testing::judged;
use crate::verdict::{Check, Verdict};

/// Transactions, one after the other: process, how it ended, what it did.
fn check(
    workload: &str,
    txns: &[(u32, &str, &str)],
    verdict: Verdict,
    anomalies: &[&str],
) -> Check {
    let events = txns.iter().map(|(process, kind, micros)| {
        format!("{process} invoke txn {micros}\n{process} {kind} txn {micros}\n")
    });
    let judgement = judged(workload, &[], &events.collect::<String>());
    let check = judgement.checks[0].clone();
    assert_eq!(check.verdict, verdict, "{check:#?}");
    assert_eq!(check.anomalies, anomalies, "{check:#?}");
    assert_eq!(check.evidence.is_some(), verdict == Verdict::Invalid);
    check
}

const FIRST: (u32, &str, &str) = (0, "ok", r#"[["r","x",null],["w","x",1]]"#);

#[test]
fn updates_follow_each_other_or_are_lost() {
    let next = (1, "ok", r#"[["r","x",1],["w","x",2]]"#);
    check("lost-update", &[FIRST, next], Verdict::Valid, &[]);
    let lost = (1, "ok", r#"[["r","x",null],["w","x",2]]"#);
    let found = check("lost-update", &[FIRST, lost], Verdict::Invalid, &["lost-update"]);
    assert_eq!(
        found.evidence.unwrap().explanation,
        [
            "Both process 0's `read x -> null; write x 1` (event 0) and process 1's `read x -> null; write x 2` (event 2) read x before anything was written to it, and wrote it.",
            "Whichever of the two came second had not seen the first, and overwrote it: that update is lost."
        ]
    );
    // Nobody knows whether, or upon what, it took effect.
    check("lost-update", &[FIRST, (1, "info", lost.2)], Verdict::Vacuous, &[]);
    check("lost-update", &[FIRST, (1, "fail", lost.2)], Verdict::Vacuous, &[]);
    // A blind write overwrites what it likes.
    check("lost-update", &[FIRST, (1, "ok", r#"[["w","x",2]]"#)], Verdict::Vacuous, &[]);
    let again = (1, "ok", r#"[["r","x",1],["w","x",1]]"#);
    check("lost-update", &[FIRST, again], Verdict::Unknown, &[]);
}

#[test]
fn one_of_two_sees_the_other() {
    let x = (0, "ok", r#"[["r","x",null],["r","y",null],["w","x",1]]"#);
    let saw = (1, "ok", r#"[["r","x",1],["r","y",null],["w","y",1]]"#);
    let missed = (1, "ok", r#"[["r","x",null],["r","y",null],["w","y",1]]"#);
    check("write-skew", &[x, saw], Verdict::Valid, &[]);
    let found = check("write-skew", &[x, missed], Verdict::Invalid, &["write-skew"]);
    assert_eq!(found.evidence.unwrap().ops.len(), 2);
    check("write-skew", &[x, (1, "info", missed.2)], Verdict::Vacuous, &[]);
    check("write-skew", &[x], Verdict::Vacuous, &[]);
    let twice = (2, "ok", r#"[["w","x",2]]"#);
    check("write-skew", &[x, saw, twice], Verdict::Unknown, &[]);
}

#[test]
fn what_was_not_written_is_not_read() {
    let garbage = (1, "ok", r#"[["r","x",7],["w","x",2]]"#);
    check("lost-update", &[FIRST, garbage], Verdict::Invalid, &["garbage-read"]);
    let failed = (2, "fail", r#"[["w","x",7]]"#);
    check("lost-update", &[FIRST, failed, garbage], Verdict::Invalid, &["G1a"]);
}
