//! Reads the drawings of [`about`](super::about): a line a process, `[write x 1]`, `[read x nil]`, `[cas x 1 2]`. The columns of
//! the brackets are times; an operation without a closing bracket has an unknown outcome.

use keelhaul_history::Value;

use crate::columns::{Atom, Call, Outcome, Registers, RegistersBuilder};

/// An end of an operation: where it is drawn, whose it is, and what it says.
struct End<'a> {
    column: usize,
    process: u32,
    words: Option<Vec<&'a str>>,
    result: Option<Value>,
}

/// The history that a drawing shows.
pub fn registers(drawing: &str) -> Registers {
    let mut ends: Vec<End<'_>> = Vec::new();
    for (process, line) in drawing.lines().enumerate() {
        let mut at = 0;
        while let Some(open) = line[at..].find('[').map(|found| at + found) {
            let close = line[open..].find(']').map(|found| open + found);
            at = close.unwrap_or(line.len());
            let words: Vec<&str> = line[open + 1..at].split_whitespace().collect();
            let result = words.last().map(|word| value(word));
            let process = process as u32;
            ends.push(End { column: open, process, words: Some(words), result: None });
            ends.extend(close.map(|column| End { column, process, words: None, result }));
        }
    }
    ends.sort_by_key(|end| (end.column, end.words.is_none(), end.process));
    let mut builder = RegistersBuilder::new(Value::Null);
    for (index, End { column, process, words, result }) in ends.into_iter().enumerate() {
        let (index, time_ns) = (index as u64, column as u64 * 1_000_000_000);
        let done = match words {
            Some(words) => {
                let (key, call) = call(&words);
                builder.invoke(index, time_ns, process, Some(key), call)
            }
            None => {
                let result = result.unwrap().into();
                builder.complete(index, time_ns, process, Outcome::Ok(result))
            }
        };
        done.unwrap();
    }
    builder.finish()
}

fn call(words: &[&str]) -> (Atom, Call) {
    let atom = |word: &str| Atom::from(value(word));
    let call = match *words {
        ["write", _, new] => Call::Write(atom(new)),
        ["read", ..] => Call::Read,
        ["cas", _, expected, new] => Call::Cas(atom(expected), atom(new)),
        _ => panic!("{words:?} is no operation"),
    };
    (atom(words[1]), call)
}

fn value(word: &str) -> Value {
    if word == "nil" { Value::Null } else { word.parse().map_or(Value::from(word), Value::Int) }
}

/// The history of transactions that a drawing shows, in the notation of [`crate::testing::history`]: of lists
/// `[append x 1, read y 1 2]`, of registers `[w x 1, r y 2]`. One that ends with `)` failed; one without an end has an unknown outcome.
pub fn transactions(drawing: &str) -> String {
    let mut ends: Vec<(usize, bool, usize, String)> = Vec::new();
    for (process, line) in drawing.lines().enumerate() {
        let mut at = 0;
        while let Some(open) = line[at..].find('[').map(|found| at + found) {
            let close = line[open..].find([']', ')']).map(|found| open + found);
            at = close.unwrap_or(line.len());
            let event = |kind: &str| {
                let ops = line[open + 1..at].split(',').map(|op| micro(op, kind == "ok"));
                format!("{process} {kind} txn [{}]\n", ops.collect::<Vec<_>>().join(","))
            };
            ends.push((open, false, process, event("invoke")));
            if let Some(close) = close {
                let kind = if line[close..].starts_with(')') { "fail" } else { "ok" };
                ends.push((close, true, process, event(kind)));
            }
        }
    }
    ends.sort();
    ends.into_iter().map(|(.., event)| event).collect()
}

/// An operation of a transaction, with what it read or not.
fn micro(op: &str, result: bool) -> String {
    let words: Vec<&str> = op.split_whitespace().collect();
    let (f, key, values) = (words[0], words[1], &words[2..]);
    let short = if f == "read" { "r" } else { f };
    let value = match f {
        "r" | "read" if !result => "null".into(),
        "read" => format!("[{}]", values.join(",").replace("nil", "")),
        _ => values[0].replace("nil", "null"),
    };
    format!("[\"{short}\",\"{key}\",{value}]")
}
