//! Histories whose verdicts are known: `check --expect`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ended, keelhaul, skipped};

const GOOD: &str = "{:process 0, :type :invoke, :f :write, :value 3}
{:process 0, :type :ok, :f :write, :value 3}
{:process 1, :type :invoke, :f :read}
{:process 1, :type :ok, :f :read, :value 3}
";

/// The table on a folder with a good history, a bad one and one that is none.
fn expect(table: &str, more: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("h")).unwrap();
    let bad = GOOD.replace(":read, :value 3", ":read, :value 4");
    for (name, text) in [("good.edn", GOOD), ("bad.edn", &bad), ("none.edn", "hello")] {
        fs::write(dir.path().join("h").join(name), text).unwrap();
    }
    fs::write(dir.path().join("t.tsv"), table.replace("    ", "\t")).unwrap();
    keelhaul(dir.path(), &format!("check h --expect t.tsv {more}"))
}

#[test]
fn what_is_found_is_compared_with_what_is_expected() {
    let all = "# a comment

good.edn    --workload register    valid
bad.edn    --workload register    invalid nonlinearizable
bad.edn    --workload register --init 4    valid
none.edn    --workload register    refused
good.edn    --workload register    unknown    valid: the other tool gave up
";
    let ended = expect(all, "");
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let begins: Vec<&str> =
        lines.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(begins, ["agrees", "agrees", "DIFFERS", "agrees", "argued", "5"], "{ended:?}");
    assert!(lines[4].ends_with("good.edn  the other tool gave up"), "{ended:?}");
    assert_eq!(lines[5], "5 histories: 3 agree, 1 argued, 1 differ");
    let fewer: String =
        all.lines().filter(|l| !l.contains("--init")).map(|l| format!("{l}\n")).collect();
    assert_eq!(expect(&fewer, "").code, 0);
    let json = expect(all, "--format json");
    assert_eq!(json.code, 1, "{json:?}");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["verdict"], "invalid");
    assert_eq!(json["checks"][2]["details"]["outcome"], "differs");
    assert_eq!(json["checks"][4]["details"]["found"], "valid");
}

#[test]
fn an_argument_that_is_out_of_date_and_an_anomaly_that_is_not_found_differ() {
    for line in [
        "good.edn    --workload register    valid    invalid: we know better",
        "bad.edn    --workload register    invalid lost-update",
        "none.edn    --workload register    valid",
    ] {
        let ended = expect(line, "");
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stdout.starts_with("DIFFERS"), "{ended:?}");
    }
}

#[test]
fn a_table_that_is_none_is_refused_with_its_line() {
    for (table, sentence) in [
        ("good.edn    --workload register", "t.tsv: line 1: path, flags and verdict must stand"),
        ("\ngood.edn    --workload register    fine", "t.tsv: line 2: a verdict must stand here"),
        ("good.edn    --workload    valid", "line 1: a value is required"),
        ("good.edn    --frob 1    valid", "line 1: unexpected argument '--frob'"),
        ("good.edn    --expect t.tsv    valid", "line 1: a table cannot name another"),
        ("good.edn    --memory all    valid", "line 1: --memory takes"),
        ("absent.edn        valid", "h/absent.edn is not there"),
        ("good.edn        valid    valid: x    y", "line 1: 1 fields too many"),
    ] {
        let ended = expect(table, "");
        assert_eq!(ended.code, 64, "{table}: {ended:?}");
        assert!(ended.stderr.contains(sentence), "{table}: {ended:?}");
    }
    assert_eq!(expect("# nothing\n", "").code, 4);
    let both = expect("", "--workload register");
    assert!(both.code == 64 && both.stderr.contains("--workload"), "{both:?}");
}

/// Parts of the corpus that `check` is held to.
const PARTS: [&str; 7] = [
    "knossos/",
    "knossos-captured/",
    "jepsen-captured/jepsen",
    "elle-cli/",
    "porcupine/",
    "fuzz-etcd/",
    "synthetic-register/",
];

/// Every history of these parts, and what its index says of it, in the words of our table.
fn index(corpus: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let mut index = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if PARTS.iter().any(|part| fields[0].starts_with(part)) {
            index.insert(fields[0].into(), expected(fields[4], fields[5]));
        }
    }
    index
}

/// What made a checker give up or fail was not decided. Of kafka the index tells the anomalies alone.
fn expected(valid: &str, checker: &str) -> String {
    if let Some(anomalies) = checker.strip_prefix("kafka/analysis") {
        let names: Vec<&str> = anomalies.split('\'').skip(1).step_by(2).collect();
        return if names.is_empty() {
            "valid".into()
        } else {
            format!("invalid {}", names.join(", "))
        };
    }
    match valid {
        "true" | "True" => "valid".into(),
        "false" | "False" => "invalid".into(),
        "unknown" | "exception" | "?" => "unknown".into(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_corpus_is_judged_as_its_index_says_or_the_difference_is_argued() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = root.join("../shared/corpus");
    if !corpus.join("INDEX.tsv").exists() {
        return skipped(&format!("no corpus at {}", corpus.display()));
    }
    let table = fs::read_to_string(root.join("checkers/corpus.tsv")).unwrap();
    let mut index = index(&corpus);
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    // Those of transactions are asked for several models, and their anomalies stand in the index in another way.
    let (txns, rows): (Vec<&str>, Vec<&str>) = rows.partition(|row| {
        let of =
            |part: &&str| row.starts_with(part) || row.contains(&format!("\t--workload {part}"));
        ["list-append", "rw-register", "plume/", "veristrong/"].iter().any(of)
    });
    index.retain(|path, _| !txns.iter().any(|row| row.split('\t').next() == Some(path.as_str())));
    let rows = rows.into_iter();
    let mut rows: BTreeMap<&str, &str> = rows
        .map(|row| {
            let fields: Vec<&str> = row.split('\t').collect();
            (fields[0], fields[2])
        })
        .collect();
    for (path, expected) in &index {
        assert_eq!(rows.remove(path.as_str()), Some(expected.as_str()), "{path}");
    }
    assert!(rows.is_empty(), "not of the index: {rows:?}");
    let ended = keelhaul(&root, "check ../shared/corpus --expect checkers/corpus.tsv");
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}
