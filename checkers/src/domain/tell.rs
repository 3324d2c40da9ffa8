//! Evidence and details in words.

use keelhaul_history::Value;
use serde_json::Map;

use crate::verdict::{Evidence, EvidenceOp};

/// Values that details list, at most; the counts beside them are of all.
pub const LISTED_MAX: usize = 32;

/// The operations that show a violation, of which those of `stuck`, by index of invocation, are the ones that cannot be.
pub fn evidence(
    mut ops: Vec<EvidenceOp>,
    stuck: Vec<u32>,
    minimal: bool,
    explanation: Vec<String>,
) -> Evidence {
    ops.sort_by_key(|op| op.index);
    ops.dedup_by_key(|op| op.index);
    Evidence {
        key: None,
        ops,
        longest_order: Vec::new(),
        stuck: stuck.into_iter().map(u64::from).collect(),
        minimal,
        edges: Vec::new(),
        explanation,
    }
}

/// A time in seconds.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:06} s", ns / 1_000_000_000, ns / 1000 % 1_000_000)
}

/// A value of a history as JSON.
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(n) => (*n).into(),
        Value::Str(text) => (**text).into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), json(value))).collect()
        }
    }
}

/// The first values as a JSON list.
pub fn listed<'a>(values: impl IntoIterator<Item = &'a Value>, max: usize) -> serde_json::Value {
    values.into_iter().take(max).map(json).collect()
}

/// Percentiles from 0 to 1 by name, as `{"0": 3, "0.5": 4, …}`; none if there is nothing.
pub fn quantiles(mut sample: Vec<u64>) -> Option<serde_json::Value> {
    const POINTS: [(&str, usize); 5] =
        [("0", 0), ("0.5", 50), ("0.95", 95), ("0.99", 99), ("1", 100)];
    sample.sort_unstable();
    let last = sample.len().checked_sub(1)?;
    let at = |percent: usize| sample[(sample.len() * percent / 100).min(last)];
    let map: Map<_, _> =
        POINTS.iter().map(|(name, percent)| ((*name).into(), at(*percent).into())).collect();
    Some(map.into())
}
