//! Every file of a corpus of other tools' histories is imported, or refused for a reason that is argued here, where the
//! corpus is at hand: a directory `shared/corpus` beside the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use keelhaul_history::import::{Format, Imported, Options, open_all};
use keelhaul_history::{Kind, ReadError};

/// Nothing, having said so, where there is no corpus.
fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if corpus.join("INDEX.tsv").exists() {
        return Some(corpus);
    }
    // Past the test runner, which keeps what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
    None
}

fn import(path: &Path, repair: bool) -> Result<Imported, ReadError> {
    let bytes = fs::read(path).expect("what the index names is there");
    open_all(&bytes[..], None, Options { repair, ..Options::default() })
}

/// Why a file may be refused: what the error says, by the beginning of the path.
const REFUSED: [(&str, &str); 14] = [
    // Elle's own tests of transactions that are completions alone, or invocations without completions.
    ("elle-captured/elle.list-append-test_checker-test-", "never invoked"),
    ("elle-captured/elle.list-append-test_repeatable-read-test-", "never invoked"),
    ("elle-captured/elle.list-append-test_unobserved-write-test-", "invokes while"),
    ("elle-captured/elle.list-append-test_", "never invoked"),
    ("elle-captured/elle.rw-register-test_checker-test-23.edn", "invokes while"),
    ("elle-captured/elle.rw-register-test_", "never invoked"),
    ("elle/histories/paper-example.edn", "no process"),
    ("elle-cli/histories/custom/comments.edn", "no process"),
    ("elle-cli/histories/jepsen/long-fork.edn", "no process"),
    ("jepsen-captured/jepsen.tests.long-fork-test_checker-test-", "no process"),
    // Jepsen's own tests of checkers that look at completions only.
    ("jepsen-captured/jepsen.checker-test_queue-test-", "never invoked"),
    ("jepsen-captured/jepsen.checker-test_stats-test-", "never invoked"),
    ("jepsen-captured/jepsen.tests.causal-reverse-test_", "invokes while"),
    // Written by hand: index 1 stands twice.
    ("jepsen-captured/jepsen.tests.kafka-test_poll-skip-test-", "index 1 follows index 1"),
];

#[derive(Debug, Default, PartialEq)]
struct Seen {
    imported: u32,
    refused: u32,
}

#[test]
fn every_history_is_imported_or_refused_for_a_reason() {
    let Some(corpus) = corpus() else { return };
    let index = fs::read_to_string(corpus.join("INDEX.tsv")).unwrap();
    let (mut seen, mut wrong) = (BTreeMap::<String, Seen>::new(), Vec::new());
    for line in index.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let path = fields[0];
        let seen = seen.entry(path.split('/').next().unwrap().into()).or_default();
        let imported = match import(&corpus.join(path), false) {
            Ok(imported) => {
                seen.imported += 1;
                imported
            }
            Err(error) => {
                seen.refused += 1;
                let error = error.to_string();
                let argued = REFUSED
                    .iter()
                    .any(|(begin, reason)| path.starts_with(begin) && error.contains(reason));
                if !argued {
                    wrong.push(format!("{path}: {error}"));
                }
                match import(&corpus.join(path), true) {
                    Ok(repaired) if !repaired.notes.is_empty() => repaired,
                    Ok(_) => {
                        wrong.push(format!("{path}: repaired without a note"));
                        continue;
                    }
                    Err(error) => {
                        wrong.push(format!("{path}: not even repaired: {error}"));
                        continue;
                    }
                }
            }
        };
        if let Ok(expected) = fields[3].parse::<usize>() {
            let count = count_in_file(&imported);
            if count != expected {
                wrong.push(format!("{path}: {count} of {expected} ops"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let count = |part: &str| seen.get(part).map_or((0, 0), |s| (s.imported, s.refused));
    for (part, expected) in [
        ("knossos", (75, 0)),
        ("knossos-captured", (235, 0)),
        ("jepsen-captured", (114, 12)),
        ("elle-cli", (16, 2)),
        ("elle-captured", (47, 49)),
        ("elle", (2, 1)),
        ("porcupine", (63, 0)),
        ("fuzz-etcd", (200, 0)),
        ("synthetic-register", (16, 0)),
        ("sim", (5, 0)),
        ("plume", (74, 0)),
        ("veristrong", (40, 0)),
    ] {
        assert_eq!(count(part), expected, "{part}");
    }
}

/// How many ops the file had: those that were dropped too, those that were added not.
fn count_in_file(imported: &Imported) -> usize {
    let noted = |word: &str| -> usize {
        let notes = imported.notes.iter().filter(|note| note.contains(word));
        notes.filter_map(|note| note.split('×').next()?.parse::<usize>().ok()).sum()
    };
    imported.ops.len() + noted("dropped") - noted("had no invocation")
}

#[test]
fn a_history_is_the_same_in_edn_and_in_json() {
    let Some(corpus) = corpus() else { return };
    let twins = [
        ("elle-cli/histories/jepsen/bank", "elle-cli/histories/jepsen/bank"),
        ("elle-cli/histories/jepsen/counter", "elle-cli/histories/jepsen/counter"),
        ("elle-cli/histories/jepsen/set_full", "elle-cli/histories/jepsen/set_full"),
        ("elle-cli/histories/elle/paper-example", "elle-cli/histories/elle/paper-example"),
        ("elle-cli/histories/elle/rw-register", "elle-cli/histories/elle/rw-register"),
        ("knossos/data/mutex/bad/etcd", "elle-cli/histories/knossos/mutex/bad/etcd"),
    ];
    for (edn, json) in twins {
        let edn = import(&corpus.join(edn).with_extension("edn"), false).unwrap();
        let json = import(&corpus.join(json).with_extension("json"), false).unwrap();
        assert!(!edn.ops.is_empty());
        assert_eq!(edn.ops, json.ops);
    }
}

#[test]
fn what_porcupine_calls_failed_is_a_promise() {
    let Some(corpus) = corpus() else { return };
    let log = import(&corpus.join("porcupine/jepsen/etcd_000.log"), false).unwrap();
    assert_eq!(log.header.options.get("cas-mismatch"), Some(true.into()));
    assert_eq!(log.header.options.get("imported"), Some(Format::PorcupineEtcd.as_str().into()));
    let failed = |f: &str, error: Option<&str>| {
        let ops = log.ops.iter();
        ops.filter(|op| op.kind == Kind::Fail && op.f.as_str() == f && op.error.as_deref() == error)
            .count()
    };
    assert!(failed("cas", Some("cas mismatch")) > 0);
    assert_eq!(failed("cas", None) + failed("read", Some("cas mismatch")), 0);
}
