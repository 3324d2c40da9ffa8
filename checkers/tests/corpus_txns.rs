//! Anomalies of transactions in the corpus, as `corpus.tsv` has them, where the corpus is at hand: a directory
//! `shared/corpus` beside the workspace.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use keelhaul_checkers::{JudgeRequest, Unlimited, judge};
use keelhaul_history::import;

/// Verdict and anomalies, as a word and names.
fn found(file: &Path, flags: &str) -> (String, Vec<String>) {
    let words: Vec<&str> = flags.split_whitespace().collect();
    let models = words.windows(2).filter(|pair| pair[0] == "--model").map(|pair| pair[1].into());
    let mut request = JudgeRequest { models: models.collect(), ..JudgeRequest::default() };
    request.workload = "list-append".into();
    let repair = words.contains(&"--repair");
    let options = import::Options { repair, ..import::Options::default() };
    let file = fs::read(file).unwrap();
    let judgement = judge(import::open(&file[..], None, options).unwrap(), &request, &Unlimited);
    let judgement = judgement.unwrap();
    (judgement.verdict.as_str().into(), judgement.anomalies)
}

#[test]
fn anomalies_are_as_recorded_or_argued() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.join("../../shared/corpus");
    if !corpus.exists() {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return;
    }
    let table = fs::read_to_string(here.join("corpus.tsv")).unwrap();
    let mut seen = 0;
    for line in table.lines().filter(|line| line.contains("\t--workload list-append")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, flags, expected, ..] = fields[..] else { panic!("{line}") };
        let argued = fields.get(3).map(|argued| argued.split(':').next().unwrap());
        let expected = argued.unwrap_or(expected);
        let (verdict, names) = expected.split_once(' ').unwrap_or((expected, ""));
        if verdict == "refused" {
            continue;
        }
        let (found, anomalies) = found(&corpus.join(path), flags);
        assert_eq!(found, verdict, "{line}: {anomalies:?}");
        for name in names.split(", ").filter(|name| !name.is_empty()) {
            assert!(anomalies.iter().any(|found| found == name), "{line}: {anomalies:?}");
        }
        seen += 1;
    }
    assert!(seen > 60, "only {seen} histories of lists");
}
