//! Cases, a transaction a line: a process and what it did, one transaction after the other unless it is `+`, which begins before
//! those before it have ended.

use std::collections::BTreeSet;

use crate::Judgement;
use crate::models::Model;
use crate::testing::{judged, judged_or, verdict_of};
use crate::verdict::Verdict;

/// Transactions, all at once or one after the other.
fn judge(at_once: bool, txns: &[&str]) -> Judgement {
    let (mut begins, mut ends) = (String::new(), String::new());
    for (process, txn) in txns.iter().enumerate() {
        let f = if txn.starts_with('{') { "init" } else { "txn" };
        let asked = if f == "init" { txn } else { &"[]" };
        let begin = format!("{process} invoke {f} {asked}\n");
        let end = format!("{process} ok {f} {txn}\n");
        if at_once && f == "txn" {
            begins += &begin;
            ends += &end;
        } else {
            begins += &(begin + &end);
        }
    }
    judged("closed-predicate", &[], &(begins + &ends))
}

#[track_caller]
fn check(txns: &[&str], expected: &[&str]) {
    let judgement = judge(true, txns);
    let found: BTreeSet<&str> = judgement.anomalies.iter().map(String::as_str).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{txns:?}\n{judgement:#?}");
}

#[test]
fn what_was_not_returned_orders_transactions() {
    // Neither saw the key that the other put there: a phantom.
    let phantom =
        [r#"[["w","x",1],["rp","true",{"x":1}]]"#, r#"[["w","y",2],["rp","true",{"y":2}]]"#];
    check(&phantom, &["G2"]);
    let judgement = judge(true, &phantom);
    assert_eq!(verdict_of(Model::RepeatableRead, &judgement), Verdict::Valid);
    assert_eq!(verdict_of(Model::SnapshotIsolation, &judgement), Verdict::Valid);
    assert_eq!(verdict_of(Model::Serializable, &judgement), Verdict::Invalid);
    // Each missed the value with which the other's predicate would have matched: so each saw the other's.
    let seen = [
        r#"{"x":0,"y":0}"#,
        r#"[["rp",["=",0],{"x":0}],["w","x",1]]"#,
        r#"[["rp",["=",0],{"y":0}],["w","y",1]]"#,
    ];
    check(&seen, &["G1c"]);
    // A deletion was seen, and one of the same transaction was not.
    let half =
        [r#"{"x":0,"y":0}"#, r#"[["delete","x"],["delete","y"]]"#, r#"[["rp","true",{"y":0}]]"#];
    check(&half, &["G-single-item"]);
    let half = [r#"{"x":0}"#, r#"[["delete","x"],["insert","y",5]]"#, r#"[["rp","true",{}]]"#];
    check(&half, &["G-single"]);
}

#[test]
fn what_is_right() {
    for txns in [
        &[r#"{"x":0}"#, r#"[["r","x",0],["w","x",1]]"#, r#"[["rp",["=",1],{"x":1}]]"#][..],
        &[r#"{"x":0}"#, r#"[["delete","x"],["rp","true",{}]]"#, r#"[["r","x",null]]"#],
        &[r#"[["insert",1,7]]"#, r#"[["rp",["keys",0,5],{"1":7}]]"#, r#"[["rp",["keys",2,5],{}]]"#],
    ] {
        let judgement = judge(false, txns);
        assert_eq!(
            verdict_of(Model::StrictSerializable, &judgement),
            Verdict::Valid,
            "{judgement:#?}"
        );
    }
}

#[test]
fn single_reads_and_matches() {
    check(&[r#"{"x":3}"#, r#"[["rp",["mod",2,1],{}]]"#], &["predicate-read-miss"]);
    check(&[r#"{"x":3}"#, r#"[["rp",["=",4],{"x":3}]]"#], &["wrong-match"]);
    check(&[r#"{"x":3}"#, r#"[["delete","x"],["rp","true",{"x":3}]]"#], &["internal"]);
    check(&[r#"{"x":3}"#, r#"[["w","x",4],["rp",["=",4],{}]]"#], &["internal"]);
    check(&[r#"{"x":3}"#, r#"[["rp","true",{"x":9}]]"#], &["garbage-read"]);
    check(&[r#"{"x":3}"#, r#"[["w","x",4],["w","x",5]]"#, r#"[["r","x",4]]"#], &["G1b"]);
    check(&[r#"{"x":3}"#, r#"[["rp","true",{"x":4}],["w","x",4]]"#], &["future-read", "lost"][..1]);
}

#[test]
fn what_is_not_known_is_not_said() {
    // Two wrote, and nothing says which came first.
    let either = [r#"{"x":0}"#, r#"[["w","x",1]]"#, r#"[["w","x",2]]"#, r#"[["r","x",2]]"#];
    assert_eq!(verdict_of(Model::Serializable, &judge(true, &either)), Verdict::Unknown);
    // Before, or after the one that matches.
    let around = [
        r#"{"x":0}"#,
        r#"[["r","x",0],["w","x",1]]"#,
        r#"[["r","x",1],["w","x",2]]"#,
        r#"[["rp",["=",1],{}]]"#,
    ];
    assert_eq!(verdict_of(Model::Serializable, &judge(true, &around)), Verdict::Unknown);
    // In words, with the numbers of versions, it is.
    let numbered = [r#"{"x":0}"#, r#"[["w","x",1,1]]"#, r#"[["w","x",2,2]]"#, r#"[["r","x",2]]"#];
    assert_eq!(verdict_of(Model::Serializable, &judge(true, &numbered)), Verdict::Valid);
}

#[test]
fn a_phantom_is_told_in_words() {
    let judgement = judge(
        true,
        &[r#"{"x":0}"#, r#"[["delete","x"],["insert","y",5]]"#, r#"[["rp","true",{}]]"#],
    );
    let evidence = judgement.checks[0].evidence.as_ref().unwrap();
    assert_eq!(
        evidence.explanation[2..4],
        [
            "T1 came before T2: T2's `read where true -> nothing` did not match x, and so saw it no earlier than with nothing, as T1 left it.",
            "T2 came before T1: T2's `read where true -> nothing` did not match y, which it would have with the 5 that T1 left there."
        ]
    );
}

#[test]
fn what_is_none_is_refused() {
    let refused = |events: &str| judged_or("closed-predicate", &[], events).unwrap_err();
    let told = |events: &str| format!("{:?}", refused(events));
    assert!(
        told("0 invoke txn [[\"rp\",[\"like\",1],{}]]\n0 ok txn [[\"rp\",[\"like\",1],{}]]")
            .contains("predicate being")
    );
    assert!(told("0 invoke append 1").contains("histories of rows have init and txn"));
    assert!(told("0 invoke init 1").contains("a map of keys and values"));
}
