//! Cases as data, and operations in words.

use keelhaul_history::Value;
use serde_json::{Value as Json, json};

use super::cases::{Case, Facts, Writer};
use super::log::{Item, Log, NO_OFFSET, Op, What};
use crate::graph::{Classes, Step};

/// Elements of a list that are named, of skipped messages or of a component.
const NAMED_MAX: usize = 32;

/// Messages that an operation shows, if it has more.
const SHOWN_MAX: usize = 8;

/// A value as JSON.
pub(super) fn plain(value: &Value) -> Json {
    serde_json::from_str(&value.to_string()).unwrap_or_default()
}

/// `3 of key "x"`.
pub(super) fn message(log: &Log, message: u32) -> String {
    let known = &log.messages[message as usize];
    format!("{} of key {}", known.value, log.keys[known.key as usize])
}

/// One case. Operations are named by the events that completed them, or began them if nothing did.
pub(super) fn case(facts: &Facts<'_>, case: &Case) -> Json {
    let (log, orders) = (facts.log, &facts.orders);
    let value = |message: u32| plain(&log.messages[message as usize].value);
    let key = |key: u32| plain(&log.keys[key as usize]);
    let key_of = |message: u32| key(log.key_of(message));
    let op = |row: u32| log.ops[row as usize].event;
    let key_at = |position: u32| log.key_of(orders.at(position)[0].message);
    let index = |position: u32| position - orders.positions(key_at(position)).start;
    match case {
        Case::Inconsistent { position } => {
            let values = orders.at(*position).iter().map(|entry| value(entry.message));
            json!({
                "key": key(key_at(*position)),
                "offset": orders.offset(*position),
                "index": index(*position),
                "values": values.collect::<Vec<_>>(),
            })
        }
        Case::Garbage { message, reader } => {
            json!({"key": key_of(*message), "value": value(*message), "reader": op(*reader)})
        }
        Case::Aborted { message, writer, reader } => json!({
            "key": key_of(*message),
            "value": value(*message),
            "writer": op(*writer),
            "reader": op(*reader),
        }),
        Case::Lost { message, writer, bound, reader } => json!({
            "key": key_of(*message),
            "value": value(*message),
            "index": orders.span(*message).map(|(first, _)| index(first)),
            "max-read-index": index(*bound),
            "writer": op(*writer),
            "max-read": op(*reader),
        }),
        Case::Duplicate { message, positions } => json!({
            "key": key_of(*message),
            "value": value(*message),
            "count": positions.len(),
            "offsets": positions.iter().map(|p| orders.offset(*p)).collect::<Vec<_>>(),
        }),
        Case::Precommitted { message, op: row } => {
            json!({"key": key_of(*message), "value": value(*message), "op": op(*row)})
        }
        Case::Move { messages: (from, to), positions, ops } => {
            let skipped = (positions.0 + 1..positions.1).take(NAMED_MAX);
            let skipped = skipped.map(|position| value(orders.at(position)[0].message));
            json!({
                "key": key_of(*from),
                "values": [value(*from), value(*to)],
                "delta": case.delta(),
                "skipped": skipped.collect::<Vec<_>>(),
                "ops": [op(ops.0), op(ops.1)],
            })
        }
        Case::Cycle { steps, shortest } => {
            let steps = steps.iter().map(|step| step_data(facts, step)).collect::<Vec<_>>();
            json!({"steps": steps, "shortest": shortest})
        }
        Case::CycleExists { ops } => {
            let named: Vec<u32> = ops.iter().take(NAMED_MAX).map(|row| op(*row)).collect();
            json!({"scc-size": ops.len(), "scc": named})
        }
        Case::Unseen { key: id, messages } => {
            let messages: Vec<Json> = messages.iter().map(|message| value(*message)).collect();
            json!({"key": key(*id), "messages": messages})
        }
    }
}

