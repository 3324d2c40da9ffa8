//! Evidence of the corpus' invalid histories, where it is at hand: is it invalid, and is it as small as it says? Every
//! operation that is shown is really removed, and what is left is judged again.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use keelhaul_checkers::{Check, Evidence, JudgeRequest, Settings, Unlimited, Verdict, judge};
use keelhaul_history::Value;
use keelhaul_history::import::{self, CAS_MISMATCH, OPTION_CAS_MISMATCH};

/// Parts of the corpus whose invalid histories are looked at, and what their operations mean.
const PARTS: [(&str, &str); 6] = [
    ("fuzz-etcd/", "cas-register"),
    ("knossos/data/cas-register/", "cas-register"),
    ("knossos/data/mutex/", "mutex"),
    ("porcupine/jepsen/", "cas-register"),
    ("porcupine/kv/", "kv"),
    ("synthetic-register/", "cas-register"),
];

/// What an operation that evidence shows did; values as JSON.
#[derive(Clone, Debug, PartialEq)]
enum Shown {
    Found(String),
    Left(String),
    Both(String, String),
    NotFound(String),
}

impl Shown {
    fn parse(label: &str) -> Self {
        let found = label.strip_prefix("read -> ").or_else(|| label.strip_prefix("get -> "));
        let left = label.strip_prefix("write ").or_else(|| label.strip_prefix("put "));
        let missed = label.strip_prefix("cas found no ");
        match (found, left, missed) {
            (Some(value), ..) => Self::Found(value.into()),
            (_, Some(value), _) => Self::Left(value.into()),
            (.., Some(value)) => Self::NotFound(value.into()),
            _ => {
                let (from, to) = label.strip_prefix("cas ").unwrap().split_once(" -> ").unwrap();
                match from {
                    "?" => Self::Left(to.into()),
                    _ => Self::Both(from.into(), to.into()),
                }
            }
        }
    }

    fn left(&self) -> Option<&str> {
        match self {
            Self::Left(value) => Some(value),
            Self::Both(found, value) if found != value => Some(value),
            _ => None,
        }
    }

    /// What counts once nobody leaves `gone` where it did.
    fn without(&self, gone: &str) -> Option<Self> {
        match self {
            Self::Found(value) if value == gone => None,
            Self::Both(found, left) if found == gone => {
                (found != left).then(|| Self::Left(left.clone()))
            }
            Self::NotFound(_) => None,
            other => Some(other.clone()),
        }
    }
}

/// An operation with its interval.
type Placed = (u64, Option<u64>, Shown);

/// The verdict on these operations alone, on a register that holds `initial` at first.
fn verdict(ops: &[Placed], initial: &Value) -> Verdict {
    let mut events: Vec<(u64, String)> = Vec::new();
    for (process, (call, ret, shown)) in ops.iter().enumerate() {
        let (f, argument, result, kind, error) = match shown {
            Shown::Found(value) => ("read", "null".into(), value.clone(), "ok", ""),
            Shown::Left(value) => ("write", value.clone(), value.clone(), "ok", ""),
            Shown::Both(from, to) => {
                let pair = format!("[{from},{to}]");
                ("cas", pair.clone(), pair, "ok", "")
            }
            Shown::NotFound(value) => {
                let pair = format!("[{value},-1]");
                ("cas", pair.clone(), pair, "fail", CAS_MISMATCH)
            }
        };
        let common = format!("\"process\":{process},\"f\":\"{f}\"");
        events.push((*call, format!("\"type\":\"invoke\",{common},\"value\":{argument}")));
        let error =
            if error.is_empty() { String::new() } else { format!(",\"error\":\"{error}\"") };
        if let Some(ret) = ret {
            events.push((*ret, format!("\"type\":\"{kind}\",{common},\"value\":{result}{error}")));
        }
    }
    events.sort();
    let mut text = format!("{{\"keelhaul\":1,\"options\":{{\"{OPTION_CAS_MISMATCH}\":true}}}}\n");
    for (index, (_, event)) in events.iter().enumerate() {
        text += &format!("{{\"index\":{index},\"time\":{index},{event}}}\n");
    }
    linearizable("cas-register", initial, text.as_bytes()).verdict
}

fn linearizable(workload: &str, initial: &Value, file: &[u8]) -> Check {
    let source = import::open(file, None, import::Options::default()).unwrap();
    let settings = Settings { initial: initial.clone(), ..Settings::default() };
    let request = JudgeRequest { workload: workload.into(), settings, ..JudgeRequest::default() };
    let judgement = judge(source, &request, &Unlimited).unwrap();
    judgement.checks.into_iter().find(|check| check.name == "linearizable").unwrap()
}

/// Removes each operation, along with whatever counts for having found what it left.
fn remove_each(evidence: &Evidence, initial: &Value, path: &str) {
    let ops: Vec<Placed> =
        evidence.ops.iter().map(|op| (op.index, op.completion, Shown::parse(&op.label))).collect();
    assert_eq!(verdict(&ops, initial), Verdict::Invalid, "{path}: {ops:?}");
    for gone in 0..ops.len() {
        let value = ops[gone].2.left();
        let rest = ops.iter().enumerate().filter(|(at, _)| *at != gone).filter_map(|(_, op)| {
            let shown = value.map_or_else(|| Some(op.2.clone()), |value| op.2.without(value))?;
            Some((op.0, op.1, shown))
        });
        let rest: Vec<Placed> = rest.collect();
        assert_ne!(
            verdict(&rest, initial),
            Verdict::Invalid,
            "{path}: without {:?} of {ops:?}",
            ops[gone]
        );
    }
}

#[test]
fn without_any_one_operation_the_rest_of_the_evidence_is_valid() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let Ok(index) = fs::read_to_string(corpus.join("INDEX.tsv")) else {
        // Past the test runner, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no corpus at {}", corpus.display());
        return;
    };
    let shipped = index.lines().skip(1).filter_map(|line| {
        let path = line.split('\t').next()?;
        let (_, workload) = PARTS.iter().find(|(part, _)| path.starts_with(part))?;
        Some((path, *workload, Value::Null))
    });
    let captured = CAPTURED.lines().filter_map(captured);
    let (mut minimal, mut admitted) = (0, 0);
    for (path, workload, initial) in shipped.chain(captured) {
        let check = linearizable(workload, &initial, &fs::read(corpus.join(path)).unwrap());
        let Some(evidence) = check.evidence else { continue };
        if evidence.minimal {
            remove_each(&evidence, &initial, path);
            minimal += 1;
        } else {
            let says = evidence.explanation.iter().any(|line| line.contains("not proved minimal"));
            assert!(says, "{path}: {evidence:?}");
            admitted += 1;
        }
    }
    assert!(minimal > 130 && admitted < minimal / 10, "{minimal} minimal, {admitted} not");
}

/// The histories of other tools with the flags that they are judged by.
const CAPTURED: &str = include_str!("../corpus.tsv");

/// A row of registers that Knossos' tests judge: path, workload, what they hold at first.
fn captured(row: &str) -> Option<(&str, &str, Value)> {
    let (path, rest) = row.split_once('\t')?;
    let mut words = rest.split_once('\t')?.0.split(' ');
    let workload = words.nth(1).filter(|workload| workload.ends_with("register"))?;
    let single = path.starts_with("knossos-captured/") && workload != "multi-register";
    let initial = match (words.next(), words.next()) {
        (Some("--init"), Some(initial)) => Value::from_json(initial)?,
        _ => Value::Null,
    };
    single.then_some((path, workload, initial))
}
