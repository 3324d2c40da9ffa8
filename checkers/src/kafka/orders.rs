//! In what order a partition's messages stand, as far as clients were told.
//!
//! What counts: every poll, also of a transaction that failed, for consumers are to see safe messages only; and every send that
//! was acknowledged, or whose transaction must have been committed because another poll returned some message of it.
//! Offsets have gaps, where brokers keep marks of their own; *positions* number the offsets that are known to be in use.

use super::log::{Item, Log, NO_OFFSET, Outcome};

/// No position is known.
const NONE: u32 = u32::MAX;

/// The order of every key.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// By key: its first position; and the end of the last.
    starts: Vec<u32>,
    /// By position.
    offsets: Vec<i64>,
    /// By position: where its entries begin; and the end of the last.
    entry_starts: Vec<u32>,
    /// What is at the positions: more than one at one is a contradiction.
    entries: Vec<Entry>,
    /// By message: its first and last position, or [`NONE`].
    spans: Vec<(u32, u32)>,
    /// By operation: whether what it sent was certainly committed.
    committed: Vec<bool>,
    /// By message: whether an operation that succeeded polled it.
    pub read_ok: Vec<bool>,
}

/// A message at a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub message: u32,
    /// The first operation that says so, as row of the log.
    pub said_by: u32,
}

impl Orders {
    pub fn new(log: &Log) -> Self {
        let mut read_ok = vec![false; log.messages.len()];
        for op in log.ops.iter().filter(|op| op.outcome == Outcome::Ok) {
            log.polls_of(op).iter().for_each(|item| read_ok[item.message as usize] = true);
        }
        let committed = log.ops.iter().map(|op| match op.outcome {
            Outcome::Ok => true,
            Outcome::Info => log.sends_of(op).iter().any(|item| read_ok[item.message as usize]),
            Outcome::Fail => false,
        });
        let committed: Vec<bool> = committed.collect();
        let mut orders = Self { committed, read_ok, ..Self::default() };
        orders.place(log, orders.said(log));
        orders
    }

    /// Everything that was said, in order of keys and offsets: key, offset, message, operation.
    fn said(&self, log: &Log) -> Vec<(u32, i64, u32, u32)> {
        let mut said = Vec::with_capacity(log.sends.len() + log.polls.len());
        for (row, op) in log.ops.iter().enumerate() {
            let sends = log.sends_of(op).iter().filter(|_| self.committed[row]);
            for item in sends.chain(log.polls_of(op)).filter(|item| item.offset != NO_OFFSET) {
                said.push((log.key_of(item.message), item.offset, item.message, row as u32));
            }
        }
        said.sort_unstable();
        said
    }

    fn place(&mut self, log: &Log, said: Vec<(u32, i64, u32, u32)>) {
        self.spans = vec![(NONE, NONE); log.messages.len()];
        let mut before = None;
        for (key, offset, message, said_by) in said {
            if before == Some((key, offset, message)) {
                continue;
            }
            if before.is_none_or(|(k, o, _)| (k, o) != (key, offset)) {
                while self.starts.len() <= key as usize {
                    self.starts.push(self.offsets.len() as u32);
                }
                self.offsets.push(offset);
                self.entry_starts.push(self.entries.len() as u32);
            }
            before = Some((key, offset, message));
            self.entries.push(Entry { message, said_by });
            let position = self.offsets.len() as u32 - 1;
            let (first, last) = &mut self.spans[message as usize];
            *first = (*first).min(position);
            *last = position;
        }
        self.starts.resize(log.keys.len() + 1, self.offsets.len() as u32);
        self.entry_starts.push(self.entries.len() as u32);
    }

    /// The positions of a key.
    pub fn positions(&self, key: u32) -> std::ops::Range<u32> {
        self.starts[key as usize]..self.starts[key as usize + 1]
    }

    pub fn offset(&self, position: u32) -> i64 {
        self.offsets[position as usize]
    }

    /// What is said to be at a position.
    pub fn at(&self, position: u32) -> &[Entry] {
        let starts = &self.entry_starts;
        &self.entries[starts[position as usize] as usize..starts[position as usize + 1] as usize]
    }

    /// First and last position of a message.
    pub fn span(&self, message: u32) -> Option<(u32, u32)> {
        Some(self.spans[message as usize]).filter(|(first, _)| *first != NONE)
    }

    /// Whether what the operation sent was certainly committed.
    pub fn committed(&self, row: u32) -> bool {
        self.committed[row as usize]
    }

    /// Where an item stands; nothing where that is not known, or contradicted.
    pub fn position(&self, log: &Log, item: Item) -> Option<u32> {
        let (first, last) = self.span(item.message)?;
        let single = first == last && [NO_OFFSET, self.offset(first)].contains(&item.offset);
        let position = if single {
            first
        } else {
            let range = self.positions(log.key_of(item.message));
            let offsets = &self.offsets[range.start as usize..range.end as usize];
            range.start + offsets.binary_search(&item.offset).ok()? as u32
        };
        let [entry] = self.at(position) else { return None };
        (entry.message == item.message).then_some(position)
    }
}
