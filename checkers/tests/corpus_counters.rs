//! The counters of Jepsen's checkers on what Jepsen's own tests feed them, beside ours, where the corpus is at hand: a
//! directory `shared/corpus` beside the workspace. Verdicts are compared by `keelhaul check --expect`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use keelhaul_checkers::{Check, JudgeRequest, Settings, Unlimited, judge};
use keelhaul_history::{Value, import};

/// Jepsen's checkers, and our workload for each.
const CHECKERS: [(&str, &str); 5] = [
    ("counter", "counter-bounds"),
    ("set-full", "set-full"),
    ("set", "set-final"),
    ("total-queue", "total-queue"),
    ("unique-ids", "unique-ids"),
];

/// Where we count something else: test, counter, Jepsen's number and ours. The element 20 was read though its only `add`
/// had failed.
const DIFFERENCES: [(&str, &str, u64, u64); 2] =
    [("set-test--1", "ok-count", 3, 2), ("set-test--1", "recovered-count", 2, 1)];

/// Counters with another name here. What Jepsen calls lost is what never came out.
const NAMES: [(&str, &str, &str); 1] = [("total-queue", "lost-count", "missing-count")];

fn first_check(path: &Path, workload: &str) -> Check {
    let options =
        (workload == "set-full").then(|| ("linearizable".to_string(), Value::Bool(false)));
    let settings = Settings { options: options.into_iter().collect(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    let file = fs::read(path).unwrap();
    let source = import::open(&file[..], None, import::Options::default()).unwrap();
    judge(source, &request, &Unlimited).unwrap().checks.into_iter().next().unwrap()
}

/// Names and numbers of the counters in a result, written as EDN: `:lost-count 3`.
fn counters(result: &str) -> Vec<(String, u64)> {
    let words: Vec<&str> = result.split([' ', ',', '{', '}']).filter(|w| !w.is_empty()).collect();
    let pairs = words.windows(2).filter(|pair| pair[0].ends_with("-count"));
    pairs.map(|pair| (pair[0].trim_start_matches(':').into(), pair[1].parse().unwrap())).collect()
}

/// How many lists a list of lists has: `:errors [[0 1 0]]`.
fn lists(result: &str, name: &str) -> Option<u64> {
    let rest = result.split(&format!(":{name} [")).nth(1)?;
    let lists = rest.split("]]").next()?;
    Some(if rest.starts_with(']') { 0 } else { lists.matches('[').count() as u64 })
}

/// Percentiles as `0 2, 0.5 2, …`.
fn quantiles(result: &str, name: &str) -> Option<String> {
    Some(result.split(&format!(":{name} {{")).nth(1)?.split('}').next()?.into())
}

fn compare(test: &str, workload: &str, result: &str, check: &Check) -> usize {
    let mut expected = counters(result);
    for (theirs, ours) in [("reads", "read-count"), ("errors", "error-count")] {
        expected.extend(lists(result, theirs).map(|n| (ours.to_string(), n)));
    }
    for (name, theirs) in &expected {
        let renamed = NAMES.iter().find(|(w, n, _)| *w == workload && n == name);
        let name = renamed.map_or(name.as_str(), |(.., ours)| *ours);
        let argued = DIFFERENCES.iter().find(|(t, n, ..)| *t == test && *n == name);
        if let Some((.., jepsens, _)) = argued {
            assert_eq!(jepsens, theirs, "{test}: {name}");
        }
        let ours = argued.map_or(*theirs, |(.., ours)| *ours);
        assert_eq!(check.details.get(name), Some(&ours.into()), "{test}: {name} {check:?}");
    }
    for name in ["stable-latencies", "lost-latencies"] {
        let ours = check.details.get(name).map(|ours| {
            let ours = ours.as_object().unwrap().iter();
            ours.map(|(point, ms)| format!("{point} {ms}")).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(ours, quantiles(result, name), "{test}: {name}");
    }
    expected.len()
}

#[test]
fn counters_are_as_jepsen_has_them() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let captured = corpus.join("jepsen-captured");
    if !captured.exists() {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return;
    }
    let mut seen = 0;
    for file in fs::read_dir(&captured).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(test) =
            name.strip_prefix("jepsen.checker-test_").and_then(|n| n.strip_suffix(".verdict.edn"))
        else {
            continue;
        };
        let verdict = fs::read_to_string(&path).unwrap();
        let checker =
            |(theirs, _): &&(&str, &str)| verdict.contains(&format!("\"jepsen.checker/{theirs}\""));
        let Some((_, workload)) = CHECKERS.iter().find(checker) else { continue };
        let result = verdict.split(":result ").nth(1).unwrap();
        let check =
            first_check(&captured.join(format!("jepsen.checker-test_{test}.edn")), workload);
        seen += compare(test, workload, result, &check);
    }
    assert!(seen > 200, "only {seen} counters");
}
