//! What the names in a verdict mean.

use crate::common::keelhaul;

#[test]
fn models_and_anomalies_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let sequential = keelhaul(dir.path(), "explain sequential");
    assert_eq!(sequential.code, 0, "{sequential:?}");
    for part in [
        "sequential: one order of all operations",
        "Allowed",
        "Forbidden",
        "[write x 1]  [read y nil]",
        "implies       causal-memory, causal-convergence",
        "implied by    strong-session-serializable, linearizable",
        "refuted by    nonsequential",
        "Lamport",
    ] {
        assert!(sequential.stdout.contains(part), "{part:?} is not in {}", sequential.stdout);
    }
    let alias = keelhaul(dir.path(), "explain SC");
    assert_eq!(alias.stdout, sequential.stdout);
    let anomaly = keelhaul(dir.path(), "explain cycliccf");
    assert!(anomaly.stdout.starts_with("CyclicCF: an anomaly"), "{anomaly:?}");
    assert!(anomaly.stdout.contains("refutes       causal-convergence"), "{anomaly:?}");
    assert!(anomaly.stdout.contains("and so also   strict-serializable"), "{anomaly:?}");
}

#[test]
fn without_a_name_there_is_a_list_and_a_wrong_name_gets_near_ones() {
    let dir = tempfile::tempdir().unwrap();
    let list = keelhaul(dir.path(), "explain");
    assert_eq!(list.code, 0, "{list:?}");
    assert!(list.stdout.contains("read-your-writes") && list.stdout.contains("long-fork"));
    let models = keelhaul(dir.path(), "list models");
    assert!(models.stdout.lines().all(|line| list.stdout.contains(line)), "{models:?}");
    assert!(models.stdout.contains("causal-convergence"), "{models:?}");
    let wrong = keelhaul(dir.path(), "explain linearisable");
    assert_eq!(wrong.code, 64, "{wrong:?}");
    assert!(wrong.stderr.contains("did you mean linearizable"), "{wrong:?}");
    assert_eq!(wrong.stderr.lines().count(), 1, "{wrong:?}");
    let far = keelhaul(dir.path(), "explain xyzzy-plugh-42");
    assert!(far.code == 64 && far.stderr.contains("lists them"), "{far:?}");
}

const STALE: &str = "{:type :invoke, :f :write, :value 3, :process 0, :time 10, :index 0}
{:type :ok, :f :write, :value 3, :process 0, :time 20, :index 1}
{:type :invoke, :f :read, :value nil, :process 1, :time 30, :index 2}
{:type :ok, :f :read, :value nil, :process 1, :time 40, :index 3}
";

#[test]
fn a_verdict_names_what_still_stands() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stale.edn"), STALE).unwrap();
    let human = keelhaul(dir.path(), "check stale.edn --workload register");
    assert_eq!(human.code, 1, "the verdict is that of the promise: {human:?}");
    assert!(human.stdout.contains("still:      sequential"), "{}", human.stdout);
    assert!(human.stdout.contains("not:        linearizable"), "{}", human.stdout);
    let json = keelhaul(dir.path(), "check stale.edn --workload register --format json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["strongest"], serde_json::json!(["sequential"]));
    assert_eq!(json["not"], serde_json::json!(["linearizable"]));
    assert_eq!(json["standing"][0]["model"], "sequential");
    assert_eq!(json["standing"][0]["verdict"], "valid");
    let weaker = keelhaul(dir.path(), "check stale.edn --workload register --model sequential");
    assert_ne!(weaker.code, 1, "{weaker:?}");
    let both =
        keelhaul(dir.path(), "check stale.edn --workload register --model sequential,linearizable");
    assert_eq!(both.code, 1, "{both:?}");
}
