//! What committed transactions did to each other, by number.

use crate::columns::WordMap;
use crate::txn::columns::{F, MicroOp, NONE, Txns, Writers};

/// A read that says something of other transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub key: u32,
    /// What it saw; [`NONE`] of the initial version.
    pub version: u32,
    /// The committed transaction that wrote it, or [`NONE`].
    pub writer: u32,
}

/// A final write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub key: u32,
    pub version: u32,
}

/// Rows of a flat array by transaction.
#[derive(Debug)]
struct Rows<T> {
    starts: Vec<u32>,
    all: Vec<T>,
}

impl<T> Rows<T> {
    fn with_room(rows: usize, all: usize) -> Self {
        let mut starts = Vec::with_capacity(rows + 1);
        starts.push(0);
        Self { starts, all: Vec::with_capacity(all) }
    }

    /// The row of the next transaction is whole.
    fn close(&mut self) {
        self.starts.push(u32::try_from(self.all.len()).expect("fewer operations than 2^32"));
    }

    fn of(&self, row: u32) -> &[T] {
        let row = row as usize;
        &self.all[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

impl Rows<Read> {
    /// Whether the row that is open ends with this read.
    fn ends_with(&self, key: u32, version: u32) -> bool {
        let from = self.starts.last().map_or(0, |start| *start as usize);
        self.all[from..].last().is_some_and(|read| (read.key, read.version) == (key, version))
    }
}

/// A history of registers as its checkers see it.
pub(super) struct View<'a> {
    pub txns: &'a Txns,
    pub writers: Writers,
    /// By transaction: whether it certainly took effect.
    pub committed: Vec<bool>,
    /// By session: its committed transactions, in its order.
    pub sessions: Vec<Vec<u32>>,
    /// By transaction: its place in its session, from 1; 0 of those that did not commit.
    pub places: Vec<u32>,
    reads: Rows<Read>,
    writes: Rows<Write>,
    /// By transaction: the bits of all keys that it wrote, see [`bit`].
    wrote: Vec<u64>,
}

/// Stands for a key among others: who wrote none of some keys is mostly known by their bits.
pub(super) const fn bit(key: u32) -> u64 {
    1 << (key % u64::BITS)
}

impl<'a> View<'a> {
    pub fn new(txns: &'a Txns, writers: Writers) -> Self {
        let committed = writers.took_effect(txns);
        let mut sessions = vec![Vec::new(); txns.processes.len()];
        let mut places = vec![0; txns.txns.len()];
        for (row, txn) in txns.txns.iter().enumerate().filter(|(row, _)| committed[*row]) {
            let session: &mut Vec<u32> = &mut sessions[txn.session as usize];
            session.push(row as u32);
            places[row] = session.len() as u32;
        }
        let (rows, ops) = (txns.txns.len(), txns.ops.len());
        let mut view = Self {
            txns,
            writers,
            committed,
            sessions,
            places,
            reads: Rows::with_room(rows, ops / 2),
            writes: Rows::with_room(rows, ops / 2),
            wrote: vec![0; rows],
        };
        view.fill();
        view
    }

    /// The reads of a transaction in its order; without those of what it wrote itself, of what nobody wrote, and of what did not
    /// commit. What it had read before stands there again, unless it had read nothing else in between: by then it may have seen more.
    pub fn reads(&self, row: u32) -> &[Read] {
        self.reads.of(row)
    }

    /// The final writes of a committed transaction, by key.
    pub fn writes(&self, row: u32) -> &[Write] {
        self.writes.of(row)
    }

    /// Whether a committed transaction may have written one of the keys of these bits; false is certain.
    pub fn may_have_written(&self, row: u32, bits: u64) -> bool {
        self.wrote[row as usize] & bits != 0
    }

    /// What a transaction wrote to a key in the end.
    pub fn write_of(&self, row: u32, key: u32) -> Option<u32> {
        let writes = self.writes(row);
        let at = writes.binary_search_by_key(&key, |write| write.key).ok()?;
        Some(writes[at].version)
    }

    /// How many transactions there are, of all kinds.
    pub fn rows(&self) -> u32 {
        self.txns.txns.len() as u32
    }

    pub fn session(&self, row: u32) -> u32 {
        self.txns.txns[row as usize].session
    }

    /// The committed transaction before this one in its session.
    pub fn before(&self, row: u32) -> Option<u32> {
        let place = self.places[row as usize].checked_sub(2)?;
        Some(self.sessions[self.session(row) as usize][place as usize])
    }

    fn fill(&mut self) {
        // By key: the last transaction that wrote it.
        let mut wrote = vec![NONE; self.txns.keys.len()];
        for row in 0..self.rows() {
            if self.committed[row as usize] {
                let from = self.writes.all.len();
                for op in self.txns.ops(row) {
                    self.take(row, *op, &mut wrote);
                }
                let writes = &mut self.writes.all[from..];
                self.wrote[row as usize] = writes.iter().fold(0, |bits, w| bits | bit(w.key));
                writes.sort_by_key(|write| write.key);
                let kept = keep_last(writes);
                self.writes.all.truncate(from + kept);
            }
            self.reads.close();
            self.writes.close();
        }
    }

    fn take(&mut self, row: u32, op: MicroOp, wrote: &mut [u32]) {
        let key = op.key as usize;
        match op.f {
            F::Write => {
                wrote[key] = row;
                self.writes.all.push(Write { key: op.key, version: op.value });
            }
            F::Read if wrote[key] != row && !self.reads.ends_with(op.key, op.value) => {
                let writer = match op.value {
                    NONE => Some(NONE),
                    version => {
                        let writer = self.writers.of(version).filter(|writer| *writer != row);
                        writer.filter(|writer| self.committed[*writer as usize])
                    }
                };
                if let Some(writer) = writer {
                    self.reads.all.push(Read { key: op.key, version: op.value, writer });
                }
            }
            _ => {}
        }
    }
}

/// Of writes in order of their keys keeps the last of each key, and says how many are left.
fn keep_last(writes: &mut [Write]) -> usize {
    let mut kept = 0;
    for at in 0..writes.len() {
        if writes.get(at + 1).is_none_or(|next| next.key != writes[at].key) {
            writes[kept] = writes[at];
            kept += 1;
        }
    }
    kept
}

/// Says of versions that nobody wrote, and that have the value that keys hold at first, that they are that.
pub(super) fn know_initial(txns: &mut Txns, writers: &Writers, initial: &keelhaul_history::Value) {
    if *initial == keelhaul_history::Value::Null {
        return;
    }
    let unwritten = (0..txns.versions()).filter(|version| writers.of(*version).is_none());
    let initials: WordMap<u32, ()> = unwritten
        .filter(|version| txns.value(*version) == *initial)
        .map(|version| (version, ()))
        .collect();
    for op in txns.ops.iter_mut().filter(|op| op.f == F::Read) {
        if initials.contains_key(&op.value) {
            op.value = NONE;
        }
    }
}
