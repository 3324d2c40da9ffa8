//! Verdicts on what Jepsen's own tests feed its checkers of long-fork, causal-reverse and kafka, where the corpus is at hand:
//! a directory `shared/corpus` beside the workspace.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod edn;
mod kafka;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use keelhaul_checkers::{Check, JudgeRequest, Settings, Unlimited, Verdict, judge};
use keelhaul_history::{Value, import};

fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if !corpus.join("INDEX.tsv").exists() {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return None;
    }
    Some(corpus)
}

/// The first check of a file. Some of these histories lack processes, or use one twice at once; that is repaired.
fn first_check(path: &PathBuf, workload: &str, options: &[(&str, Value)]) -> Check {
    let options = options.iter().map(|(name, value)| ((*name).into(), value.clone()));
    let settings = Settings { options: options.collect(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    let file = fs::read(path).unwrap();
    let source =
        import::open(&file[..], None, import::Options { repair: true, ..Default::default() })
            .unwrap();
    let judgement = judge(source, &request, &Unlimited);
    let judgement = judgement.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    judgement.checks.into_iter().next().unwrap()
}

#[test]
fn long_forks_and_causal_reverses_are_as_in_the_index() {
    let Some(corpus) = corpus() else { return };
    let index = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let mut seen = BTreeMap::<&str, usize>::new();
    for line in index.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let workload = ["long-fork", "causal-reverse"].into_iter().find(|w| fields[0].contains(w));
        let Some(workload) = workload else { continue };
        let check = first_check(&corpus.join(fields[0]), workload, &[]);
        // Where nothing could have gone wrong, Jepsen says valid.
        let expected: &[Verdict] = match fields[4] {
            "True" | "true" => &[Verdict::Valid, Verdict::Vacuous],
            _ => &[Verdict::Invalid],
        };
        assert!(expected.contains(&check.verdict), "{}: {check:?}", fields[0]);
        *seen.entry(workload).or_default() += 1;
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [("causal-reverse", 6), ("long-fork", 2)]);
}
