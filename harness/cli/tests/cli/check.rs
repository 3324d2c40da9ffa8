//! Histories from elsewhere.

use crate::common::keelhaul;

const GOOD: &str = "{:type :invoke, :f :write, :value 3, :process 0, :time 10, :index 0}
{:type :ok, :f :write, :value 3, :process 0, :time 20, :index 1}
{:type :invoke, :f :read, :value nil, :process 1, :time 30, :index 2}
{:type :ok, :f :read, :value 3, :process 1, :time 40, :index 3}
{:type :invoke, :f :cas, :value [3 4], :process 0, :time 50, :index 4}
{:type :ok, :f :cas, :value [3 4], :process 0, :time 60, :index 5}
";

#[test]
fn one_file_of_another_tool() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.edn"), GOOD).unwrap();
    let unnamed = keelhaul(dir.path(), "check good.edn");
    assert_eq!(unnamed.code, 64, "{unnamed:?}");
    assert!(unnamed.stderr.contains("--workload"), "{unnamed:?}");
    let good = keelhaul(dir.path(), "check good.edn --workload cas-register");
    assert_eq!(good.code, 0, "{good:?}");
    let model = keelhaul(dir.path(), "check good.edn --workload cas-register --model telepathy");
    assert!(model.code == 64 && model.stderr.contains("telepathy"), "{model:?}");
    let kind =
        keelhaul(dir.path(), "check good.edn --workload cas-register --input porcupine-etcd");
    assert!(kind.code == 64 && kind.stderr.contains("good.edn"), "{kind:?}");
}

#[test]
fn a_folder_is_a_table_and_ends_with_the_worst() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("h")).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(dir.path().join("h").join(name), text).unwrap();
    write("a.edn", GOOD);
    write("b.edn", &GOOD.replace(":ok, :f :read, :value 3", ":ok, :f :read, :value 7"));
    write("c.md", "not a history, and not named like one");
    let table = keelhaul(dir.path(), "check h --workload cas-register");
    assert_eq!(table.code, 1, "{table:?}");
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("valid") && lines[1].starts_with("invalid"),
        "{table:?}"
    );
    let json = keelhaul(dir.path(), "check h --workload cas-register --format json");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[1]["verdict"], "invalid");
    assert!(json[1]["path"].as_str().unwrap().ends_with("b.edn"));

    write("d.edn", &GOOD.replace(":type :ok, :f :write", ":type :invoke, :f :write"));
    let broken = keelhaul(dir.path(), "check h --workload cas-register");
    assert_eq!(
        broken.code, 1,
        "a proved violation wins over a file that cannot be read: {broken:?}"
    );
    assert!(broken.stderr.contains("d.edn") && broken.stderr.contains("line 2"), "{broken:?}");
    let repaired = keelhaul(dir.path(), "check h/d.edn --workload cas-register --repair");
    assert!(repaired.stderr.contains("note: "), "{repaired:?}");

    std::fs::create_dir(dir.path().join("nothing")).unwrap();
    let nothing = keelhaul(dir.path(), "check nothing");
    assert!(nothing.code == 64 && nothing.stderr.contains("holds no history"), "{nothing:?}");
}

#[test]
fn a_folder_of_cobras_logs_is_one_history() {
    let dir = tempfile::tempdir().unwrap();
    let log = |name: &str, entries: &[(u8, &[u64])]| {
        let bytes = entries.iter().flat_map(|(letter, numbers)| {
            [*letter].into_iter().chain(numbers.iter().flat_map(|n| n.to_be_bytes()))
        });
        std::fs::write(dir.path().join(name), bytes.collect::<Vec<u8>>()).unwrap();
    };
    log("T1.log", &[(b'S', &[1]), (b'W', &[7, 3, 0]), (b'C', &[1])]);
    log("T2.log", &[(b'S', &[2]), (b'R', &[1, 7, 3, 0]), (b'C', &[2])]);
    let json = keelhaul(dir.path(), "check . --workload stats --format json");
    let judgement: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(judgement["verdict"], "valid", "{json:?}");
    let cut = std::fs::read(dir.path().join("T2.log")).unwrap();
    std::fs::write(dir.path().join("T2.log"), &cut[..cut.len() - 1]).unwrap();
    let broken = keelhaul(dir.path(), "check . --workload stats");
    assert!(broken.code == 64 && broken.stderr.contains("not a log of Cobra's"), "{broken:?}");
    let none = keelhaul(dir.path(), "check empty --input cobra");
    assert!(none.code == 64, "{none:?}");
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let none = keelhaul(dir.path(), "check empty --input cobra");
    assert!(none.code == 64 && none.stderr.contains("no log of a session"), "{none:?}");
}
