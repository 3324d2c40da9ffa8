//! Histories whose verdicts are known: `check --expect`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

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
const PARTS: [&str; 12] = [
    "knossos/",
    "knossos-captured/",
    "jepsen-captured/jepsen",
    "elle/",
    "elle-captured/",
    "elle-cli/",
    "sim/",
    "plume/",
    "veristrong/",
    "porcupine/",
    "fuzz-etcd/",
    "synthetic-register/",
];

/// What the index says of a history: verdict and how it came about.
#[derive(Clone, Copy)]
struct Entry<'a> {
    path: &'a str,
    valid: &'a str,
    what: &'a str,
}

impl<'a> Entry<'a> {
    /// The same in the words of our table, for what a row of it asks. What made a checker give up or fail was not decided.
    fn expected(self, flags: &str) -> String {
        let words: Vec<&str> = flags.split_whitespace().collect();
        let model = words.windows(2).find(|pair| pair[0] == "--model").map(|pair| pair[1]);
        if let Some(anomalies) = self.what.strip_prefix("kafka/analysis") {
            let names: Vec<&str> = anomalies.split('\'').skip(1).step_by(2).collect();
            return finding(names.is_empty(), names);
        }
        if self.path.starts_with("plume/") {
            let level = match model {
                Some("monotonic-atomic-view") => "read-committed",
                Some("transactional-causal") => "causal",
                other => other.expect("rows of Plume's ask for a model"),
            };
            return finding(self.what.contains(&format!("{level}=ok")), Vec::new());
        }
        if self.path.starts_with("sim/") {
            let model = format!("{}: ", model.unwrap_or("strict-serializable"));
            let of_model = self.valid.split(" | ").find_map(|part| part.strip_prefix(&model));
            let (valid, names) = of_model.unwrap().split_once(' ').unwrap();
            return finding(valid == "true", told(names.trim_matches(['[', ']'])));
        }
        match self.valid {
            "true" | "True" => "valid".into(),
            "false" | "False" => finding(false, self.names()),
            "exception" | "?" => "unknown".into(),
            other if other.starts_with("unknown") => "unknown".into(),
            other => panic!("{other}"),
        }
    }

    /// Anomalies of transactions, which stand behind an arrow, or a colon.
    fn names(self) -> Vec<&'a str> {
        let of_transactions = ["list-append", "rw-register", "closed-predicate"]
            .iter()
            .any(|w| self.what.starts_with(w));
        let named = self.what.rsplit_once("-> ").or_else(|| self.what.rsplit_once(": "));
        let Some((_, names)) = named.filter(|_| of_transactions) else { return Vec::new() };
        told(names.split(" not=").next().unwrap_or_default())
    }
}

/// Names of anomalies, without what says only that a search gave up, or had nothing to do.
fn told(names: &str) -> Vec<&str> {
    let names = names.split([',', ' ']).map(|name| name.trim_start_matches(':'));
    let says = |name: &&str| {
        let nothing = ["", "empty-transaction-graph", "cycle-search-timeout"].contains(name);
        !nothing && !name.ends_with("-cycle-exists")
    };
    names.filter(says).collect()
}

/// A verdict and anomalies, in order, in the words of our table.
fn finding(valid: bool, mut names: Vec<&str>) -> String {
    names.sort_unstable();
    let verdict = if valid { "valid" } else { "invalid" };
    format!("{verdict} {}", names.join(", ")).trim().into()
}

/// A finding of the table, its anomalies in order.
fn sorted(finding: &str) -> String {
    let (verdict, names) = finding.split_once(' ').unwrap_or((finding, ""));
    let mut names: Vec<&str> = names.split(", ").collect();
    names.sort_unstable();
    format!("{verdict} {}", names.join(", ")).trim().into()
}

#[test]
fn the_corpus_is_judged_as_its_index_says_or_the_difference_is_argued() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = root.join("../shared/corpus");
    if !corpus.join("INDEX.tsv").exists() {
        return skipped(&format!("no corpus at {}", corpus.display()));
    }
    let index = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let entries = index.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        (fields[0], Entry { path: fields[0], valid: fields[4], what: fields[5] })
    });
    let index: BTreeMap<&str, Entry<'_>> =
        entries.filter(|(path, _)| PARTS.iter().any(|part| path.starts_with(part))).collect();
    let table = fs::read_to_string(root.join("checkers/corpus.tsv")).unwrap();
    let mut missing: BTreeSet<&str> = index.keys().copied().collect();
    for row in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let entry = index.get(fields[0]).unwrap_or_else(|| panic!("not of the index: {row}"));
        missing.remove(fields[0]);
        let (expected, recorded) = (sorted(fields[2]), entry.expected(fields[1]));
        assert!(expected == recorded, "{row}: the index says {recorded}");
    }
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let ended = keelhaul(&root, "check ../shared/corpus --expect checkers/corpus.tsv");
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}
