//! Histories of every object in a short notation, through the one entry; and an object of a user's own.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod notation;

use keelhaul_checkers::columns::NEVER;
use keelhaul_checkers::objects::{self, Model, Next, Object, Operation};
use keelhaul_checkers::{
    Evidence, Exhausted, JudgeError, JudgeRequest, Judgement, Settings, Unlimited, Verdict, judge,
};
use keelhaul_history::{Reader, Value};
use notation::jsonl;

fn judged_by(workload: &str, events: &str) -> Result<Judgement, JudgeError> {
    let request = JudgeRequest { workload: workload.into(), ..JudgeRequest::default() };
    judge(Reader::new(jsonl(events).as_bytes()).unwrap(), &request, &Unlimited)
}

/// The workload's verdict on the events.
#[track_caller]
fn check(workload: &str, events: &str, expected: Verdict) {
    let judgement = judged_by(workload, events).unwrap();
    let check = judgement.checks.iter().find(|check| check.name == "linearizable").unwrap();
    assert_eq!(check.verdict, expected, "{judgement:#?}");
    assert_eq!(check.evidence.is_some(), expected == Verdict::Invalid);
}

#[track_caller]
fn valid(workload: &str, events: &str) {
    check(workload, events, Verdict::Valid);
}

#[track_caller]
fn invalid(workload: &str, events: &str) {
    check(workload, events, Verdict::Invalid);
}

#[track_caller]
fn evidence(workload: &str, events: &str) -> Evidence {
    let judgement = judged_by(workload, events).unwrap();
    judgement.checks.into_iter().find_map(|check| check.evidence).unwrap()
}

#[track_caller]
fn labels(evidence: &Evidence) -> Vec<&str> {
    evidence.ops.iter().map(|op| op.label.as_str()).collect()
}

#[test]
fn the_order_of_a_container_is_what_tells_them_apart() {
    let put = |f: &str| format!("1+{f} 5; 1=; 1+{f} 3; 1=; 1+{f} 4; 1=;");
    let take = |f: &str, all: [u32; 3]| -> String {
        all.iter().map(|value| format!("2+{f}; 2={value};")).collect()
    };
    let orders = [[5, 3, 4], [4, 3, 5], [3, 4, 5], [3, 5, 4]];
    for (workload, puts, takes, right) in [
        ("fifo-queue", "enqueue", "dequeue", Some([5, 3, 4])),
        ("stack", "push", "pop", Some([4, 3, 5])),
        ("priority-queue", "insert", "delete-min", Some([3, 4, 5])),
        ("queue", "enqueue", "dequeue", None),
    ] {
        for order in orders {
            let events = put(puts) + &take(takes, order);
            let expected = right.is_none_or(|right| right == order);
            let verdict = if expected { Verdict::Valid } else { Verdict::Invalid };
            check(workload, &events, verdict);
        }
    }
}

#[test]
fn containers_lose_nothing_and_make_nothing_up() {
    for (workload, put, take) in [
        ("fifo-queue", "enqueue", "dequeue"),
        ("stack", "push", "pop"),
        ("priority-queue", "insert", "delete-min"),
        ("queue", "enqueue", "dequeue"),
    ] {
        valid(workload, &format!("1+{take}; 2+{put} 1; 1=1; 2="));
        valid(workload, &format!("1+{put} 1; 2+{take}; 2=null; 1="));
        valid(workload, &format!("1+{put} 1; 1?; 2+{take}; 2=1"));
        valid(workload, &format!("1+{put} 1; 1?; 2+{take}; 2=null"));
        valid(workload, &format!("1+{put} 1; 1=; 2+{take}; 2?; 3+{take}; 3=null"));
        valid(workload, &format!("1+{put} 1; 1=; 2+{take}; 2!; 3+{take}; 3=1"));
        invalid(workload, &format!("1+{take}; 1=1; 2+{put} 1; 2="));
        invalid(workload, &format!("1+{put} 1; 1=; 2+{take}; 2=null"));
        invalid(workload, &format!("1+{put} 1; 1=; 2+{take}; 2=2"));
        invalid(workload, &format!("1+{put} 1; 1=; 2+{take}; 2=1; 2+{take}; 2=1"));
        invalid(workload, &format!("1+{put} 1; 1!; 2+{take}; 2=1"));
    }
}

