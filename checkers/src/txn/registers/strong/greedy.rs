//! A serial run that a history may be of, found by going along.
//!
//! Sessions stand in a line each, and whoever can go next does: who finds what it read, and buries nothing that somebody else
//! has still to read. Only where several could write is there a choice, and the one that began first is taken. If all get
//! through, their order is the proof; if they get stuck, nothing is said. Linear in practice, at any size.

use super::problem::{Time, Txn};
use crate::columns::WordMap;
use crate::graph::Times;

/// No transaction.
const NONE: u32 = u32::MAX;

/// What a key holds.
#[derive(Clone, Copy)]
struct Held {
    writer: u32,
    /// Who has still to read it.
    waiting: u32,
}

/// Whether going along finds an order that fits the sessions, and real time if it counts.
pub(super) fn serial(txns: &[Txn], time: Time) -> bool {
    let mut run = Run::new(txns, time);
    while let Some(next) = run.next() {
        run.go(next);
    }
    run.gone == txns.len()
}

struct Run<'a> {
    txns: &'a [Txn],
    time: Time,
    /// By session: its transactions, and how many are gone.
    sessions: Vec<(Vec<u32>, usize)>,
    held: WordMap<u32, Held>,
    /// By version, a writer and a key: how many others read it.
    readers: WordMap<(u32, u32), u32>,
    gone: usize,
}

impl<'a> Run<'a> {
    fn new(txns: &'a [Txn], time: Time) -> Self {
        let mut sessions: WordMap<u32, usize> = WordMap::default();
        let mut lines: Vec<(Vec<u32>, usize)> = Vec::new();
        let mut readers: WordMap<(u32, u32), u32> = WordMap::default();
        for (at, txn) in (0..).zip(txns) {
            let line = *sessions.entry(txn.session).or_insert(lines.len());
            if line == lines.len() {
                lines.push((Vec::new(), 0));
            }
            lines[line].0.push(at);
            for (key, writer) in &txn.reads {
                *readers.entry((writer.unwrap_or(NONE), *key)).or_default() += 1;
            }
        }
        Self { txns, time, sessions: lines, held: WordMap::default(), readers, gone: 0 }
    }

    fn held(&self, key: u32) -> Held {
        let initial =
            || Held { writer: NONE, waiting: self.readers.get(&(NONE, key)).copied().unwrap_or(0) };
        self.held.get(&key).copied().unwrap_or_else(initial)
    }

    /// Who goes next: of those who can, one that writes nothing, or who began first.
    fn next(&self) -> Option<usize> {
        let heads = || {
            let lines = self.sessions.iter().enumerate();
            lines.filter_map(|(line, (txns, gone))| Some((line, *txns.get(*gone)?)))
        };
        let over = |times: Times| times.ret.unwrap_or(u32::MAX);
        // What is not gone ends after this.
        let first_end = heads().map(|(_, txn)| over(self.txns[txn as usize].times)).min()?;
        let may = |txn: u32| {
            let txn = &self.txns[txn as usize];
            (self.time != Time::Real || txn.times.call <= first_end) && self.fits(txn)
        };
        let able = heads().filter(|(_, txn)| may(*txn));
        let first = able.min_by_key(|(_, txn)| (!self.txns[*txn as usize].writes.is_empty(), *txn));
        first.map(|(line, _)| line)
    }

    fn fits(&self, txn: &Txn) -> bool {
        let finds =
            |(key, writer): &(u32, Option<u32>)| self.held(*key).writer == writer.unwrap_or(NONE);
        let buries = |key: &u32| {
            let own = txn.reads.iter().any(|(read, _)| read == key);
            self.held(*key).waiting > u32::from(own)
        };
        txn.reads.iter().all(finds) && !txn.writes.iter().any(buries)
    }

    fn go(&mut self, line: usize) {
        let (txns, gone) = &mut self.sessions[line];
        let at = txns[*gone];
        *gone += 1;
        self.gone += 1;
        let txn = &self.txns[at as usize];
        for (key, _) in &txn.reads {
            let held = self.held(*key);
            self.held.insert(*key, Held { waiting: held.waiting - 1, ..held });
        }
        for key in &txn.writes {
            let waiting = self.readers.get(&(at, *key)).copied().unwrap_or(0);
            self.held.insert(*key, Held { writer: at, waiting });
        }
    }
}
