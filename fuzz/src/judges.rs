//! What must hold of every decision procedure: it says what trying all orders says; a history of an object that does as
//! it should is never invalid; stronger models imply weaker ones; evidence that is called minimal is; nothing panics.

use std::sync::atomic::{AtomicU32, Ordering};

use keelhaul_checkers::models::Model;
use keelhaul_checkers::{
    Budget, Exhausted, JudgeError, JudgeRequest, Judgement, Settings, Verdict, judge, workload,
    workloads,
};
use keelhaul_history::import::{Options, open};
use keelhaul_history::{Reader, Value};

use crate::Told;
use crate::bytes::Bytes;
use crate::events::{History, Op, Shape, history};
use crate::oracle::{Respect, has_order};
use crate::spec::{KEYS, OBJECTS};

/// Ends a search after some thousand steps each time it is asked, so that no input takes long.
#[derive(Default)]
struct Patience(AtomicU32);

impl Budget for Patience {
    fn spent(&self, bytes: usize) -> Option<Exhausted> {
        const ASKED_MAX: u32 = 500;
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        (asked > ASKED_MAX || bytes > 100 << 20).then_some(Exhausted::Time)
    }
}

fn judged(file: &str, workload: &str, models: &[&str]) -> Judgement {
    let request = JudgeRequest {
        workload: workload.into(),
        models: models.iter().map(ToString::to_string).collect(),
        ..JudgeRequest::default()
    };
    let reader = Reader::new(file.as_bytes()).expect("it is right");
    let judgement = judge(reader, &request, &Patience::default());
    let judgement = judgement.unwrap_or_else(|error| panic!("{error:?}\n{file}"));
    nothing_panicked(&judgement, file);
    judgement
}

fn nothing_panicked(judgement: &Judgement, file: &str) {
    for check in &judgement.checks {
        assert!(!check.reason.contains("panicked"), "{}\n{file}", check.reason);
    }
}

/// Registers against all orders.
pub fn registers(bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let shape = small_shape(&mut bytes, "cas-register");
    let history = history(&mut bytes, shape);
    compare(&history, shape.object)
}

/// Every object against all orders.
pub fn objects(bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let object = bytes.one_of(&OBJECTS);
    let shape = small_shape(&mut bytes, object);
    let history = history(&mut bytes, shape);
    compare(&history, shape.object)
}

fn small_shape(bytes: &mut Bytes<'_>, object: &'static str) -> Shape {
    Shape {
        object,
        ops_max: 4 + bytes.below(6),
        clients: 2 + bytes.below(3),
        keys: 1 + bytes.below(KEYS),
        lies: bytes.one_of(&[60, 0, 20, 255]),
        unique: bytes.next().is_multiple_of(2),
    }
}

fn compare(history: &History, object: &str) -> Told {
    let judgement = judged(&history.file, object, &[]);
    let check = &judgement.checks[0];
    let expected = has_order(object, &history.ops, Respect::RealTime);
    match check.verdict {
        Verdict::Valid => assert!(expected, "said to be valid:\n{}", history.file),
        Verdict::Invalid => assert!(!expected, "said to be invalid:\n{}", history.file),
        Verdict::Unknown | Verdict::Vacuous => panic!("{}\n{}", check.reason, history.file),
    }
    if expected {
        return "valid";
    }
    let evidence = check.evidence.as_ref().expect("what is invalid has evidence");
    assert!(!evidence.ops.is_empty(), "{}", history.file);
    // Evidence on containers and sets leaves elements out of what it shows, so that it is no part of the history.
    if !["cas-register", "kv", "counter", "mutex", "fenced-mutex"].contains(&object) {
        return "invalid";
    }
    let shown = |op: &&Op| evidence.ops.iter().any(|shown| shown.index == op.call as u64);
    let shown: Vec<Op> = history.ops.iter().filter(shown).cloned().collect();
    assert!(!has_order(object, &shown, Respect::RealTime), "{evidence:?}\n{}", history.file);
    // Of registers, which texts without appends are too, an operation is left out along with what found its value.
    let minimal = evidence.minimal && !["cas-register", "kv"].contains(&object);
    for left_out in (0..shown.len()).filter(|_| minimal) {
        let mut fewer = shown.clone();
        fewer.remove(left_out);
        assert!(has_order(object, &fewer, Respect::RealTime), "{evidence:?}\n{}", history.file);
    }
    "invalid"
}

/// Longer histories of objects that do as they should, a violation in none.
pub fn honest(bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let shape = Shape {
        object: bytes.one_of(&OBJECTS),
        ops_max: 150,
        clients: 2 + bytes.below(7),
        keys: 1 + bytes.below(KEYS),
        lies: 0,
        unique: bytes.next().is_multiple_of(2),
    };
    let history = history(&mut bytes, shape);
    let judgement = judged(&history.file, shape.object, &[]);
    let verdict = judgement.checks[0].verdict;
    assert_ne!(verdict, Verdict::Invalid, "{}\n{}", judgement.checks[0].reason, history.file);
    verdict.as_str()
}

