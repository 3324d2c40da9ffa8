use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::testing::{judged, judged_or};

#[track_caller]
fn check(events: &str, verdict: Verdict, anomalies: &[&str]) -> Check {
    let check = judged(NAME, &[], events).checks.into_iter().next().unwrap();
    assert_eq!(check.verdict, verdict, "{check:?}");
    assert_eq!(check.anomalies, anomalies);
    check
}

const TWO_IN_TURN: &str = "
    0 invoke write 10
    0 ok write 10
    1 invoke write 20
    1 ok write 20
    2 invoke read null
";

#[test]
fn a_write_is_not_there_without_one_before_it() {
    check(&format!("{TWO_IN_TURN} 2 ok read [10,20]"), Verdict::Valid, &[]);
    check(&format!("{TWO_IN_TURN} 2 ok read [10]"), Verdict::Vacuous, &[]);
    check(&format!("{TWO_IN_TURN} 2 ok read null"), Verdict::Vacuous, &[]);
    let reverse = check(&format!("{TWO_IN_TURN} 2 ok read [20]"), Verdict::Invalid, &[NAME]);
    let evidence = reverse.evidence.unwrap();
    let labels: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(labels, ["write 10", "write 20", "read -> 20"]);
    assert_eq!(
        evidence.explanation,
        ["The write of 10 completed before that of 20 began.", "Process 2 read 20, but not 10."]
    );
}

#[test]
fn concurrent_writes_may_be_there_one_without_the_other() {
    let events = "
        0 invoke write 1
        1 invoke write 2
        0 ok write 1
        1 ok write 2
        2 invoke read null
        2 ok read [2]
    ";
    check(events, Verdict::Vacuous, &[]);
    // One that never completed may not have happened.
    let events = "
        0 invoke write 1
        0 info write 1
        1 invoke write 2
        1 ok write 2
        2 invoke read null
        2 ok read [2]
    ";
    check(events, Verdict::Vacuous, &[]);
}

#[test]
fn keys_are_apart() {
    let events = |read: &str| {
        format!(
            "0 invoke write/1 10
             0 ok write/1 10
             1 invoke write/2 10
             1 ok write/2 10
             1 invoke write/{read} 20
             1 ok write/{read} 20
             2 invoke read/{read} null
             2 ok read/{read} [20]"
        )
    };
    let check = check(&events("2"), Verdict::Invalid, &[NAME]);
    assert_eq!(check.evidence.unwrap().key.as_deref(), Some("2"));
}

#[test]
fn what_was_never_written_was_not_read() {
    let read = "2 invoke read null \n 2 ok read [1]";
    check(&format!("0 invoke write 2 \n {read}"), Verdict::Invalid, &["garbage-read"]);
    check(&format!("0 invoke write 1 \n 0 fail write 1 \n {read}"), Verdict::Invalid, &["G1a"]);
    check(&format!("0 invoke write 1 \n {read}"), Verdict::Vacuous, &[]);
}

#[test]
fn values_must_tell_writes_apart() {
    let twice = "0 invoke write 1 \n 0 ok write 1 \n 0 invoke write 1 \n 0 ok write 1 \n";
    check(twice, Verdict::Unknown, &[]);
    check(&twice.replacen(" ok ", " fail ", 1), Verdict::Vacuous, &[]);
    assert!(judged_or(NAME, &[], "0 invoke add 1").is_err());
    assert!(judged_or(NAME, &[], "0 invoke read null \n 0 ok read 1").is_err());
}

/// Where a write began, and where it was acknowledged.
type Written = (usize, Option<usize>);

/// Looks at every read and every pair of writes.
fn oracle(writes: &[Written], reads: &[Vec<bool>]) -> bool {
    let reversed = |saw: &Vec<bool>, first: usize, last: usize| {
        let before = writes[first].1.is_some_and(|ret| ret < writes[last].0);
        saw[last] && !saw[first] && before
    };
    let all = || 0..writes.len();
    reads.iter().any(|saw| all().any(|i| all().any(|j| reversed(saw, i, j))))
}

/// A random history of writes by three processes and reads by a fourth, and what the oracle needs of it.
fn random(rng: &mut ChaCha8Rng) -> (String, Vec<Written>, Vec<Vec<bool>>) {
    let mut lines: Vec<String> = Vec::new();
    let mut writes: Vec<Written> = Vec::new();
    let mut reads: Vec<Vec<bool>> = Vec::new();
    let mut busy: [Option<usize>; 3] = [None; 3];
    // A process whose write ended in info is not used again.
    let mut names = [0, 1, 2];
    for _ in 0..rng.random_range(4..16) {
        let process = rng.random_range(0..4);
        if process == 3 {
            // Mostly all, so that histories with and without a reverse are both many.
            let saw: Vec<bool> = writes.iter().map(|_| rng.random_bool(0.9)).collect();
            let ids = (0..saw.len()).filter(|id| saw[*id]).map(|id| id.to_string());
            lines.push("3 invoke read null".into());
            lines.push(format!("3 ok read [{}]", ids.collect::<Vec<_>>().join(",")));
            reads.push(saw);
        } else if let Some(write) = busy[process].take() {
            let ok = rng.random_bool(0.8);
            writes[write].1 = ok.then_some(lines.len());
            let kind = if ok { "ok" } else { "info" };
            lines.push(format!("{} {kind} write {write}", names[process]));
            names[process] += if ok { 0 } else { 4 };
        } else {
            busy[process] = Some(writes.len());
            lines.push(format!("{} invoke write {}", names[process], writes.len()));
            writes.push((lines.len() - 1, None));
        }
    }
    // Writes that began after a read are not in it.
    for saw in &mut reads {
        saw.resize(writes.len(), false);
    }
    (lines.join("\n"), writes, reads)
}

#[test]
fn the_last_write_tells_what_all_pairs_tell() {
    let mut rng = ChaCha8Rng::seed_from_u64(0xca5e);
    let mut reversed = 0;
    for case in 0..3000 {
        let (events, writes, reads) = random(&mut rng);
        let invalid = judged(NAME, &[], &events).checks[0].verdict == Verdict::Invalid;
        assert_eq!(invalid, oracle(&writes, &reads), "case {case}:\n{events}");
        reversed += usize::from(invalid);
    }
    assert!((300..2700).contains(&reversed), "{reversed}");
}
