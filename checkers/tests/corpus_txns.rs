//! Anomalies of transactions in the corpus, as `corpus.tsv` has them, where the corpus is at hand: a directory
//! `shared/corpus` beside the workspace.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use keelhaul_checkers::{JudgeRequest, Unlimited, judge};
use keelhaul_history::{Value, import};

/// Verdict and anomalies, as a word and names.
fn found(file: &Path, workload: &str, flags: &str) -> (String, Vec<String>) {
    let words: Vec<&str> = flags.split_whitespace().collect();
    let of = |flag: &'static str| words.windows(2).filter(move |pair| pair[0] == flag);
    let models = of("--model").map(|pair| pair[1].into());
    let mut request = JudgeRequest { models: models.collect(), ..JudgeRequest::default() };
    request.workload = workload.into();
    for pair in of("--option") {
        let (name, value) = pair[1].split_once('=').unwrap_or((pair[1], "true"));
        request.settings.options.insert(name.into(), Value::from_json(value).unwrap());
    }
    if let Some(pair) = of("--init").next() {
        request.settings.initial = Value::from_json(pair[1]).unwrap();
    }
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
    let mut seen = BTreeMap::<&str, usize>::new();
    for line in table.lines() {
        // Files of transactions by session say what they are.
        let by_session = line.starts_with("plume/") || line.starts_with("veristrong/");
        let of = |workload: &str| line.contains(&format!("\t--workload {workload}"));
        let named = ["list-append", "rw-register", "closed-predicate"];
        let named = named.into_iter().find(|workload| of(workload));
        let Some(workload) = named.or_else(|| by_session.then_some("rw-register")) else {
            continue;
        };
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, flags, expected, ..] = fields[..] else { panic!("{line}") };
        let argued = fields.get(3).map(|argued| argued.split(':').next().unwrap());
        let expected = argued.unwrap_or(expected);
        let (verdict, names) = expected.split_once(' ').unwrap_or((expected, ""));
        if verdict == "refused" {
            continue;
        }
        let (found, anomalies) = found(&corpus.join(path), workload, flags);
        assert_eq!(found, verdict, "{line}: {anomalies:?}");
        for name in names.split(", ").filter(|name| !name.is_empty()) {
            assert!(anomalies.iter().any(|found| found == name), "{line}: {anomalies:?}");
        }
        *seen.entry(workload).or_default() += 1;
    }
    let least = [("list-append", 60), ("rw-register", 280), ("closed-predicate", 14)];
    assert!(least.iter().all(|(workload, least)| seen[workload] > *least), "too few: {seen:?}");
}
