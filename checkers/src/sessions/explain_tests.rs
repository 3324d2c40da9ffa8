//! Evidence in words, of histories as they are drawn.

use super::*;
use crate::budget::Unlimited;
use crate::causal;
use crate::columns::Registers;
use crate::lattice::Decide;
use crate::models::drawing::registers;
use crate::verdict::Verdict;

#[track_caller]
fn told(
    check: Decide<Registers>,
    drawing: &str,
    anomaly: &str,
    labels: &[&str],
    explanation: &[&str],
) {
    let check = check(&registers(drawing), &Unlimited);
    assert_eq!(check.verdict, Verdict::Invalid, "{check:#?}");
    assert_eq!(check.anomalies, [anomaly]);
    let evidence = check.evidence.unwrap();
    let shown: Vec<&str> = evidence.ops.iter().map(|op| op.label.as_str()).collect();
    assert_eq!(shown, labels);
    assert_eq!(evidence.explanation, explanation);
    assert!(evidence.minimal);
}

#[test]
fn a_read_that_goes_back() {
    told(
        check_monotonic_reads,
        "\
A  [write x 4]  [write x 5]               [write x 6]
B                            [read x 5]                [read x 4]",
        "read-went-back",
        &["write 4", "write 5", "read -> 5", "read -> 4"],
        &[
            "Process 0 wrote 4, and then wrote 5.",
            "Process 1 read 5, and then read 4.",
            "When process 1 read 4, it knew of 5, which had replaced it.",
        ],
    );
}

#[test]
fn an_answer_without_its_question() {
    told(
        causal::check,
        Model::Causal.about().forbidden.drawing,
        "WriteCOInitRead",
        &[
            "write \"x\" 1",
            "read \"x\" -> 1",
            "write \"y\" 1",
            "read \"y\" -> 1",
            "read \"x\" -> null",
        ],
        &[
            "Process 0 wrote 1 to \"x\".",
            "Process 1 read 1 from \"x\", and then wrote 1 to \"y\".",
            "Process 2 read 1 from \"y\", and then read null from \"x\".",
            "When process 2 read null, the initial value of \"x\", it knew of 1, which had replaced it.",
        ],
    );
}

#[test]
fn concurrent_writes_in_two_orders() {
    told(
        causal::check_convergence,
        Model::CausalConvergence.about().forbidden.drawing,
        "CyclicCF",
        &["write 1", "write 2", "read -> 2", "read -> 1"],
        &[
            "Process 0 wrote 1, and then read 2.",
            "Process 1 wrote 2, and then read 1.",
            "Process 0 knew of 1 when it found 2: 1 had come before 2.",
            "Process 1 knew of 2 when it found 1: 2 had come before 1.",
            "So each of these would come before the next, and the last before the first: process 1's write of 2, \
             process 0's write of 1.",
        ],
    );
}

#[test]
fn a_view_that_does_not_fit() {
    told(
        causal::check_memory,
        Model::CausalMemory.about().forbidden.drawing,
        "WriteHBInitRead",
        &[
            "write \"z\" 1",
            "write \"x\" 2",
            "write \"x\" 1",
            "read \"z\" -> null",
            "write \"y\" 1",
            "read \"y\" -> 1",
            "read \"x\" -> 2",
        ],
        &[
            "Process 0 wrote 1 to \"z\", and then wrote 1 to \"x\", and then wrote 1 to \"y\".",
            "Process 1 wrote 2 to \"x\", and then read null from \"z\", and then read 1 from \"y\", and then read 2 \
             from \"x\".",
            "Process 1 knew of 1 when it found 2 in \"x\": 1 had come before 2.",
            "So 1 had come before process 1 read null, the initial value of \"z\", and had replaced it.",
        ],
    );
}

#[test]
fn writes_in_the_wrong_order() {
    told(
        check_pram,
        Model::Pram.about().forbidden.drawing,
        "writes-out-of-order",
        &["write 1", "write 2", "read -> 2", "read -> 1"],
        &[
            "Process 0 wrote 1, and then wrote 2.",
            "Process 1 read 2, and then read 1.",
            "When process 1 read 1, it knew of 2, which had replaced it.",
        ],
    );
}

#[test]
fn an_own_write_that_is_missed() {
    told(
        check_read_your_writes,
        "A  [write x 1]  [read x 1]  [cas x 1 2]  [read x 1]",
        "own-write-missed",
        &["write 1", "cas 1 -> 2", "read -> 1"],
        &[
            "Process 0 wrote 1, and then wrote 2, and then read 1.",
            "When process 0 read 1, it had written 2 itself, which had replaced it.",
            "Of a cas whose expected value is not mentioned, only the value it leaves matters here.",
        ],
    );
}

#[test]
fn an_unknown_outcome_that_was_seen() {
    told(
        check_monotonic_writes,
        "\
A  [write y 1]  [write x 1
B                            [read x 1]  [read y nil]",
        "write-overtaken",
        &["write \"y\" 1", "write \"x\" 1", "read \"x\" -> 1", "read \"y\" -> null"],
        &[
            "Process 0 wrote 1 to \"y\", and then wrote 1 to \"x\".",
            "Process 0's write of 1 in \"x\" had an unknown outcome; it took effect, for its value was found.",
            "Process 1 read 1 from \"x\", and then read null from \"y\".",
            "When process 1 read null, the initial value of \"y\", it knew of 1, which had replaced it.",
        ],
    );
}

#[test]
fn a_read_of_ones_own_future() {
    told(
        causal::check,
        "A  [read x 1]  [write x 1]",
        "CyclicCO",
        &["read -> 1", "write 1"],
        &[
            "Process 0 read 1, and then wrote 1.",
            "So each of these would come before the next, and the last before the first: process 0's write of 1, \
             process 0's read of 1.",
        ],
    );
    // Somebody else's future is impossible, and breaks none of these promises.
    let drawing = "\
A  [read x 1]
B               [write x 1]";
    assert_eq!(causal::check(&registers(drawing), &Unlimited).verdict, Verdict::Valid);
}

#[test]
fn repeated_values_are_settled_or_open() {
    let keeps = "\
A  [write x 1]  [write x 2]  [write x 1]
B                                         [read x 1]  [read x 2]";
    let verdict = |drawing| check_monotonic_reads(&registers(drawing), &Unlimited).verdict;
    assert_eq!(verdict(keeps), Verdict::Valid);
    let breaks = format!("{keeps}  [read x 1]  [read x 2]");
    assert_eq!(verdict(&breaks), Verdict::Invalid);
    let reads = "[read x 1]  [read x 2]  ".repeat(60);
    let writes = "[write x 1]  [write x 2]  ".repeat(20);
    let check = check_monotonic_reads(&registers(&format!("A  {writes}\nB  {reads}")), &Unlimited);
    assert_eq!(check.verdict, Verdict::Unknown);
    assert!(
        check.reason.starts_with("values repeat: which write a read saw is unknown (120 reads)")
    );
    let certain = format!("A  {writes}[write x 3]  [write x 4]\nB  {reads}[read x 4]  [read x 3]");
    assert_eq!(verdict(&certain), Verdict::Invalid);
}
