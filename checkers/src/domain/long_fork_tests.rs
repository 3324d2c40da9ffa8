use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::testing::{judged, judged_or};

/// Verdict and anomalies of reads, each of a whole group, with a write a key.
#[track_caller]
fn check(options: &[(&str, &str)], events: &str, verdict: Verdict, anomalies: &[&str]) -> Check {
    let judgement = judged(NAME, options, events);
    let check = judgement.checks.into_iter().next().unwrap();
    assert_eq!(check.verdict, verdict, "{check:?}");
    assert_eq!(check.anomalies, anomalies);
    check
}

const WRITES: &str = "
    0 invoke write [[\"w\",0,1]]
    0 ok write [[\"w\",0,1]]
    1 invoke write [[\"w\",1,1]]
    1 ok write [[\"w\",1,1]]
";

fn read(process: u32, saw: &str) -> String {
    format!("{process} invoke read []\n{process} ok read {saw}\n")
}

fn reads(saw: &[&str]) -> String {
    WRITES.to_string() + &saw.iter().map(|saw| read(2, saw)).collect::<String>()
}

const NEITHER: &str = r#"[["r",0,null],["r",1,null]]"#;
const FIRST: &str = r#"[["r",0,1],["r",1,null]]"#;
const SECOND: &str = r#"[["r",1,1],["r",0,null]]"#;
const BOTH: &str = r#"[["r",1,1],["r",0,1]]"#;

#[test]
fn reads_that_disagree_on_the_order_are_a_fork() {
    let fork = check(&[], &reads(&[NEITHER, FIRST, SECOND, BOTH]), Verdict::Invalid, &[NAME]);
    let evidence = fork.evidence.unwrap();
    let labels: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(labels, ["read -> 0: 1, 1: null", "read -> 0: null, 1: 1"]);
    assert_eq!(
        evidence.explanation[0],
        "Process 2 saw the write of 0 but not that of 1, so 0 was written first."
    );
    assert!(evidence.minimal);
    assert_eq!(fork.details["early-reads"], 1);
    assert_eq!(fork.details["late-reads"], 1);
    check(&[], &reads(&[NEITHER, FIRST, FIRST, BOTH]), Verdict::Valid, &[]);
}

#[test]
fn reads_that_cannot_disagree_prove_nothing() {
    check(&[], &reads(&[NEITHER, BOTH, BOTH]), Verdict::Vacuous, &[]);
    check(&[], &reads(&[FIRST]), Verdict::Vacuous, &[]);
    check(&[], WRITES, Verdict::Vacuous, &[]);
}

#[test]
fn what_was_never_written_was_not_read() {
    let failed = r#"
        0 invoke write [["w",0,1]]
        0 fail write [["w",0,1]]
    "#;
    let garbage = reads(&[r#"[["r",0,7],["r",1,null]]"#]);
    check(&[], &garbage, Verdict::Invalid, &["garbage-read"]);
    check(&[], &(failed.to_string() + &read(2, FIRST)), Verdict::Invalid, &["G1a"]);
    let unknown = failed.replace("fail", "info");
    check(&[], &(unknown + &read(2, FIRST) + &read(2, FIRST)), Verdict::Valid, &[]);
}

#[test]
fn what_does_not_fit_together_is_not_judged() {
    let twice = WRITES.to_string() + &WRITES.replace(",1]]", ",2]]");
    check(&[], &(twice + &read(2, FIRST)), Verdict::Unknown, &[]);
    let three = r#"[["r",0,1],["r",1,null],["r",2,null]]"#;
    check(&[], &reads(&[FIRST, three]), Verdict::Unknown, &[]);
    check(&[("group-size", "3")], &reads(&[FIRST, FIRST]), Verdict::Unknown, &[]);
    check(&[("group-size", "2")], &reads(&[FIRST, FIRST]), Verdict::Valid, &[]);
    // Without writes in the history nobody knows which value is right.
    let other = r#"[["r",0,2],["r",1,null]]"#;
    check(&[], &(read(1, FIRST) + &read(2, other)), Verdict::Unknown, &[]);
    // A fork elsewhere is one all the same.
    let fork = r#"[["r",8,1],["r",9,null]]"#;
    let krof = r#"[["r",8,null],["r",9,1]]"#;
    let events = read(1, FIRST) + &read(2, other) + &read(1, fork) + &read(2, krof);
    check(&[], &events, Verdict::Invalid, &[NAME]);
}

#[test]
fn other_operations_are_refused() {
    for bad in
        ["add 3", "write [[\"w\",1,null]]", "read [[\"x\",1,2]]", "txn [[\"w\",1,2],[\"r\",1,2]]"]
    {
        assert!(judged_or(NAME, &[], &format!("0 invoke {bad}")).is_err(), "{bad}");
    }
    assert!(judged_or(NAME, &[("group-size", "0")], "").is_err());
}

/// Compares all pairs.
fn oracle(reads: &[Vec<bool>]) -> bool {
    let less = |a: &Vec<bool>, b: &Vec<bool>| a.iter().zip(b).all(|(a, b)| *a <= *b);
    reads.iter().any(|a| reads.iter().any(|b| !less(a, b) && !less(b, a)))
}

#[test]
fn neighbours_tell_what_all_pairs_tell() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x10f0);
    let mut forks = 0;
    for case in 0..1500 {
        let (size, count) = (rng.random_range(1..=5), rng.random_range(0..=7));
        let mut order: Vec<usize> = (0..size).collect();
        order.shuffle(&mut rng);
        // Snapshots of one order, of which some are changed.
        let reads: Vec<Vec<bool>> = (0..count)
            .map(|_| {
                let prefix = rng.random_range(0..=size);
                let mut saw: Vec<bool> = vec![false; size];
                order[..prefix].iter().for_each(|key| saw[*key] = true);
                if rng.random_bool(0.1) {
                    let key = rng.random_range(0..size);
                    saw[key] = !saw[key];
                }
                saw
            })
            .collect();
        let events: String = reads
            .iter()
            .map(|saw| {
                let mut keys: Vec<usize> = (0..size).collect();
                keys.shuffle(&mut rng);
                let micro = keys.iter().map(|key| {
                    let value = if saw[*key] { "1" } else { "null" };
                    format!("[\"r\",{key},{value}]")
                });
                read(2, &format!("[{}]", micro.collect::<Vec<_>>().join(",")))
            })
            .collect();
        let judgement = judged(NAME, &[], &events);
        let fork = judgement.checks[0].verdict == Verdict::Invalid;
        assert_eq!(fork, oracle(&reads), "case {case}: {events}");
        forks += usize::from(fork);
    }
    assert!((100..1400).contains(&forks), "{forks}");
}
