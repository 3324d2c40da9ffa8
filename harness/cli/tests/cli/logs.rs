//! Lines of the nodes' logs: `--log-pattern`.

use std::fs;
use std::path::Path;

use crate::common::keelhaul;

const HISTORY: &str = r#"{"keelhaul":1,"workload":"register"}
{"index":0,"time":0,"type":"invoke","process":0,"f":"write","value":3}
{"index":1,"time":1,"type":"ok","process":0,"f":"write","value":3}
{"index":2,"time":2,"type":"invoke","process":1,"f":"read","value":null}
{"index":3,"time":3,"type":"ok","process":1,"f":"read","value":3}
"#;

fn run_directory(dir: &Path) {
    let run = dir.join("r");
    for node in ["n1", "n2"] {
        fs::create_dir_all(run.join("nodes").join(node)).unwrap();
    }
    fs::write(run.join("plan.json"), "{}").unwrap();
    fs::write(run.join("history.jsonl"), HISTORY).unwrap();
    fs::write(run.join("nodes/n2/store.log"), "it begins\npanic: slot 7 is taken\n").unwrap();
}

#[test]
fn a_line_that_must_not_be_there_is_a_violation() {
    let dir = tempfile::tempdir().unwrap();
    run_directory(dir.path());
    let plain = keelhaul(dir.path(), "check r");
    assert_eq!(plain.code, 0, "{plain:?}");
    let found = keelhaul(dir.path(), "check r --log-pattern panic|fatal");
    assert_eq!(found.code, 1, "{found:?}");
    let told = "nodes/n2/store.log, line 2: panic: slot 7 is taken";
    assert!(found.stdout.contains(told), "{found:?}");
    let found = keelhaul(dir.path(), "check r --log-pattern panic --format json");
    let json: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(json["anomalies"][0], "log-file-pattern");
    assert_eq!(keelhaul(dir.path(), "check r --log-pattern fatal").code, 0);
    // Without a log there is nothing to say.
    fs::write(dir.path().join("r/nodes/n2/store.log"), "").unwrap();
    assert_eq!(keelhaul(dir.path(), "check r --log-pattern fatal").code, 3);
}

#[test]
fn a_pattern_needs_a_run_and_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    run_directory(dir.path());
    fs::write(dir.path().join("alone.jsonl"), HISTORY).unwrap();
    let alone = keelhaul(dir.path(), "check alone.jsonl --log-pattern panic");
    assert!(alone.code == 64 && alone.stderr.contains("alone.jsonl"), "{alone:?}");
    let wrong = keelhaul(dir.path(), "check r --log-pattern (");
    assert!(wrong.code == 64 && wrong.stderr.contains("regular expression"), "{wrong:?}");
    let plan = keelhaul(dir.path(), "run --dry-run --log-pattern it's");
    assert!(plan.stdout.contains("\"log_pattern\": \"it's\""), "{plan:?}");
}
