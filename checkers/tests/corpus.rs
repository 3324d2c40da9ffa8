//! Verdicts on a corpus of other checkers' histories, where it is at hand: a directory `shared/corpus` beside the
//! workspace.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use keelhaul_checkers::{Unlimited, Verdict, import, linearizable};

#[test]
fn porcupine_etcd_logs_get_the_verdict_of_the_index() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(index) = fs::read_to_string(corpus.join("INDEX.tsv")) else {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return;
    };
    let mut seen = BTreeMap::<bool, u32>::new();
    let mut wrong = Vec::new();
    for line in index.lines().filter(|line| line.contains("\tporcupine etcd log\t")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, expected) = (fields[0], fields[4] == "true");
        let log = fs::read_to_string(corpus.join(path)).unwrap();
        let check = linearizable::check(&import::porcupine::registers(&log).unwrap(), &Unlimited);
        let verdict = check.verdict;
        if (verdict == Verdict::Valid) != expected || verdict == Verdict::Unknown {
            wrong.push(format!("{path}: {verdict:?} {}", check.reason));
        }
        if let Some(evidence) = check.evidence {
            assert!(evidence.minimal && !evidence.ops.is_empty(), "{path}: {evidence:?}");
        }
        *seen.entry(expected).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen.values().all(|n| *n > 10) && seen.len() == 2, "{seen:?}");
    println!("{seen:?} logs by validity, all as the index says");
}
