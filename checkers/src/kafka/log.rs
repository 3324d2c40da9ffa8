//! A history of sends and polls as flat rows.

use std::collections::HashMap;
use std::ops::Range;

use keelhaul_history::Value;

use crate::columns::{Atom, WordMap};
use crate::in_flight::Span;

/// No offset is known.
pub(super) const NO_OFFSET: i64 = -1;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// It certainly did not happen; what it polled was there all the same.
    Fail,
    /// Nobody knows.
    Info,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Sends and polls, as a transaction.
    Txn,
    /// Takes exactly these keys from now on.
    Assign,
    /// Takes part in the topics of these keys.
    Subscribe,
}

/// One operation; ranges are of the columns of [`Log`].
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub span: Span,
    /// The event that says most of it: what completed it, if with unknown outcome, or its invocation if nothing did.
    pub event: u32,
    pub what: What,
    pub outcome: Outcome,
    /// Whether it asked for messages at all.
    pub consumes: bool,
    pub sends: Range<u32>,
    pub polls: Range<u32>,
    /// What is assigned or subscribed to, or of a transaction what it polled, with nothing found perhaps.
    pub keys: Range<u32>,
    /// Keys that the consumer gained or lost meanwhile.
    pub rebalanced: Range<u32>,
}

/// A message sent or polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub message: u32,
    /// Or [`NO_OFFSET`].
    pub offset: i64,
}

/// A key and a value that was sent to it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub key: u32,
    pub value: Value,
}

/// The whole history. Operations are in the order in which they completed, those that never did at the end.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub keys: Vec<Value>,
    pub messages: Vec<Message>,
    pub ops: Vec<Op>,
    pub sends: Vec<Item>,
    pub polls: Vec<Item>,
    /// Lists of keys.
    pub lists: Vec<u32>,
}

impl Log {
    pub fn sends_of(&self, op: &Op) -> &[Item] {
        &self.sends[op.sends.start as usize..op.sends.end as usize]
    }

    pub fn polls_of(&self, op: &Op) -> &[Item] {
        &self.polls[op.polls.start as usize..op.polls.end as usize]
    }

    pub fn keys_of(&self, op: &Op) -> &[u32] {
        &self.lists[op.keys.start as usize..op.keys.end as usize]
    }

    pub fn rebalanced_of(&self, op: &Op) -> &[u32] {
        &self.lists[op.rebalanced.start as usize..op.rebalanced.end as usize]
    }

    pub fn key_of(&self, message: u32) -> u32 {
        self.messages[message as usize].key
    }

    /// The history that has only these operations; `rows` must rise.
    pub fn only(&self, rows: &[u32]) -> Self {
        let mut log = Self { keys: self.keys.clone(), ..Self::default() };
        let mut known: WordMap<u32, u32> = WordMap::default();
        for row in rows {
            let op = &self.ops[*row as usize];
            let mut items = |items: &[Item], into: &mut Vec<Item>| {
                let from = into.len() as u32;
                for item in items {
                    let message = *known.entry(item.message).or_insert_with(|| {
                        log.messages.push(self.messages[item.message as usize].clone());
                        log.messages.len() as u32 - 1
                    });
                    into.push(Item { message, offset: item.offset });
                }
                from..into.len() as u32
            };
            let sends = items(self.sends_of(op), &mut log.sends);
            let polls = items(self.polls_of(op), &mut log.polls);
            let mut list = |keys: &[u32]| {
                let from = log.lists.len() as u32;
                log.lists.extend(keys);
                from..log.lists.len() as u32
            };
            let (keys, rebalanced) = (list(self.keys_of(op)), list(self.rebalanced_of(op)));
            log.ops.push(Op { sends, polls, keys, rebalanced, ..op.clone() });
        }
        log
    }
}

/// Numbers for keys and messages.
#[derive(Debug, Default)]
pub(super) struct Names {
    int_keys: WordMap<i64, u32>,
    text_keys: HashMap<Box<str>, u32>,
    int_messages: WordMap<(u32, i64), u32>,
    other_messages: HashMap<(u32, Value), u32>,
}

impl Names {
    /// The number of a key. Keys of maps are text, so a number and its text are the same key.
    pub fn key(&mut self, name: Atom, keys: &mut Vec<Value>) -> u32 {
        match name {
            Atom::Int(n) => self.int_key(n, keys),
            Atom::Other(Value::Str(text)) => self.text_key(&text, keys),
            Atom::Other(other) => self.text_key(&other.to_string(), keys),
        }
    }

    fn int_key(&mut self, n: i64, keys: &mut Vec<Value>) -> u32 {
        *self.int_keys.entry(n).or_insert_with(|| {
            keys.push(Value::Int(n));
            keys.len() as u32 - 1
        })
    }

    /// As [`Names::key`], of text.
    pub fn text_key(&mut self, text: &str, keys: &mut Vec<Value>) -> u32 {
        let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
        if let Some(n) = number {
            return self.int_key(n, keys);
        }
        if let Some(known) = self.text_keys.get(text) {
            return *known;
        }
        keys.push(text.into());
        let id = keys.len() as u32 - 1;
        self.text_keys.insert(text.into(), id);
        id
    }

    pub fn message(&mut self, key: u32, value: Atom, messages: &mut Vec<Message>) -> u32 {
        let next = messages.len() as u32;
        let id = match &value {
            Atom::Int(n) => *self.int_messages.entry((key, *n)).or_insert(next),
            Atom::Other(value) => *self.other_messages.entry((key, value.clone())).or_insert(next),
        };
        if id == next {
            let value = match value {
                Atom::Int(n) => Value::Int(n),
                Atom::Other(value) => value,
            };
            messages.push(Message { key, value });
        }
        id
    }
}
