//! Ops on their way from a thread that reads to one that judges.
//!
//! Reading costs about as much as making columns of what was read. [`Batcher`] copies ops into batches, which may be sent
//! anywhere; [`Batches`] hands the same ops out again. Both are pure: who runs them, and on which threads, is the caller's.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::import::OpSource;
use crate::raw::{Invoked, RawOp, RawValue};
use crate::registers::{OpValue, RegisterOp, Registers};
use crate::{Ending, Header, Kind, NodeId, Process, ReadError};

/// A batch is full when it has this many ops, or [`BYTES`] of their text and numbers: both stay in a processor's cache.
const OPS: usize = 1024;

/// See [`OPS`]. One op more may be in it, which may be large.
const BYTES: usize = 64 * 1024;

/// Marks a text that an op does not have.
const ABSENT: u32 = u32::MAX;

/// An op without its texts.
struct Slot {
    index: u64,
    time_ns: u64,
    invoked: Option<Invoked>,
    line: u64,
    process: Process,
    kind: Kind,
    node: Option<NodeId>,
    /// Where its function, key, value and error end in the batch's text, each of which begins where the one before ends.
    ends: [u32; 4],
    /// Where its value ends in the batch's operations, if it is some of these; then it has no text until somebody asks for it.
    ops_end: u32,
    json: OnceCell<Box<str>>,
}

/// Where something is in a batch's text, and in its operations.
#[derive(Clone, Copy, Default)]
struct Place {
    text: usize,
    ops: usize,
}

/// How a source came to its end.
struct End {
    result: Result<Option<Ending>, ReadError>,
    notes: Vec<String>,
}

/// Some ops of a history, with all that they say.
#[derive(Default)]
pub struct Batch {
    text: String,
    ops: Vec<RegisterOp>,
    slots: Vec<Slot>,
    /// Set on the last batch.
    end: Option<End>,
}

impl Batch {
    /// Takes an op, whose line it does not say.
    fn push(&mut self, op: &RawOp<'_>) {
        let (value, ops_end) = match op.value {
            OpValue::Json(json) => (Some(json.text()), ABSENT),
            OpValue::Registers(registers) => {
                self.ops.extend_from_slice(registers.ops);
                (None, position(self.ops.len()))
            }
        };
        let texts = [Some(op.f), op.key.map(RawValue::text), value, op.error.as_deref()];
        let ends = texts.map(|text| {
            let Some(text) = text else { return ABSENT };
            self.text.push_str(text);
            position(self.text.len())
        });
        let RawOp { index, time_ns, process, kind, node, invoked, .. } = *op;
        let (line, json) = (0, OnceCell::new());
        let slot = Slot { index, time_ns, invoked, line, process, kind, node, ends, ops_end, json };
        self.slots.push(slot);
    }

    fn is_full(&self) -> bool {
        let bytes = self.text.len() + self.ops.len() * size_of::<RegisterOp>();
        self.slots.len() >= OPS || bytes >= BYTES
    }

    /// The op at a place whose texts and operations begin there, and where they end.
    fn op(&self, at: usize, from: Place) -> (RawOp<'_>, Place) {
        let slot = &self.slots[at];
        let mut begin = from.text;
        let mut ops_end = from.ops;
        let [f, key, value, error] = slot.ends.map(|end| {
            let end = Some(end).filter(|end| *end != ABSENT)? as usize;
            Some(&self.text[std::mem::replace(&mut begin, end)..end])
        });
        let value = match value {
            Some(text) => OpValue::Json(RawValue(text)),
            None => {
                ops_end = slot.ops_end as usize;
                let ops = &self.ops[from.ops..ops_end];
                OpValue::Registers(Registers { ops, json: &slot.json })
            }
        };
        let Slot { index, time_ns, process, kind, node, invoked, .. } = *slot;
        let op = RawOp {
            index,
            time_ns,
            process,
            kind,
            f: f.unwrap_or_default(),
            key: key.map(RawValue),
            value,
            node,
            error: error.map(Cow::Borrowed),
            invoked,
        };
        (op, Place { text: begin, ops: ops_end })
    }
}

fn position(length: usize) -> u32 {
    u32::try_from(length).expect("no line is that long")
}

/// Makes batches of a source, the last of which says how it ended.
pub struct Batcher<S> {
    source: S,
    ended: bool,
}

impl<S: OpSource> Batcher<S> {
    /// Nothing is read before the first batch is asked for.
    pub const fn new(source: S) -> Self {
        Self { source, ended: false }
    }
}

