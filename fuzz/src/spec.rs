//! What each object does when nothing happens at the same time, written once more and as plainly as possible: from a
//! state, every result that an operation can have, with the state that it leaves.

use serde_json::{Value, json};

/// An operation as it is invoked.
#[derive(Clone, Debug)]
pub struct Call {
    pub f: &'static str,
    /// The object: a number below [`KEYS`].
    pub key: usize,
    pub argument: Value,
}

/// Objects a history has at most.
pub const KEYS: usize = 2;

/// Names of the objects.
pub const OBJECTS: [&str; 11] = [
    "cas-register",
    "multi-register",
    "kv",
    "mutex",
    "fenced-mutex",
    "set",
    "counter",
    "queue",
    "fifo-queue",
    "stack",
    "priority-queue",
];

/// The functions of an object, with how many arguments each takes.
pub fn functions(object: &str) -> &'static [(&'static str, usize)] {
    match object {
        "cas-register" => &[("read", 0), ("write", 1), ("cas", 2)],
        "multi-register" => &[("txn", 3)],
        "kv" => &[("get", 0), ("put", 1), ("append", 1)],
        "mutex" | "fenced-mutex" => &[("acquire", 0), ("release", 0)],
        "set" | "counter" => &[("read", 0), ("add", 1)],
        "queue" | "fifo-queue" => &[("dequeue", 0), ("enqueue", 1)],
        "stack" => &[("pop", 0), ("push", 1)],
        _ => &[("delete-min", 0), ("insert", 1)],
    }
}

/// What it holds at first.
pub fn initial(object: &str) -> Value {
    match object {
        "multi-register" => json!([null, null, null]),
        "kv" => json!(""),
        "mutex" => json!(false),
        "fenced-mutex" => json!([false, null]),
        "counter" => json!(0),
        "cas-register" => Value::Null,
        _ => json!([]),
    }
}

/// Tokens of fenced locks are from `-TOKENS` to `TOKENS`, which leaves room below any that was seen.
const TOKENS: i64 = 12;

/// Every result with the state that follows. None: it cannot happen in this state.
pub fn outcomes(object: &str, state: &Value, f: &str, argument: &Value) -> Vec<(Value, Value)> {
    let unchanged = |result: Value| vec![(result, state.clone())];
    let done = |next: Value| vec![(argument.clone(), next)];
    match (object, f) {
        ("cas-register" | "kv" | "counter", "read" | "get") => unchanged(state.clone()),
        ("set", "read") => unchanged(state.clone()),
        ("cas-register", "write") | ("kv", "put") => done(argument.clone()),
        ("cas-register", "cas") if argument[0] == *state => done(argument[1].clone()),
        ("kv", "append") => done(json!(text(state) + &text(argument))),
        ("counter", "add") => done(json!(int(state) + int(argument))),
        ("set", "add") => {
            let mut elements = ints(state);
            elements.push(int(argument));
            elements.sort_unstable();
            elements.dedup();
            done(json!(elements))
        }
        ("mutex", "acquire") if *state == json!(false) => done(json!(true)),
        ("mutex", "release") if *state == json!(true) => done(json!(false)),
        ("fenced-mutex", "acquire") if state[0] == json!(false) => {
            let least = state[1].as_i64().map_or(-TOKENS, |last| last + 1);
            (least..=TOKENS).map(|token| (json!(token), json!([true, token]))).collect()
        }
        ("fenced-mutex", "release") if state[0] == json!(true) => done(json!([false, state[1]])),
        ("multi-register", "txn") => {
            let (mut registers, mut results) = (state.clone(), argument.clone());
            for access in results.as_array_mut().into_iter().flatten() {
                let at = access[1].as_u64().unwrap_or_default() as usize;
                if access[0] == "r" {
                    access[2] = registers[at].clone();
                } else {
                    registers[at] = access[2].clone();
                }
            }
            vec![(results, registers)]
        }
        (_, "enqueue" | "push" | "insert") => {
            let mut held = ints(state);
            held.push(int(argument));
            if matches!(object, "queue" | "priority-queue") {
                held.sort_unstable();
            }
            done(json!(held))
        }
        (_, "dequeue" | "pop" | "delete-min") => {
            let held = ints(state);
            if held.is_empty() {
                return unchanged(Value::Null);
            }
            let ready = match object {
                "queue" => 0..held.len(),
                "stack" => held.len() - 1..held.len(),
                _ => 0..1,
            };
            ready
                .map(|at| {
                    let mut rest = held.clone();
                    (json!(rest.remove(at)), json!(rest))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether two results are the same: a read of a set has its elements in any order, and a text that is a number is one.
pub fn same(object: &str, a: &Value, b: &Value) -> bool {
    match object {
        "set" if a.is_array() && b.is_array() => {
            let sorted = |value: &Value| {
                let mut elements = ints(value);
                elements.sort_unstable();
                elements
            };
            sorted(a) == sorted(b)
        }
        "kv" => text(a) == text(b),
        _ => a == b,
    }
}

/// Whether the result of a completed operation says anything.
pub fn has_result(object: &str, f: &str) -> bool {
    match f {
        "read" | "get" | "txn" | "dequeue" | "pop" | "delete-min" => true,
        "acquire" => object == "fenced-mutex",
        _ => false,
    }
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().map(|items| items.iter().map(int).collect()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
