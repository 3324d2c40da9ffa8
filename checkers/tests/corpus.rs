//! Verdicts on a corpus of other checkers' histories, where it is at hand: a directory `shared/corpus` beside the
//! workspace.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use keelhaul_checkers::{JudgeRequest, Unlimited, Verdict, judge};
use keelhaul_history::import;

/// Parts of the corpus and what their operations mean.
const PARTS: [(&str, &str); 6] = [
    ("fuzz-etcd/", "cas-register"),
    ("knossos/data/cas-register/", "cas-register"),
    ("knossos/data/mutex/", "mutex"),
    ("porcupine/jepsen/", "cas-register"),
    ("porcupine/kv/", "kv"),
    ("synthetic-register/", "cas-register"),
];

#[test]
fn histories_get_the_verdict_of_the_index() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(index) = fs::read_to_string(corpus.join("INDEX.tsv")) else {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return;
    };
    let mut seen = BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for line in index.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, expected) = (fields[0], fields[4]);
        let Some((part, workload)) = PARTS.iter().find(|(part, _)| path.starts_with(part)) else {
            continue;
        };
        let file = fs::read(corpus.join(path)).unwrap();
        let source = import::open(&file[..], None, import::Options::default()).unwrap();
        let request = JudgeRequest { workload: (*workload).into(), ..JudgeRequest::default() };
        let judgement = judge(source, &request, &Unlimited).unwrap();
        let check = judgement.checks.iter().find(|check| check.name == "linearizable").unwrap();
        let agrees = match check.verdict {
            Verdict::Valid => expected == "true",
            Verdict::Invalid => expected == "false",
            Verdict::Unknown | Verdict::Vacuous => false,
        };
        if !agrees {
            wrong.push(format!(
                "{path}: expected {expected}, {:?}: {}",
                check.verdict, check.reason
            ));
        }
        if let Some(evidence) = &check.evidence {
            assert!(!evidence.ops.is_empty(), "{path}: {evidence:?}");
            assert!(evidence.minimal || *workload != "cas-register", "{path}: {evidence:?}");
        }
        *seen.entry(part).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen.len(), PARTS.len(), "a part of the corpus is empty: {seen:?}");
}
