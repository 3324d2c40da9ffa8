//! Evidence in words.

use keelhaul_history::Value;

use super::model::{Model, Operation};
use super::shrink::Shrunk;
use super::vocabulary::Object;
use crate::verdict::{Evidence, EvidenceOp};

/// The name of the only anomaly that this checker knows.
pub const ANOMALY: &str = "nonlinearizable";

/// Operations that evidence shows at most, the last ones.
const SHOWN_MAX: usize = 60;

/// Renders the part that cannot be ordered; `ops` is all that was looked at, and is shown in part, with `words`, if there
/// is no smaller one.
pub fn evidence<M: Model>(
    object: &Object<M>,
    ops: &[Operation<M::Op>],
    shrunk: Option<&Shrunk<M::Op>>,
    words: &[String],
) -> Evidence {
    let model = &object.model;
    let key = object.key.as_ref().map(ToString::to_string);
    let Some(shrunk) = shrunk else {
        let last = ops.iter().skip(ops.len().saturating_sub(SHOWN_MAX));
        let more = "It would have taken too long to find a smaller part that shows it: not proved minimal.";
        let whole = format!(
            "No order of these {} operations explains what they returned; the last of them are shown.",
            ops.len()
        );
        return Evidence {
            key,
            ops: last.map(|op| shown(model, op)).collect(),
            longest_order: Vec::new(),
            stuck: Vec::new(),
            minimal: false,
            edges: Vec::new(),
            explanation: [&[whole, more.into()], words].concat(),
        };
    };
    let part: Vec<&Operation<M::Op>> = shrunk.part.iter().map(|(_, op)| op).collect();
    let placed = |at: usize| shrunk.order.contains(&(at as u32));
    let stuck: Vec<usize> =
        (0..part.len()).filter(|at| part[*at].completed() && !placed(*at)).collect();
    let mut explanation = shrunk.words.clone();
    explanation.extend(tell(model, &part, &shrunk.order, &stuck));
    if shrunk.part.iter().any(|(row, op)| ops[*row as usize].op != op.op) {
        explanation
            .push("Of what these operations returned only what matters here is shown.".into());
    }
    let first = part.len().saturating_sub(SHOWN_MAX);
    if first > 0 {
        explanation.push(format!("Only the last {SHOWN_MAX} of these operations are shown."));
    }
    if !shrunk.minimal {
        explanation
            .push("A smaller part of the history may show the same: not proved minimal.".into());
    }
    let index = |at: usize| u64::from(part[at].call);
    let late = |at: &usize| *at >= first;
    Evidence {
        key,
        ops: part[first..].iter().map(|op| shown(model, op)).collect(),
        longest_order: shrunk.order.iter().map(|at| *at as usize).filter(late).map(index).collect(),
        stuck: stuck.into_iter().filter(late).map(index).collect(),
        minimal: shrunk.minimal && first == 0,
        edges: Vec::new(),
        explanation,
    }
}

/// What to call the object.
pub fn name(key: &Option<Value>) -> String {
    key.as_ref().map_or_else(|| "the object".into(), |name| format!("key {name}"))
}

fn shown<M: Model>(model: &M, op: &Operation<M::Op>) -> EvidenceOp {
    EvidenceOp {
        index: u64::from(op.call),
        completion: op.completed().then_some(u64::from(op.ret)),
        process: op.process.to_string(),
        node: None,
        label: model.describe(&op.op),
        start_ns: op.start_ns,
        end_ns: op.completed().then_some(op.end_ns),
    }
}

/// Operations of an order that are named in a sentence, the last ones.
const ORDER_MAX: usize = 12;

fn tell<M: Model>(
    model: &M,
    part: &[&Operation<M::Op>],
    order: &[u32],
    stuck: &[usize],
) -> Vec<String> {
    let name =
        |at: usize| format!("process {}'s {}", part[at].process, model.describe(&part[at].op));
    let mut lines = vec![match part.len() {
        1 => "This operation cannot have returned that, whatever the order.".to_string(),
        n => format!("No order of these {n} operations explains what they returned."),
    }];
    let last = &order[order.len().saturating_sub(ORDER_MAX)..];
    if !last.is_empty() {
        let names: Vec<String> = last.iter().map(|at| name(*at as usize)).collect();
        let begins = if last.len() < order.len() { "ends with" } else { "is" };
        lines.push(format!("The longest order {begins}: {}.", names.join(", then ")));
    }
    for at in stuck.iter().take(ORDER_MAX) {
        let op = part[*at];
        lines.push(format!(
            "After that, {} ({} to {}) fits nowhere.",
            name(*at),
            seconds(op.start_ns),
            seconds(op.end_ns)
        ));
    }
    lines
}

fn seconds(ns: u64) -> String {
    format!("{}.{:06} s", ns / 1_000_000_000, ns / 1000 % 1_000_000)
}