#[test]
fn a_value_that_overtakes_another_is_shown_alone_with_it() {
    let noise: String = (10..40).map(|n| format!("3+enqueue {n}; 3=; 3+dequeue; 3={n};")).collect();
    let events = format!(
        "{noise} 1+enqueue 1; 1=; 2+enqueue 2; 2=; 1+dequeue; 1=2; 2+dequeue; 2=1; {}",
        noise.replace("enqueue ", "enqueue 1").replace('=', "=1").replace("=1;", "=;")
    );
    let evidence = evidence("fifo-queue", &events);
    assert_eq!(labels(&evidence), ["enqueue 1", "enqueue 2", "dequeue -> 2", "dequeue -> 1"]);
    assert!(evidence.minimal);
    assert_eq!(
        evidence.explanation[0],
        "`enqueue 1` had completed before `enqueue 2` began, and yet `dequeue -> 2` had completed before `dequeue -> 1` \
         began."
    );
}

#[test]
fn sets_never_forget() {
    valid("set", "1+add 1; 1=; 2+read; 2=[1]; 1+add 2; 2+read; 2=[1]; 3+read; 3=[2,1]; 1=");
    valid("set", "1+add 1; 1?; 2+read; 2=[]; 2+read; 2=[1]");
    invalid("set", "1+add 1; 1?; 2+read; 2=[1]; 2+read; 2=[]");
    invalid("set", "1+add 1; 2+add 2; 3+read; 4+read; 3=[1]; 4=[2]; 1=; 2=");
    invalid("set", "1+add 1; 1=; 2+read; 2=[1,1]");
    invalid("set", "1+add 1; 1=; 2+read; 2=[1,7]");
    let lost: String = (1..50).map(|n| format!("1+add {n}; 1=;")).collect();
    let found: Vec<String> = (1..50).filter(|n| *n != 30).map(|n| n.to_string()).collect();
    let evidence = evidence("set", &format!("{lost} 2+read; 2=[{}]", found.join(",")));
    assert_eq!(labels(&evidence), ["add 30", "read -> {}"]);
    assert!(evidence.minimal, "{evidence:#?}");
    let masked = "Of what these operations returned only what matters here is shown.";
    assert!(evidence.explanation.iter().any(|line| line == masked), "{evidence:#?}");
}

#[test]
fn counters_count() {
    valid("counter", "1+add 2; 2+read; 2=0; 3+read; 3=2; 1=");
    valid("counter", "1+add 2; 1?; 2+add -1; 2=; 3+read; 3=-1; 3+read; 3=1");
    invalid("counter", "1+add 2; 2+read; 2=2; 3+read; 3=0; 1=");
    invalid("counter", "1+add 2; 1=; 2+read; 2=1");
}

#[test]
fn locks_are_held_once() {
    valid("mutex", "1+acquire; 2+acquire; 1=; 1+release; 2=; 1=; 2+release; 2=");
    valid("mutex", "1+acquire; 1=; 1+release; 1?; 2+acquire; 2=");
    invalid("mutex", "1+acquire; 1=; 2+acquire; 2=");
    invalid("mutex", "1+release; 1=");
    valid("fenced-mutex", "1+acquire; 1=3; 1+release; 1=; 2+acquire; 2=5");
    invalid("fenced-mutex", "1+acquire; 1=3; 1+release; 1=; 2+acquire; 2=3");
    invalid("fenced-mutex", "1+acquire; 1=3; 2+acquire; 2=4");
    // The token in between must have been 4.
    valid(
        "fenced-mutex",
        "1+acquire; 1=3; 1+release; 1=; 2+acquire; 2?; 3+release; 3=; 1+acquire; 1=5",
    );
}