/// Models of registers: each implies those below it, and what is sequential has an order that respects processes.
pub fn models(bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let shape = small_shape(&mut bytes, "cas-register");
    let history = history(&mut bytes, shape);
    let names = workload(shape.object).expect("a workload").models;
    let judgement = judged(&history.file, shape.object, names);
    let found = |name: &str| {
        let check = judgement.checks.iter().find(|check| check.name == name);
        check.unwrap_or_else(|| panic!("{name} was not decided")).verdict
    };
    for stronger in names.iter().filter_map(|name| Model::by_name(name)) {
        for weaker in names.iter().filter_map(|name| Model::by_name(name)) {
            let verdicts = (found(stronger.name()), found(weaker.name()));
            let contradicts = verdicts == (Verdict::Valid, Verdict::Invalid);
            assert!(
                !(stronger.implies(weaker) && contradicts),
                "{} but not {}\n{}",
                stronger.name(),
                weaker.name(),
                history.file
            );
        }
    }
    let sequential = has_order(shape.object, &history.ops, Respect::Processes);
    match found(Model::Sequential.name()) {
        Verdict::Valid => assert!(sequential, "said to be sequential:\n{}", history.file),
        Verdict::Invalid => assert!(!sequential, "said not to be:\n{}", history.file),
        Verdict::Unknown | Verdict::Vacuous => {}
    }
    if sequential { "sequential" } else { "not sequential" }
}

/// Functions of any workload, and some of none.
const FUNCTIONS: [&str; 24] = [
    "read",
    "write",
    "cas",
    "add",
    "enqueue",
    "dequeue",
    "drain",
    "acquire",
    "release",
    "txn",
    "send",
    "poll",
    "transfer",
    "generate",
    "insert",
    "delete-min",
    "push",
    "pop",
    "get",
    "put",
    "append",
    "assign",
    "subscribe",
    "crash",
];

/// Values of any workload, and some of none.
const VALUES: [&str; 24] = [
    "null",
    "0",
    "1",
    "2",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "true",
    "\"a\"",
    "\"\"",
    "[]",
    "[1,2]",
    "[1,1]",
    "[[\"w\",0,1]]",
    "[[\"r\",0,null],[\"r\",1,null]]",
    "[[\"r\",0,1],[\"r\",1,2]]",
    "[[\"send\",\"x\",[1,\"a\"]]]",
    "[[\"send\",\"x\",\"a\"]]",
    "[[\"poll\",{\"x\":[[1,\"a\"],[2,\"b\"]]}]]",
    "[[\"poll\"]]",
    "{\"0\":10,\"1\":-5}",
    "{\"from\":0,\"to\":1,\"amount\":5}",
    "[[1,[2]],null]",
    "{\"a\":{\"b\":[1]}}",
];

