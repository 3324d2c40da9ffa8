//! A drawing for each anomaly of transactions on lists, in the notation of [`about_txn`](super::about_txn): a transaction that ends with `)`
//! failed. The tests ask the checker whether it is there.

use super::about::Example;
use super::about_txn as txn;

const fn example(drawing: &'static str, why: &'static str) -> Example {
    Example { drawing, why }
}

/// By the names of [`anomalies`](super::anomalies()).
pub(super) const EXAMPLES: &[(&str, Example)] = &[
    ("G0", txn::G0),
    ("G0-process", txn::G0_PROCESS),
    ("G0-realtime", txn::G0_REALTIME),
    (
        "G1a",
        example(
            "\
A  [append x 1)
B                [read x 1]",
            "A failed, and yet B sees its element",
        ),
    ),
    (
        "G1b",
        example(
            "\
A  [append x 1, append x 2]
B  [read x 1]
C                              [read x 1 2]",
            "B sees what A had made of x halfway",
        ),
    ),
    ("G1c", txn::G1C),
    ("G1c-process", txn::G1C_PROCESS),
    ("G1c-realtime", txn::G1C_REALTIME),
    ("G-single-item", txn::SKEW),
    ("G-single-item-process", txn::OWN_MISSED),
    ("G-single-item-realtime", txn::STALE),
    ("G-nonadjacent-item", txn::LONG_FORK),
    (
        "G-nonadjacent-item-process",
        example(
            "\
A  [append x 1]
B  [append y 1]
C  [read x 1]  [read y nil]
D  [read y 1]  [read x nil]",
            "C sees A before it misses B, D sees B before it misses A",
        ),
    ),
    (
        "G-nonadjacent-item-realtime",
        example(
            "\
A  [append x 1                      ]
B  [append y 1                      ]
C  [read y 1, read x nil            ]
D  [read x 1]
E               [read y nil]",
            "D had seen A when E began, which misses B, of which C has seen that it came before A",
        ),
    ),
    ("G2-item", txn::WRITE_SKEW),
    (
        "G2-item-process",
        example(
            "\
A  [append x 1]  [read y nil]
B  [read x nil, append y 1  ]",
            "B misses A's first transaction, and A's second one misses B",
        ),
    ),
    (
        "G2-item-realtime",
        example(
            "\
A  [append x 1]
B                [read y nil]
C  [read x nil, append y 1  ]",
            "C misses A, B misses C, and A had completed when B began",
        ),
    ),
    ("write-skew", txn::WRITE_SKEW),
    ("long-fork", txn::LONG_FORK),
    ("fractured-read", txn::SKEW),
    ("G-monotonic", txn::FRACTURED),
    ("causality-violation", txn::CAUSE_MISSED),
    ("lost-update", txn::LOST_UPDATE),
    (
        "G-cursor",
        example(
            "\
A  [append x 1]
B  [read x nil, append x 2]
C                            [read x 1 2]",
            "B read x before A appended to it, and appended after",
        ),
    ),
    (
        "garbage-read",
        example(
            "\
A  [append x 1]
B                [read x 7]",
            "nobody appended 7",
        ),
    ),
    (
        "internal",
        example(
            "\
A  [append x 1, read x nil]
B                            [read x 1]",
            "A does not see what it did itself",
        ),
    ),
    (
        "future-read",
        example(
            "\
A  [read x 1, append x 1]
B                           [read x 1]",
            "A sees what it does only later",
        ),
    ),
    (
        "dirty-update",
        example(
            "\
A  [append x 1)
B  [append x 2]
C                  [read x 1 2]",
            "B stands upon what A, which failed, had done",
        ),
    ),
    (
        "incompatible-order",
        example(
            "\
A  [append x 1]
B  [append x 2]
C                [read x 1]
D                [read x 2]",
            "1 comes first for C, and 2 for D",
        ),
    ),
    (
        "duplicate-elements",
        example(
            "\
A  [append x 1]
B                [read x 1 1]",
            "1 was appended once",
        ),
    ),
];

#[cfg(test)]
mod tests {
    use super::EXAMPLES;
    use crate::models::drawing::transactions;
    use crate::models::{anomalies, anomaly};
    use crate::testing::judged;

    #[test]
    fn every_drawing_has_its_anomaly() {
        for (name, example) in EXAMPLES {
            let judgement = judged("list-append", &[], &transactions(example.drawing));
            assert!(judgement.anomalies.iter().any(|a| a == name), "{name}: {judgement:#?}");
            let refuted = anomaly(name).unwrap().refutes.iter();
            for model in refuted {
                let standing = judgement.standing.iter().find(|s| s.model == model.name());
                assert!(standing.is_none_or(|s| s.verdict == crate::Verdict::Invalid), "{name}");
            }
        }
    }

    #[test]
    fn every_anomaly_of_lists_is_drawn() {
        let lists = anomalies().filter(|anomaly| anomaly.found_by.contains("list-append"));
        let drawn = |name| EXAMPLES.iter().any(|(drawn, _)| *drawn == name);
        let missing: Vec<_> = lists.filter(|anomaly| !drawn(anomaly.name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