#[test]
fn a_process_with_an_unknown_outcome_is_not_used_again() {
    assert!(matches!(judged_by("mutex", "1+acquire; 1?; 1+release; 1="), Err(JudgeError::Read(_))));
}

#[test]
fn texts_grow() {
    valid(
        "kv",
        "1+append \"a\"; 2+append \"b\"; 1=; 2=; 1+get; 1=\"ba\"; 1+put \"c\"; 1=; 2+get; 2=\"c\"",
    );
    valid("kv", "1+get; 1=\"\"; 1+get; 1=null");
    invalid("kv", "1+append \"a\"; 1=; 2+append \"b\"; 2=; 1+get; 1=\"ba\"");
    invalid("kv", "1+put \"a\"; 1=; 2+get; 2=\"\"");
}

#[test]
fn several_registers_change_at_once() {
    let write = "1+txn [[\"w\",\"x\",1],[\"w\",\"y\",1]]";
    let read = |x: &str, y: &str| {
        format!(
            "2+txn [[\"r\",\"x\",null],[\"r\",\"y\",null]]; 2=[[\"r\",\"x\",{x}],[\"r\",\"y\",{y}]]"
        )
    };
    valid("multi-register", &format!("{write}; {}; {}; 1=", read("null", "null"), read("1", "1")));
    invalid("multi-register", &format!("{write}; {}; 1=", read("1", "null")));
    invalid("multi-register", &format!("{write}; 1=; {}", read("null", "null")));
    valid(
        "multi-register",
        "1+txn [[\"write\",\"x\",1],[\"read\",\"x\",null]]; 1=[[\"write\",\"x\",1],[\"read\",\"x\",1]]",
    );
}

#[test]
fn registers_that_hold_something_at_first() {
    let found = |initial: &str, events: &str| {
        let initial = Value::from_json(initial).unwrap();
        let settings = Settings { initial, ..Settings::default() };
        let request =
            JudgeRequest { workload: "multi-register".into(), settings, ..JudgeRequest::default() };
        let judged =
            judge(Reader::new(jsonl(events).as_bytes()).unwrap(), &request, &Unlimited).unwrap();
        judged.checks[0].verdict
    };
    let read = |x: i64, y: i64| {
        format!(
            "1+txn [[\"r\",\"x\",null],[\"r\",\"y\",null]]; 1=[[\"r\",\"x\",{x}],[\"r\",\"y\",{y}]]"
        )
    };
    assert_eq!(found("{\"x\":1,\"y\":2}", &read(1, 2)), Verdict::Valid);
    assert_eq!(found("{\"x\":1,\"y\":2}", &read(2, 2)), Verdict::Invalid);
    assert_eq!(found("7", &read(7, 7)), Verdict::Valid);
    let back = "2+txn [[\"w\",\"x\",1]]; 2=; 2+txn [[\"w\",\"x\",7]]; 2=";
    assert_eq!(found("7", &format!("{back}; {}", read(7, 7))), Verdict::Valid);
    assert_eq!(found("7", &format!("{back}; {}", read(1, 7))), Verdict::Invalid);
}

#[test]
fn what_begins_empty_takes_no_initial_value() {
    let settings = Settings { initial: 1.into(), ..Settings::default() };
    let request = JudgeRequest { workload: "mutex".into(), settings, ..JudgeRequest::default() };
    let error =
        judge(Reader::new(jsonl("").as_bytes()).unwrap(), &request, &Unlimited).unwrap_err();
    let JudgeError::Option("mutex", source) = error else { panic!("{error:?}") };
    assert!(source.to_string().starts_with("option `init` takes nothing"), "{source}");
}