impl<S: OpSource> Iterator for Batcher<S> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.ended {
            return None;
        }
        let mut batch = Batch::default();
        while !batch.is_full() {
            let result = match self.source.next_op() {
                Ok(Some(op)) => {
                    let slot = batch.slots.len();
                    batch.push(&op);
                    batch.slots[slot].line = self.source.line();
                    continue;
                }
                Ok(None) => Ok(self.source.ending()),
                Err(error) => Err(error),
            };
            self.ended = true;
            batch.end = Some(End { result, notes: self.source.notes() });
            break;
        }
        Some(batch)
    }
}

/// The ops of batches, one after the other.
pub struct Batches<I> {
    header: Header,
    rest: I,
    batch: Batch,
    at: usize,
    /// Where what belongs to the next op begins.
    from: Place,
    ending: Option<Ending>,
    notes: Vec<String>,
}

impl<I: Iterator<Item = Batch>> Batches<I> {
    /// The ops of all `batches` of one [`Batcher`], in their order, of a history with that header.
    pub fn new(header: Header, batches: I) -> Self {
        let (batch, notes) = (Batch::default(), Vec::new());
        Self { header, rest: batches, batch, at: 0, from: Place::default(), ending: None, notes }
    }
}

impl<I: Iterator<Item = Batch>> OpSource for Batches<I> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_op(&mut self) -> Result<Option<RawOp<'_>>, ReadError> {
        while self.at == self.batch.slots.len() {
            if let Some(End { result, notes }) = self.batch.end.take() {
                self.notes = notes;
                self.ending = result?;
                return Ok(None);
            }
            let Some(batch) = self.rest.next() else { return Ok(None) };
            (self.batch, self.at, self.from) = (batch, 0, Place::default());
        }
        let (op, end) = self.batch.op(self.at, self.from);
        (self.at, self.from) = (self.at + 1, end);
        Ok(Some(op))
    }

    fn line(&self) -> u64 {
        let latest = self.at.checked_sub(1).and_then(|at| self.batch.slots.get(at));
        latest.map_or(1, |slot| slot.line)
    }

    fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{self, Options};

    /// Every op with its line as text, then how it ended.
    fn told(mut source: impl OpSource) -> Vec<String> {
        let mut told = vec![format!("{:?}", source.header())];
        loop {
            match source.next_op() {
                Ok(Some(op)) => told.push(format!("{op:?}")),
                Ok(None) => break,
                Err(error) => {
                    told.push(error.to_string());
                    break;
                }
            }
            told.push(source.line().to_string());
        }
        told.push(format!("{:?} {:?}", source.ending(), source.notes()));
        told
    }

    fn check(file: &str) {
        let open = || import::open(file.as_bytes(), None, Options::default()).unwrap();
        let source = open();
        let header = source.header().clone();
        assert_eq!(told(Batches::new(header, Batcher::new(source))), told(open()));
    }

    /// A history of pairs of invocation and completion, and what follows it.
    fn history(pairs: u64, tail: &str) -> String {
        let mut file = format!(
            "{}\n",
            serde_json::json!({
                "keelhaul": 1, "store": "", "workload": "", "model": "", "nodes": [], "faults": [], "seed": 0,
                "started": "", "options": {}
            })
        );
        for n in 0..pairs {
            let i = 2 * n;
            file += &format!(
                "{{\"index\":{i},\"time\":{i},\"type\":\"invoke\",\"process\":0,\"f\":\"read\",\"value\":null,\"node\":\"n2\"}}\n\
                 {{\"index\":{},\"time\":{i},\"type\":\"fail\",\"process\":0,\"f\":\"read\",\"key\":\"k\",\"value\":[{n}],\"error\":\"\"}}\n",
                i + 1
            );
        }
        file + tail
    }

    #[test]
    fn batches_say_what_their_source_says() {
        check(&history(0, ""));
        check(&history(1, ""));
        check(&history(OPS as u64 / 2, ""));
        check(&history(3 * OPS as u64, "{\"index\":"));
        check(&history(OPS as u64, "nonsense\n"));
        check(
            "{:process 0, :type :invoke, :f :read}\n\n{:process 0, :type :ok, :f :read, :value 1}\n",
        );
        // Values that are numbers, and none.
        let lines = |n: u64| format!("w(1,{n},0,{n})\nr(2,0,0,{n})\nw(3,{n},7,-1)\n");
        check(&(1..2 * OPS as u64).map(lines).collect::<String>());
    }

    #[test]
    fn a_large_text_is_in_one_batch() {
        let large = format!("\"{}\"", "x".repeat(4 * BYTES));
        check(&format!("{{:process 0, :type :invoke, :f :write, :value {large}}}\n"));
    }
}