fn step_data(facts: &Facts<'_>, step: &Step) -> Json {
    let log = facts.log;
    let op = |row: u32| log.ops[row as usize].event;
    let (from, to) = (op(step.from), op(step.to));
    let message = |message: u32| &log.messages[message as usize];
    match why(facts, step) {
        Why::Realtime => json!({"type": "realtime", "from": from, "to": to}),
        Why::Polled(polled) => {
            let (key, value) = (message(polled).key, plain(&message(polled).value));
            let key = plain(&log.keys[key as usize]);
            json!({"type": "wr", "key": key, "value": value, "from": from, "to": to})
        }
        Why::Follows(a, b) => {
            let key = plain(&log.keys[message(a).key as usize]);
            let values = [plain(&message(a).value), plain(&message(b).value)];
            json!({"type": "ww", "key": key, "values": values, "from": from, "to": to})
        }
    }
}

/// Why one transaction must precede another.
pub(super) enum Why {
    Realtime,
    /// It sent this message, which the other polled.
    Polled(u32),
    /// The other's message stands behind its own.
    Follows(u32, u32),
}

pub(super) fn why(facts: &Facts<'_>, step: &Step) -> Why {
    let (log, orders) = (facts.log, &facts.orders);
    let (from, to) = (&log.ops[step.from as usize], &log.ops[step.to as usize]);
    if step.class == Classes::WR {
        let by = Writer::One(step.from);
        let polled = log.polls_of(to).iter().find(|item| facts.writer(item.message) == by);
        if let Some(item) = polled {
            return Why::Polled(item.message);
        }
    }
    if step.class == Classes::WW {
        // The nearest of its own before one of the other's, in a key that both sent to.
        let pairs = log.sends_of(to).iter().filter_map(|b| {
            let (after, _) = orders.span(b.message)?;
            let before = log.sends_of(from).iter().filter_map(|a| {
                let (position, _) = orders.span(a.message)?;
                let same = log.key_of(a.message) == log.key_of(b.message);
                (same && position < after).then(|| (after - position, a.message, b.message))
            });
            before.min()
        });
        if let Some((_, a, b)) = pairs.min() {
            return Why::Follows(a, b);
        }
    }
    Why::Realtime
}

/// What an operation did, e.g. `send "x": 1@0, 2@1`; of many messages, those that matter.
pub(super) fn label(log: &Log, op: &Op, matters: &[u32]) -> String {
    let mut parts = Vec::new();
    match op.what {
        What::Txn => {
            for (word, items) in [("send", log.sends_of(op)), ("poll", log.polls_of(op))] {
                if !items.is_empty() {
                    parts.push(format!("{word} {}", listed(log, items, matters)));
                }
            }
            if parts.is_empty() {
                parts.push(if op.consumes { "poll nothing".into() } else { "nothing".into() });
            }
        }
        What::Assign | What::Subscribe => {
            let word = if op.what == What::Assign { "assign" } else { "subscribe" };
            let keys = log.keys_of(op).iter().map(|key| log.keys[*key as usize].to_string());
            parts.push(format!("{word} {}", keys.collect::<Vec<_>>().join(", ")));
        }
    }
    parts.join("; ")
}

fn listed(log: &Log, items: &[Item], matters: &[u32]) -> String {
    let all = items.len() <= SHOWN_MAX;
    let shown = items.iter().filter(|item| all || matters.contains(&item.message)).take(SHOWN_MAX);
    let mut text = String::new();
    let (mut key, mut told) = (None, 0);
    for item in shown {
        let message = &log.messages[item.message as usize];
        if key.replace(message.key) != Some(message.key) {
            let space = if told > 0 { " " } else { "" };
            text += &format!("{space}{}:", log.keys[message.key as usize]);
        }
        text += &format!(" {}", message.value);
        if item.offset != NO_OFFSET {
            text += &format!("@{}", item.offset);
        }
        told += 1;
    }
    if told < items.len() {
        text += &format!(" and {} more", items.len() - told);
    }
    text
}