#[test]
fn what_does_not_fit_the_workload_is_refused_with_its_line() {
    for (workload, events, line, text) in [
        (
            "fifo-queue",
            "1+push 1",
            2,
            "no function `push` is known here: a queue has enqueue and dequeue",
        ),
        ("stack", "1+push 1; 1=; 1+push null", 4, "the value of `push` must be the element"),
        ("counter", "1+add \"x\"", 2, "the value of `add` must be a whole number"),
        ("set", "1+read; 1=7", 3, "the value of `read` must be a list of elements"),
        ("fenced-mutex", "1+acquire; 1=", 3, "the value of `acquire` must be the token"),
        ("multi-register", "1+txn [[\"x\",1,2]]", 2, "the value of `txn` must be a list of"),
    ] {
        let Err(JudgeError::Columns { line: found, source }) = judged_by(workload, events) else {
            panic!("{workload} {events}");
        };
        assert_eq!(found, line);
        assert!(source.to_string().contains(text), "{source}");
    }
}

/// A register that keeps the largest number put in, as a user might write it.
struct MaxRegister;

#[derive(Clone, PartialEq, Eq, Hash)]
enum MaxOp {
    Put(u64),
    Get(Option<u64>),
}

impl Model for MaxRegister {
    type State = u64;
    type Op = MaxOp;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, op: &MaxOp) -> Next<u64> {
        match op {
            MaxOp::Put(n) => Next::To(*state.max(n)),
            MaxOp::Get(found) => Next::same_if(found.is_none_or(|found| found == *state)),
        }
    }

    fn forget(&self, op: &MaxOp) -> MaxOp {
        match op {
            MaxOp::Put(n) => MaxOp::Put(*n),
            MaxOp::Get(_) => MaxOp::Get(None),
        }
    }

    fn is_pure(&self, op: &MaxOp) -> bool {
        matches!(op, MaxOp::Get(_))
    }

    fn describe(&self, op: &MaxOp) -> String {
        match op {
            MaxOp::Put(n) => format!("put {n}"),
            MaxOp::Get(found) => format!("get {found:?}"),
        }
    }
}

fn max_register(ops: &[(MaxOp, u32, u32)]) -> Vec<Object<MaxRegister>> {
    let ops = ops.iter().map(|(op, call, ret)| Operation {
        op: op.clone(),
        start_ns: u64::from(*call),
        end_ns: if *ret == NEVER { 0 } else { u64::from(*ret) },
        call: *call,
        ret: *ret,
        process: *call,
    });
    vec![Object { key: None, model: MaxRegister, ops: ops.collect() }]
}

#[test]
fn a_users_model_is_judged_like_any_other() {
    let mut ops = vec![(MaxOp::Put(3), 0, 1), (MaxOp::Put(2), 2, 3), (MaxOp::Get(Some(3)), 4, 5)];
    assert_eq!(objects::check(&max_register(&ops), &Unlimited).verdict, Verdict::Valid);
    ops.push((MaxOp::Get(Some(2)), 6, 7));
    let check = objects::check(&max_register(&ops), &Unlimited);
    assert_eq!(check.verdict, Verdict::Invalid);
    let evidence = check.evidence.unwrap();
    assert_eq!(evidence.stuck, [6]);
    assert!(!evidence.minimal, "puts belong to no group, so none can be left out");
}

#[test]
fn a_budget_that_ends_is_unknown_and_names_the_obstacle() {
    // Thirty different numbers are being put in for ever, and a value that none of their orders leaves is read.
    let mut ops: Vec<(MaxOp, u32, u32)> =
        (0..30).map(|n| (MaxOp::Put(u64::from(n) * 2 + 2), n, 200 + n)).collect();
    ops.push((MaxOp::Get(Some(0)), 100, 101));
    ops.push((MaxOp::Get(Some(31)), 102, 103));
    for why in [Exhausted::Time, Exhausted::Memory] {
        let budget = |_: usize| Some(why);
        let check = objects::check(&max_register(&ops), &budget);
        assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
        assert!(check.reason.contains("was not searched"), "{}", check.reason);
    }
    let budget = |bytes: usize| (bytes > 0).then_some(Exhausted::Memory);
    let check = objects::check(&max_register(&ops), &budget);
    assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
    let told = "the memory budget ended: 0 of 1 independent part settled and legal; the object: 1 of 32 completed operations \
                placed, then a burst of 31 operations pending together (0 with unknown outcome), the first begun at event 0";
    assert!(check.reason.starts_with(told), "{}", check.reason);
}
