//! From events to rows.

use keelhaul_history::{Kind, Process, RawOp, RawValue};

use super::log::{Item, Log, NO_OFFSET, Names, Op, Outcome, What};
use crate::columns::ColumnError;
use crate::in_flight::{InFlight, Span};
use crate::objects::vocabulary::atom;

/// Builds a [`Log`] from events in their order.
#[derive(Default)]
pub(super) struct Reading {
    in_flight: InFlight<Begun>,
    names: Names,
    log: Log,
    parts: Parts,
}

struct Begun {
    span: Span,
    /// Nothing of what is neither a transaction nor about subscriptions.
    what: Option<What>,
    /// What was asked for, in case the completion does not say.
    sends: Vec<Item>,
    keys: Vec<u32>,
}

/// What one value says.
#[derive(Default)]
struct Parts {
    sends: Vec<Item>,
    polls: Vec<Item>,
    keys: Vec<u32>,
    rebalanced: Vec<u32>,
    consumes: bool,
}

const KNOWN: &str =
    "kafka has send, poll, txn, assign, subscribe, crash and debug-topic-partitions";
const KEYS: &str = "a list of keys";
const MICRO_OPS: &str = "a list of [\"send\",key,value], [\"send\",key,[offset,value]], [\"poll\"], \
                         [\"poll\",{key: [[offset,value],…],…}] and [\"rebalance\",[key,…]]";

impl Reading {
    /// Takes the next event.
    pub fn observe(&mut self, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Process::Client(process) = op.process else { return Ok(()) };
        if op.kind == Kind::Invoke {
            let what = match op.f {
                "send" | "poll" | "txn" => Some(What::Txn),
                "assign" => Some(What::Assign),
                "subscribe" => Some(What::Subscribe),
                "crash" | "debug-topic-partitions" => None,
                f => {
                    let (index, f) = (op.index, f.into());
                    return Err(ColumnError::OtherFunction { index, f, known: KNOWN });
                }
            };
            self.parse(what, op)?;
            let (sends, keys) = (self.parts.sends.clone(), self.parts.keys.clone());
            let who = (op.index, op.time_ns, process);
            return self.in_flight.begin(who, |span| Begun { span, what, sends, keys });
        }
        let (begun, ret) = self.in_flight.end(op.index, process)?;
        self.parse(begun.what, op)?;
        if op.value.is_null() {
            self.parts.sends = begun.sends;
            self.parts.keys = begun.keys;
        }
        let (outcome, span) = match op.kind {
            Kind::Ok => (Outcome::Ok, Span { ret, end_ns: op.time_ns, ..begun.span }),
            Kind::Fail => (Outcome::Fail, Span { ret, end_ns: op.time_ns, ..begun.span }),
            // A process that crashed may still be at it.
            Kind::Info | Kind::Invoke => (Outcome::Info, begun.span),
        };
        self.push((span, ret), begun.what, outcome);
        Ok(())
    }

    /// All rows.
    pub fn finish(mut self) -> Log {
        for begun in self.in_flight.rest() {
            let (sends, keys) = (begun.sends, begun.keys);
            self.parts = Parts { sends, keys, ..Parts::default() };
            self.push((begun.span, begun.span.call), begun.what, Outcome::Info);
        }
        self.log
    }

    fn push(&mut self, (span, event): (Span, u32), what: Option<What>, outcome: Outcome) {
        let Some(what) = what else { return };
        let Log { ops, sends, polls, lists, .. } = &mut self.log;
        let sends = append(sends, &self.parts.sends);
        let polls = append(polls, &self.parts.polls);
        let keys = append(lists, &self.parts.keys);
        let rebalanced = append(lists, &self.parts.rebalanced);
        let consumes = self.parts.consumes;
        ops.push(Op { span, event, what, outcome, consumes, sends, polls, keys, rebalanced });
    }

    fn parse(&mut self, what: Option<What>, op: &RawOp<'_>) -> Result<(), ColumnError> {
        let Parts { sends, polls, keys, rebalanced, consumes } = &mut self.parts;
        *consumes = false;
        sends.clear();
        polls.clear();
        keys.clear();
        rebalanced.clear();
        let Some(what) = what.filter(|_| !op.value.is_null()) else { return Ok(()) };
        let (parsed, expected) = match what {
            What::Txn => (self.micro_ops(op.value.json()), MICRO_OPS),
            What::Assign | What::Subscribe => {
                (keys_of(op.value.json(), &mut self.names, &mut self.log, keys), KEYS)
            }
        };
        parsed.ok_or_else(|| ColumnError::Value { index: op.index, f: op.f.into(), expected })
    }

    fn micro_ops(&mut self, value: RawValue<'_>) -> Option<()> {
        for micro in value.items()? {
            let mut fields = micro.items()?;
            match fields.next()?.text() {
                "\"send\"" => {
                    let item = self.sent(fields.next()?, fields.next()?)?;
                    self.parts.sends.push(item);
                }
                "\"poll\"" => {
                    self.parts.consumes = true;
                    if let Some(polled) = fields.next().filter(|polled| !polled.is_null()) {
                        self.polled(polled)?;
                    }
                }
                "\"rebalance\"" => {
                    let into = &mut self.parts.rebalanced;
                    keys_of(fields.next()?, &mut self.names, &mut self.log, into)?;
                }
                _ => return None,
            }
            if fields.next().is_some() {
                return None;
            }
        }
        Some(())
    }

    fn sent(&mut self, key: RawValue<'_>, value: RawValue<'_>) -> Option<Item> {
        let key = self.names.key(atom(key), &mut self.log.keys);
        self.item(key, value).or_else(|| {
            let message = self.names.message(key, atom(value), &mut self.log.messages);
            value.items().is_none().then_some(Item { message, offset: NO_OFFSET })
        })
    }

    fn polled(&mut self, polled: RawValue<'_>) -> Option<()> {
        for (key, pairs) in polled.entries()? {
            let key = self.names.text_key(&key, &mut self.log.keys);
            self.parts.keys.push(key);
            for pair in pairs.items()? {
                let item = self.item(key, pair)?;
                self.parts.polls.push(item);
            }
        }
        Some(())
    }

    /// What `[offset, value]` says; an offset may be null.
    fn item(&mut self, key: u32, pair: RawValue<'_>) -> Option<Item> {
        let (offset, value) = match pair.as_int_pair() {
            Some((offset, value)) => (offset, value.into()),
            None => {
                let mut fields = pair.items()?;
                let offset = fields.next()?;
                let offset = if offset.is_null() { NO_OFFSET } else { offset.as_int()? };
                let value = atom(fields.next()?);
                fields.next().is_none().then_some(())?;
                (offset, value)
            }
        };
        let message = self.names.message(key, value, &mut self.log.messages);
        Some(Item { message, offset: offset.max(NO_OFFSET) })
    }
}

fn keys_of(
    list: RawValue<'_>,
    names: &mut Names,
    log: &mut Log,
    into: &mut Vec<u32>,
) -> Option<()> {
    for key in list.items()? {
        into.push(names.key(atom(key), &mut log.keys));
    }
    Some(())
}

fn append<T: Copy>(column: &mut Vec<T>, items: &[T]) -> std::ops::Range<u32> {
    let from = column.len();
    column.extend_from_slice(items);
    let position = |n: usize| u32::try_from(n).expect("fewer rows than 2^32");
    position(from)..position(column.len())
}
