//! What histories of other tools promise, where it differs from ours.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use keelhaul_checkers::{JudgeRequest, Unlimited, Verdict, judge};
use keelhaul_history::import;

/// The verdict on linearizability of a log of Porcupine's.
fn verdict(lines: &[&str]) -> Verdict {
    let log: String = lines.iter().map(|line| format!("INFO  jepsen.util - {line}\n")).collect();
    let source = import::open(log.as_bytes(), None, import::Options::default()).unwrap();
    let request = JudgeRequest { workload: "cas-register".into(), ..JudgeRequest::default() };
    let judgement = judge(source, &request, &Unlimited).unwrap();
    judgement.checks.iter().find(|check| check.name == "linearizable").unwrap().verdict
}

#[test]
fn a_failed_cas_must_have_found_another_value() {
    let miss = |expected: &str| {
        let invoke = format!("1 :invoke :cas [{expected} 2]");
        let fail = format!("1 :fail :cas [{expected} 2]");
        verdict(&["0 :invoke :write 1", "0 :ok :write 1", &invoke, &fail])
    };
    assert_eq!(miss("3"), Verdict::Valid);
    assert_eq!(miss("1"), Verdict::Invalid);
}

#[test]
fn what_timed_out_may_have_happened() {
    let lines = ["0 :invoke :write 1", "0 :info :write :timed-out", "1 :invoke :read nil"];
    for read in ["1 :ok :read 1", "1 :ok :read nil"] {
        assert_eq!(verdict(&[&lines[..], &[read]].concat()), Verdict::Valid);
    }
}
