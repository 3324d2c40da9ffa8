//! Kinds of errors and what each case says, as in what Jepsen's own tests got of its analysis.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use keelhaul_checkers::{Check, Verdict};
use serde_json::{Value, json};

use super::{corpus, edn, first_check};

/// What one kind has: a text a case.
type Errors = BTreeMap<String, BTreeSet<String>>;

#[test]
fn errors_of_kafka_are_as_jepsen_found_them() {
    let Some(corpus) = corpus() else { return };
    let files = fs::read_dir(corpus.join("jepsen-captured")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_kafka = |path: &std::path::PathBuf| {
        let name = path.to_string_lossy();
        name.contains("kafka-test_") && !name.ends_with(".verdict.edn")
    };
    let mut seen = 0;
    for path in paths.filter(is_kafka) {
        compare(&path);
        seen += 1;
    }
    assert!(seen >= 71, "{seen}");
}

fn compare(path: &Path) {
    let verdict = edn::read(&fs::read_to_string(path.with_extension("verdict.edn")).unwrap());
    let ww = verdict["checker-args"].as_str().unwrap().contains(":ww-deps true");
    let check = first_check(&path.to_path_buf(), "kafka", &[("ww-deps", ww.into())]);
    let positions = positions(path);
    let mut expected = Errors::new();
    for (kind, cases) in verdict["result"]["errors"].as_object().unwrap() {
        let single = [cases.clone()];
        for case in cases.as_array().map_or(&single[..], |cases| &cases[..]) {
            let told = theirs(kind, case, &positions);
            expected.entry(kind.clone()).or_default().extend(told);
        }
    }
    let name = path.file_name().unwrap().to_string_lossy();
    if expected.remove("empty-transaction-graph").is_some() {
        // Jepsen calls it an error that no transaction depends on another; nothing was broken.
        assert_eq!(check.details["transactions-depend"], false, "{name}");
    }
    not_unseen(&name, &mut expected);
    let mut found = ours(&check);
    for (kind, cases) in expected.iter_mut().filter(|(kind, _)| kind.ends_with("-realtime")) {
        // Of several shortest cycles, any will do.
        let found = found.get_mut(kind).unwrap();
        let types = |case: &String| {
            let case: Value = serde_json::from_str(case).unwrap();
            let steps = case["steps"].as_array().unwrap().clone();
            let types = steps.iter().map(|step| step.as_str().unwrap().split(' ').next().unwrap());
            types.collect::<Vec<_>>().join(" ")
        };
        *found = found.iter().map(types).collect();
        *cases = cases.iter().map(types).collect();
    }
    assert_eq!(found, expected, "{name}: {:?}", check.details);
    let lag = check.details["worst-lags"]
        .as_array()
        .unwrap()
        .first()
        .map_or(0, |lag| lag["lag-ns"].as_i64().unwrap());
    assert_eq!(json!(lag), verdict["result"]["worst-realtime-lag"]["lag"], "{name}");
    let bad = !check.anomalies.is_empty();
    assert_eq!(check.verdict == Verdict::Invalid, bad, "{name}: {check:?}");
    assert_eq!(check.evidence.is_some_and(|evidence| !evidence.ops.is_empty()), bad, "{name}");
}

/// Jepsen counts as unseen what was polled of a key before anything that was sent to it was acknowledged.
fn not_unseen(name: &str, expected: &mut Errors) {
    let polled = [
        ("_g1a-test", r#"{"key":"x","messages":[2]}"#),
        ("_lost-write-test-5", r#"{"key":"y","messages":["c"]}"#),
        ("_lost-write-test-6", r#"{"key":"y","messages":["c"]}"#),
        ("_lost-write-test-7", r#"{"key":"y","messages":["c"]}"#),
        ("_lost-write-test-8", r#"{"key":"y","messages":["c"]}"#),
        ("_inconsistent-offsets-test-3", r#"{"key":"y","messages":[1]}"#),
        ("_inconsistent-offsets-test-4", r#"{"key":"y","messages":[1]}"#),
        ("_int-nonmonotonic-send-test", r#"{"key":"y","messages":["b","c","d"]}"#),
    ];
    for (_, case) in polled.iter().filter(|(part, _)| name.contains(part)) {
        let unseen = expected.get_mut("unseen").unwrap();
        assert!(unseen.remove(*case), "{name}: {case}");
        if unseen.is_empty() {
            expected.remove("unseen");
        }
    }
}

/// By index and type of an event as the file says them: its place in the file.
fn positions(path: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(path).unwrap();
    let mut positions = BTreeMap::new();
    for (at, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        positions.entry(event(&edn::read(line))).or_insert(at);
    }
    positions
}

fn event(op: &Value) -> String {
    format!("{} {}", op["index"], op["type"])
}

/// Fields by name, with events and sets made comparable.
fn theirs(kind: &str, case: &Value, positions: &BTreeMap<String, usize>) -> Vec<String> {
    let op = |op: &Value| json!(positions[&event(op)]);
    if kind == "unseen" {
        let messages = case["messages"].as_object().unwrap().iter();
        let told = messages.map(|(key, messages)| json!({"key": key, "messages": messages}));
        return told.map(|told| told.to_string()).collect();
    }
    let mut told = serde_json::Map::new();
    for (name, value) in case.as_object().into_iter().flatten() {
        let value = match name.as_str() {
            "writer" | "reader" | "max-read" | "op" => op(value),
            "ops" => value.as_array().unwrap().iter().map(op).collect(),
            "values" if kind == "inconsistent-offsets" => sorted(value),
            "scc" => {
                // An op in a component is named by its index alone; it completed.
                let place = |index: &Value| {
                    let mut kinds = ["ok", "info"].iter();
                    kinds.find_map(|kind| positions.get(&format!("{index} \"{kind}\""))).unwrap()
                };
                let mut scc: Vec<usize> =
                    value.as_array().unwrap().iter().map(place).copied().collect();
                scc.sort_unstable();
                json!(scc)
            }
            "cycle" => {
                let ops: BTreeSet<_> =
                    value.as_array().unwrap().iter().map(|o| op(o).to_string()).collect();
                json!(ops)
            }
            "steps" => json!(value.as_array().unwrap().iter().map(step).collect::<BTreeSet<_>>()),
            "type" | "not" | "subgraph" => continue,
            _ => value.clone(),
        };
        told.insert(name.clone(), value);
    }
    vec![text(told)]
}

fn sorted(list: &Value) -> Value {
    let mut list = list.as_array().unwrap().clone();
    list.sort_by_key(ToString::to_string);
    list.into()
}

/// What a step of either side says.
fn step(step: &Value) -> String {
    let values = match (&step["values"], &step["value'"]) {
        (Value::Null, Value::Null) => step["value"].clone(),
        (Value::Null, next) => json!([step["value"], next]),
        (values, _) => values.clone(),
    };
    format!("{} {} {values}", step["type"], step["key"])
}

fn ours(check: &Check) -> Errors {
    let mut errors = Errors::new();
    for (kind, error) in check.details["errors"].as_object().unwrap() {
        let cases = error["cases"].as_array().unwrap();
        let told = cases.iter().map(|case| told(kind, case)).collect();
        errors.insert(kind.clone(), told);
    }
    errors
}

/// One of our cases with the fields that Jepsen has.
fn told(kind: &str, case: &Value) -> String {
    let mut case = case.as_object().unwrap().clone();
    match kind {
        "unseen" => {
            let messages = sorted(&case["messages"]);
            case.insert("messages".into(), messages);
        }
        "inconsistent-offsets" => {
            let values = sorted(&case["values"]);
            case.insert("values".into(), values);
        }
        "poll-skip" => {
            case.remove("values");
        }
        "nonmonotonic-poll" | "nonmonotonic-send" => {
            case.remove("skipped");
        }
        _ if kind.starts_with("int-") => {
            let op = case.remove("ops").unwrap()[0].clone();
            case.insert("op".into(), op);
            if kind.contains("nonmonotonic") {
                case.remove("skipped");
            }
        }
        _ if kind.ends_with("-cycle-exists") => {
            let mut scc = case["scc"].as_array().unwrap().clone();
            scc.sort_by_key(Value::as_u64);
            case.insert("scc".into(), scc.into());
        }
        _ if case.contains_key("steps") => {
            assert_eq!(case.remove("shortest"), Some(true.into()));
            let steps = case["steps"].as_array().unwrap().clone();
            let ops: BTreeSet<_> = steps.iter().map(|step| step["from"].to_string()).collect();
            case.insert("cycle".into(), json!(ops));
            case.insert("steps".into(), json!(steps.iter().map(step).collect::<BTreeSet<_>>()));
        }
        _ => {}
    }
    text(case)
}

/// With the fields in order.
fn text(case: serde_json::Map<String, Value>) -> String {
    json!(case.into_iter().collect::<BTreeMap<_, _>>()).to_string()
}
