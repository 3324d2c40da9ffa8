//! Judgements for tests.

use keelhaul_checkers::{Check, Evidence, EvidenceEdge, EvidenceOp, Verdict};

use crate::Judgement;

pub(crate) fn op(index: u64, completion: u64, process: &str, label: &str) -> EvidenceOp {
    EvidenceOp {
        index,
        completion: Some(completion),
        process: process.into(),
        node: None,
        label: label.into(),
        start_ns: 1_000_000 * (index + index / 2 * 500),
        end_ns: Some(1_000_000 * (completion + completion / 2 * 500)),
    }
}

/// Two writes, a read of the second, then a stale read of the first.
pub(crate) fn invalid() -> Judgement {
    let ops = vec![
        op(0, 1, "0", "write 7"),
        op(2, 5, "1", "write 8"),
        op(3, 4, "2", "read -> 8"),
        op(6, 7, "3", "read -> 7"),
    ];
    judgement(ops, vec![0, 2, 3], vec![6])
}

/// Many writes by a few processes, and one read that fits nowhere.
pub(crate) fn crowded(count: u64) -> Judgement {
    let ops: Vec<EvidenceOp> = (0..count)
        .map(|i| op(2 * i, 2 * i + 3, &(i % 5).to_string(), &format!("write {i}")))
        .collect();
    let order = (0..count - 1).map(|i| 2 * i).collect();
    judgement(ops, order, vec![2 * (count - 1)])
}

/// Two operations that must each come before the other.
pub(crate) fn circle() -> Evidence {
    let edge = |from, to, kind: &str, why: &str| EvidenceEdge {
        from,
        to,
        kind: kind.into(),
        why: why.into(),
    };
    Evidence {
        key: None,
        ops: vec![op(0, 1, "0", "append x 1"), op(2, 3, "1", "read x -> []; append y 1")],
        longest_order: Vec::new(),
        stuck: Vec::new(),
        minimal: false,
        edges: vec![
            edge(0, 2, "rw", "T1 came before T2: it read \"x\""),
            edge(2, 0, "realtime", "T2 came before T1: it had completed"),
        ],
        explanation: Vec::new(),
    }
}

fn judgement(ops: Vec<EvidenceOp>, longest_order: Vec<u64>, stuck: Vec<u64>) -> Judgement {
    let operations = ops.len() as u64;
    let evidence = Evidence {
        key: Some("3".into()),
        ops,
        longest_order,
        stuck,
        minimal: true,
        edges: Vec::new(),
        explanation: vec![
            "Process 2 read 8, so the write of 8 had taken effect by then.".into(),
            "Process 3 read 7 afterwards, though nobody had written 7 again.".into(),
        ],
    };
    let linearizable = Check {
        anomalies: vec!["stale-read".into()],
        evidence: Some(evidence),
        ..Check::new("linearizable", Verdict::Invalid, "key 3: 1 of 4 operations fits in no order")
    };
    let progress =
        Check::new("progress", Verdict::Valid, "operations succeeded during every fault");
    let mut judgement = Judgement::new(vec![linearizable, progress]);
    judgement.operations = operations;
    judgement.elapsed_ms = 12;
    judgement.tested = vec!["4 operations on 1 key".into()];
    judgement.not_tested = vec!["clock faults (nodes share one clock)".into()];
    judgement
}
