//! Which transactions depend on which.
//!
//! With the order of versions known, Adya's direct dependencies are: *ww*, the target wrote the version that follows one of the
//! source's; *wr*, the target read what the source wrote; *rw*, the target wrote the version that follows one that the source
//! read. Only the first access of a transaction to a key counts as a read: what it reads afterwards is its own affair, or an
//! internal anomaly.

use super::columns::{F, MicroOp, NONE, Outcome, Txns, Writers};
use super::orders::Orders;
use crate::graph::{Classes, Graph, GraphBuilder, Times, realtime};

/// A read that says something of other transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// The reader.
    pub txn: u32,
    pub key: u32,
    /// The version it saw, for lists the last one; [`NONE`] of the initial one.
    pub version: u32,
}

/// Calls `each` for every external read of transactions that committed, in order.
pub(crate) fn externals(txns: &Txns, mut each: impl FnMut(External)) {
    let mut accessed = vec![NONE; txns.keys.len()];
    for (row, txn) in txns.txns.iter().enumerate() {
        if txn.outcome == Outcome::Ok {
            externals_of(txns, row as u32, &mut accessed, &mut each);
        }
    }
}

/// By key `accessed` has the last transaction that was seen to access it.
fn externals_of(txns: &Txns, txn: u32, accessed: &mut [u32], each: &mut impl FnMut(External)) {
    for op in txns.ops(txn) {
        if std::mem::replace(&mut accessed[op.key as usize], txn) == txn {
            continue;
        }
        if let Some(version) = saw(txns, *op) {
            each(External { txn, key: op.key, version });
        }
    }
}

/// The version that an operation read, if it is a read; the last one of a list.
fn saw(txns: &Txns, op: MicroOp) -> Option<u32> {
    match op.f {
        F::Read => Some(op.value),
        F::List | F::Odd => Some(txns.list(op)?.last().copied().unwrap_or(NONE)),
        F::Append | F::Write | F::Match | F::Unknown => None,
    }
}

/// The external reads of one transaction.
pub(crate) fn externals_in(txns: &Txns, txn: u32) -> Vec<External> {
    let mut found = Vec::new();
    if txns.txns[txn as usize].outcome == Outcome::Ok {
        for (at, op) in txns.ops(txn).iter().enumerate() {
            if txns.ops(txn)[..at].iter().any(|before| before.key == op.key) {
                continue;
            }
            if let Some(version) = saw(txns, *op) {
                found.push(External { txn, key: op.key, version });
            }
        }
    }
    found
}

/// All dependencies between transactions, without those of time.
pub(crate) struct Dependencies<'a> {
    pub txns: &'a Txns,
    pub writers: &'a Writers,
    pub orders: &'a Orders,
}

impl Dependencies<'_> {
    /// A graph of them; with the order of real time, which has that of processes in it, or the latter apart from the
    /// former too. The second is how many edges are not of time.
    pub fn graph(&self, processes: bool) -> (Graph, usize) {
        let txns = &self.txns.txns;
        let mut graph = GraphBuilder::new(txns.len() as u32);
        self.writes(&mut graph);
        self.reads(&mut graph);
        let edges = graph.len();
        let times = txns.iter().map(|txn| Times {
            call: txn.span.call,
            ret: (txn.span.completed() && txn.outcome == Outcome::Ok).then_some(txn.span.ret),
        });
        realtime(&mut graph, &times.collect::<Vec<_>>());
        if processes {
            self.processes(&mut graph);
        }
        (graph.build(), edges)
    }

    fn writes(&self, graph: &mut GraphBuilder) {
        for key in 0..self.orders.by_key.len() {
            let mut before = None;
            for version in self.orders.from(key as u32, 0) {
                let Some(writer) = self.orders.writer(self.writers, version) else { continue };
                if let Some(before) = before.replace(writer) {
                    graph.edge(before, writer, Classes::WW);
                }
            }
            if let Some(last) = before {
                self.orders.tails[key].iter().for_each(|t| graph.edge(last, *t, Classes::WW));
            }
        }
    }

    fn reads(&self, graph: &mut GraphBuilder) {
        let mut chains: Vec<Option<Chains>> = vec![None; self.txns.keys.len()];
        externals(self.txns, |read| {
            let External { txn, key, version } = read;
            if version != NONE
                && let Some(writer) = self.orders.writer(self.writers, version)
            {
                graph.edge(writer, txn, Classes::WR);
            }
            match self.next_writers(read) {
                Next::One(writer) => graph.edge(txn, writer, Classes::RW),
                Next::Tail => {
                    let tail = &self.orders.tails[key as usize];
                    let chains = &mut chains[key as usize];
                    chains.get_or_insert_with(|| Chains::new(tail, graph)).edges(txn, tail, graph);
                }
                Next::Nobody => {}
            }
        });
    }

    /// Who wrote what follows the version that was read.
    pub fn next_writers(&self, read: External) -> Next {
        let Some(place) = self.orders.after(read.version) else { return Next::Nobody };
        let rest = self.orders.from(read.key, place);
        let mut writers = rest.filter_map(|v| self.orders.writer(self.writers, v));
        if let Some(writer) = writers.next() {
            return Next::One(writer);
        }
        match self.orders.tails[read.key as usize][..] {
            [] => Next::Nobody,
            [writer] => Next::One(writer),
            _ => Next::Tail,
        }
    }

    fn processes(&self, graph: &mut GraphBuilder) {
        let mut last = vec![NONE; self.txns.processes.len()];
        for (row, txn) in self.txns.txns.iter().enumerate() {
            if self.orders.committed[row] {
                let before = std::mem::replace(&mut last[txn.session as usize], row as u32);
                if before != NONE {
                    graph.edge(before, row as u32, Classes::PROCESS);
                }
            }
        }
    }
}

/// Relays from those who read the last version of a key's order to all transactions that follow it but themselves: one chain
/// goes up the tail, one goes down.
#[derive(Clone, Copy)]
pub(super) struct Chains {
    /// The relay to the first of the tail and all after it; the others follow.
    up: u32,
    /// The relay to the first of the tail alone; the one after it leads to the second and the first, and so on.
    down: u32,
}

impl Chains {
    pub fn new(tail: &[u32], graph: &mut GraphBuilder) -> Self {
        let up: Vec<u32> = tail.iter().map(|_| graph.relay()).collect();
        let down: Vec<u32> = tail.iter().map(|_| graph.relay()).collect();
        for (at, writer) in tail.iter().enumerate() {
            graph.edge(up[at], *writer, Classes::RW);
            graph.edge(down[at], *writer, Classes::RW);
            if at > 0 {
                graph.edge(up[at - 1], up[at], Classes::RW);
                graph.edge(down[at], down[at - 1], Classes::RW);
            }
        }
        Self { up: up[0], down: down[0] }
    }

    pub fn edges(self, reader: u32, tail: &[u32], graph: &mut GraphBuilder) {
        let Ok(at) = tail.binary_search(&reader) else {
            return graph.edge(reader, self.up, Classes::RW);
        };
        if at + 1 < tail.len() {
            graph.edge(reader, self.up + at as u32 + 1, Classes::RW);
        }
        if at > 0 {
            graph.edge(reader, self.down + at as u32 - 1, Classes::RW);
        }
    }
}

/// See [`Dependencies::next_writers`].
pub(crate) enum Next {
    One(u32),
    /// All of the key's tail.
    Tail,
    Nobody,
}