/// A function of a workload, with values that fit it: of its invocation, and of its completion.
type Word = (&'static str, &'static [&'static str], &'static [&'static str]);

const NULL: &[&str] = &["null"];
const ELEMENTS: &[&str] = &["0", "1", "2"];
const READS: &[&str] = &["[]", "[0]", "[1]", "[0,1]", "[0,1,2]", "[0,0]"];

/// Workloads that have no oracle here, with their words.
const WORDS: [(&str, &[Word]); 11] = [
    ("set-final", &[("add", ELEMENTS, ELEMENTS), ("read", NULL, READS)]),
    ("set-full", &[("add", ELEMENTS, ELEMENTS), ("read", NULL, READS)]),
    ("counter-bounds", &[("add", ELEMENTS, ELEMENTS), ("read", NULL, ELEMENTS)]),
    ("unique-ids", &[("generate", NULL, ELEMENTS)]),
    (
        "queue-sources",
        &[("enqueue", ELEMENTS, ELEMENTS), ("dequeue", NULL, ELEMENTS), ("drain", NULL, READS)],
    ),
    (
        "total-queue",
        &[("enqueue", ELEMENTS, ELEMENTS), ("dequeue", NULL, ELEMENTS), ("drain", NULL, READS)],
    ),
    ("lock", &[("acquire", NULL, ELEMENTS), ("release", NULL, NULL)]),
    (
        "bank",
        &[
            ("transfer", &["{\"from\":0,\"to\":1,\"amount\":5}"], &["null"]),
            (
                "read",
                NULL,
                &["{\"0\":10,\"1\":0}", "{\"0\":5,\"1\":5}", "{\"0\":15,\"1\":-5}", "{}"],
            ),
        ],
    ),
    (
        "long-fork",
        &[
            ("write", &["[[\"w\",0,1]]", "[[\"w\",1,1]]"], &["[[\"w\",0,1]]"]),
            (
                "read",
                &["[[\"r\",0,null],[\"r\",1,null]]"],
                &[
                    "[[\"r\",0,1],[\"r\",1,null]]",
                    "[[\"r\",0,null],[\"r\",1,1]]",
                    "[[\"r\",0,1],[\"r\",1,1]]",
                ],
            ),
        ],
    ),
    ("causal-reverse", &[("write", ELEMENTS, ELEMENTS), ("read", NULL, READS)]),
    (
        "kafka",
        &[
            (
                "send",
                &["[[\"send\",\"x\",\"a\"]]", "[[\"send\",\"x\",\"b\"]]"],
                &["[[\"send\",\"x\",[0,\"a\"]]]", "[[\"send\",\"x\",[1,\"b\"]]]"],
            ),
            (
                "poll",
                &["[[\"poll\"]]"],
                &[
                    "[[\"poll\",{\"x\":[[0,\"a\"],[1,\"b\"]]}]]",
                    "[[\"poll\",{\"x\":[[1,\"a\"]]}]]",
                    "[[\"poll\",{}]]",
                ],
            ),
            ("assign", &["[\"x\"]"], &["[\"x\"]"]),
        ],
    ),
];

/// A file of events: of this workload's words, but for a few that fit nothing if `wild`.
fn events(bytes: &mut Bytes<'_>, words: &[Word], wild: bool) -> String {
    let mut file = String::new();
    let mut open: [Option<Word>; 4] = [None; 4];
    for index in 0..60 {
        if bytes.0.is_empty() {
            break;
        }
        let process = bytes.below(open.len());
        let (kind, word, values) = match open[process].take() {
            Some(word) => (bytes.one_of(&["ok", "ok", "ok", "ok", "fail", "info"]), word, word.2),
            None => {
                let mut word = bytes.one_of(words);
                if wild && bytes.chance(30) {
                    word.0 = bytes.one_of(&FUNCTIONS);
                }
                open[process] = Some(word);
                ("invoke", word, word.1)
            }
        };
        let any = wild && bytes.chance(30);
        let value = if any { bytes.one_of(&VALUES) } else { bytes.one_of(values) };
        let key = if any { format!(",\"key\":{}", bytes.one_of(&VALUES)) } else { String::new() };
        file += &format!(
            "{{\"process\":{process},\"type\":\"{kind}\",\"f\":\"{}\",\"time\":{index}{key},\"value\":{value}}}\n",
            word.0
        );
    }
    file
}

/// Every workload on events that fit it, or nearly: an answer or an error, and no panic.
pub fn any_workload(bytes: &[u8]) -> Told {
    let mut bytes = Bytes(bytes);
    let (name, words) = bytes.one_of(&WORDS);
    let all: Vec<&str> = workloads().map(|workload| workload.name).collect();
    let wild = bytes.chance(80);
    let name = if wild { bytes.one_of(&all) } else { name };
    let workload = workload(name).expect("one of them");
    let file = events(&mut bytes, words, wild);
    let models = workload.models.iter().map(ToString::to_string).collect();
    let initial = Value::from_json(bytes.one_of(&["null", "0", "{\"x\":1}"])).expect("JSON");
    let settings = Settings { initial, ..Settings::default() };
    let request = JudgeRequest {
        workload: workload.name.into(),
        models,
        settings,
        requested_faults: Vec::new(),
    };
    let source = open_any(&file);
    match judge(source, &request, &Patience::default()) {
        Ok(judgement) => {
            nothing_panicked(&judgement, &file);
            consistent(&judgement, &file);
            judgement.checks[0].verdict.as_str()
        }
        Err(JudgeError::Columns { line, .. }) => {
            assert!(line <= file.lines().count() as u64, "line {line}\n{file}");
            "refused"
        }
        Err(JudgeError::Option(..)) => "refused",
        Err(error) => panic!("{error:?}\n{file}"),
    }
}

fn open_any(file: &str) -> impl keelhaul_history::import::OpSource {
    open(file.as_bytes(), None, Options::default()).expect("it is of a kind that is known")
}

/// What an answer says must fit together.
fn consistent(judgement: &Judgement, file: &str) {
    let worst = judgement.checks.iter().map(|check| check.verdict).max();
    assert_eq!(Some(judgement.verdict), worst, "{file}");
    for check in &judgement.checks {
        assert!(!check.reason.is_empty(), "{}\n{file}", check.name);
        let invalid = check.verdict == Verdict::Invalid;
        assert!(invalid || check.evidence.is_none(), "{check:?}\n{file}");
        assert_eq!(invalid, !check.anomalies.is_empty(), "{check:?}\n{file}");
    }
}
