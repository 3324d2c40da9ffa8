//! Histories in a short notation.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::BTreeMap;

/// Events between semicolons: `1+enqueue 7` process 1 begins, `1=7` it completes with 7, `1=` with what it was
/// invoked with, `1!` it fails, `1?` nobody knows.
pub fn jsonl(events: &str) -> String {
    jsonl_every(events, 1)
}

/// As [`jsonl`], with an event every so many nanoseconds.
pub fn jsonl_every(events: &str, step_ns: usize) -> String {
    let mut out = String::from("{\"keelhaul\":1}\n");
    let mut open: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (index, event) in events.split(';').map(str::trim).filter(|e| !e.is_empty()).enumerate() {
        let at = event.find(['+', '=', '!', '?']).unwrap();
        let (process, sign, rest) = (&event[..at], &event[at..=at], &event[at + 1..]);
        let (kind, f, value) = if sign == "+" {
            let (f, value) = rest.split_once(' ').unwrap_or((rest, "null"));
            open.insert(process, (f, value));
            ("invoke", f, value)
        } else {
            let (f, value) = open.remove(process).unwrap();
            let kind = match sign {
                "=" => "ok",
                "!" => "fail",
                _ => "info",
            };
            (kind, f, if rest.is_empty() { value } else { rest })
        };
        out += &format!(
            "{{\"index\":{index},\"time\":{},\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}\n",
            index * step_ns
        );
    }
    out
}
