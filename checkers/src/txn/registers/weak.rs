//! Monotonic atomic view, read atomic and causal: what must have been written before what, so that nobody missed anything.
//!
//! Each level is an axiom about transactions T1, T2 and T3 and a key that T1 and T2 write and T3 reads from T1: if T3 had
//! *seen* T2, T2's write came before T1's. The levels differ in what was seen (Biswas & Enea 2019, figure 2):
//!
//! * monotonic atomic view: what an earlier read of the same transaction read from;
//! * read atomic: what any read of it read from (else reads are *fractured*), and the earlier transactions of its session;
//! * causal: all that happened before it, by sessions and reads.
//!
//! The history has the level if these orders, reads and (but for the first, and fractured reads) sessions make no circle. Near-linear procedures:
//! L. Møldrup & A. Pavlogiannis, *AWDIT: An Optimal Weak Database Isolation Tester*, PLDI 2025. Theirs are the first two; for
//! causal consistency, writers that happened before T1 say nothing new, and lists of [`KeyWriters`] leave them out.

use super::order::{Clocks, Order};
use super::view::{Read, View, bit};
use super::writes::KeyWriters;
use crate::graph::{Classes, Graph, GraphBuilder, acyclic};
use crate::txn::columns::NONE;

/// What of transactions is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Monotonic,
    /// Read atomic without sessions.
    Fractured,
    Atomic,
    Causal,
}

impl Level {
    /// Whether sessions have a part in it.
    pub fn has_sessions(self) -> bool {
        matches!(self, Self::Atomic | Self::Causal)
    }

    /// What its violation is called.
    pub const fn anomaly(self) -> &'static str {
        match self {
            Self::Monotonic => "G-monotonic",
            Self::Fractured => "fractured-read",
            Self::Atomic => "fractured-read-process",
            Self::Causal => "causality-violation",
        }
    }
}

/// `seen` wrote the key before `writer` did, since `reader` had seen the one and read from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inferred {
    pub seen: u32,
    /// [`NONE`] if the reader found the initial version.
    pub writer: u32,
    pub key: u32,
    pub reader: u32,
}

/// Everything that is inferred from.
pub(super) struct Past<'a> {
    pub view: &'a View<'a>,
    pub order: Option<&'a Order>,
    /// What causal consistency needs.
    pub clocks: Option<&'a Clocks>,
}

impl Past<'_> {
    /// Calls `each` for everything that a level lets one infer, up to what follows from that.
    pub fn inferred(&self, level: Level, each: impl FnMut(Inferred)) {
        match level {
            Level::Monotonic => monotonic(self.view, each),
            Level::Fractured => atomic(self.view, false, each),
            Level::Atomic => atomic(self.view, true, each),
            Level::Causal => {
                if let (Some(order), Some(clocks)) = (self.order, self.clocks) {
                    causal(self.view, order, clocks, each);
                }
            }
        }
    }

    /// Whether the history has the level; there must be clocks for causal consistency.
    pub fn holds(&self, level: Level) -> bool {
        let ranks = self.order.map(|order| &order.ranks);
        if ranks.is_none() && level.has_sessions() {
            return false;
        }
        let mut forward = ranks.is_some();
        let mut initial = true;
        self.inferred(level, |Inferred { seen, writer, .. }| {
            initial &= writer != NONE;
            let (seen, writer) = (seen as usize, writer as usize);
            forward &=
                writer == NONE as usize || ranks.is_some_and(|ranks| ranks[seen] < ranks[writer]);
        });
        initial && (forward || acyclic(&self.graph(level)))
    }

    /// Reads, sessions where the level has them, and what is inferred.
    pub fn graph(&self, level: Level) -> Graph {
        let view = self.view;
        let mut graph = GraphBuilder::new(view.rows());
        for row in 0..view.rows() {
            for read in view.reads(row).iter().filter(|read| read.writer != NONE) {
                graph.edge(read.writer, row, Classes::WR);
            }
            if level.has_sessions()
                && let Some(before) = view.before(row)
            {
                graph.edge(before, row, Classes::PROCESS);
            }
        }
        self.inferred(level, |Inferred { seen, writer, .. }| {
            if writer != NONE {
                graph.edge(seen, writer, Classes::WW);
            }
        });
        graph.build()
    }
}

/// Of what was read from by now, each writer of a key precedes whom the key is next read from.
fn monotonic(view: &View<'_>, mut each: impl FnMut(Inferred)) {
    let mut later: Vec<(u32, u32)> = Vec::new();
    for reader in 0..view.rows() {
        let reads = view.reads(reader);
        if reads.len() < 2 {
            continue;
        }
        // By key, whom it is read from next.
        later.clear();
        for read in reads.iter().rev() {
            if read.writer != NONE {
                common(view, read.writer, &later, |key, writer| {
                    each(Inferred { seen: read.writer, writer, key, reader });
                });
            }
            match later.iter_mut().find(|(key, _)| *key == read.key) {
                Some(slot) => slot.1 = read.writer,
                None => later.push((read.key, read.writer)),
            }
        }
    }
}

/// Calls `each` for keys that `seen` wrote and that were read from somebody else.
fn common(view: &View<'_>, seen: u32, reads: &[(u32, u32)], mut each: impl FnMut(u32, u32)) {
    let from_others = reads.iter().filter(|(_, writer)| *writer != seen);
    if !view.may_have_written(seen, from_others.fold(0, |bits, (key, _)| bits | bit(*key))) {
        return;
    }
    let writes = view.writes(seen);
    for (key, writer) in reads.iter().filter(|(_, writer)| *writer != seen) {
        if writes.binary_search_by_key(key, |write| write.key).is_ok() {
            each(*key, *writer);
        }
    }
}

/// Pairs of key and writer, each once.
fn sources(reads: &[Read], into: &mut Vec<(u32, u32)>) {
    into.clear();
    into.extend(reads.iter().map(|read| (read.key, read.writer)));
}

fn atomic(view: &View<'_>, sessions: bool, mut each: impl FnMut(Inferred)) {
    fractured(view, &mut each);
    if sessions {
        after_own(view, each);
    }
}

/// Of what was read from, each writer of a key precedes whom the key was read from. Readers in the order of invocation: whom they read from is then
/// mostly near whom those before read from.
fn fractured(view: &View<'_>, mut each: impl FnMut(Inferred)) {
    let mut reads = Vec::new();
    let mut writers = Vec::new();
    for reader in (0..view.rows()).filter(|row| view.reads(*row).len() > 1) {
        sources(view.reads(reader), &mut reads);
        writers.clear();
        writers.extend(reads.iter().map(|(_, writer)| *writer).filter(|w| *w != NONE));
        writers.sort_unstable();
        writers.dedup();
        for seen in writers.iter().copied() {
            common(view, seen, &reads, |key, writer| {
                each(Inferred { seen, writer, key, reader });
            });
        }
    }
}

/// The last transaction of the session that wrote a key precedes whom the key is then read from. Of as many sessions at a time as there is room
/// for in a processor's cache: transactions that are neighbours in time are neighbours in memory.
fn after_own(view: &View<'_>, mut each: impl FnMut(Inferred)) {
    /// Little in tests, so that sessions take turns there too.
    const ROOM: usize = if cfg!(test) { 8 } else { 1 << 19 };

    let keys = view.txns.keys.len();
    let at_a_time = (ROOM / keys.max(1)).clamp(1, view.sessions.len().max(1));
    // By session and key, that transaction.
    let mut wrote = vec![NONE; at_a_time * keys];
    for (turn, sessions) in view.sessions.chunks(at_a_time).enumerate() {
        let mut readers = sessions.concat();
        readers.sort();
        let of = |row: u32| (view.session(row) as usize - turn * at_a_time) * keys;
        for reader in readers.iter().copied() {
            let wrote = &mut wrote[of(reader)..][..keys];
            for Read { key, writer, .. } in view.reads(reader).iter().copied() {
                let seen = wrote[key as usize];
                if seen != NONE && seen != writer {
                    each(Inferred { seen, writer, key, reader });
                }
            }
            view.writes(reader).iter().for_each(|write| wrote[write.key as usize] = reader);
        }
        for reader in readers {
            let wrote = &mut wrote[of(reader)..][..keys];
            view.writes(reader).iter().for_each(|write| wrote[write.key as usize] = NONE);
        }
    }
}

fn causal(view: &View<'_>, order: &Order, clocks: &Clocks, mut each: impl FnMut(Inferred)) {
    let mut writers = KeyWriters::new(view);
    for (rank, reader) in (0..).zip(order.rows.iter().copied()) {
        let clock = clocks.of(rank);
        for read in view.reads(reader) {
            let (key, initial) = (read.key, read.writer == NONE);
            let source = (!initial).then(|| order.ranks[read.writer as usize]);
            writers.missed(key, source, clock, |seen| {
                if source.is_some_and(|source| seen.is_before(clocks.of(source))) {
                    return false;
                }
                let seen = order.rows[seen.rank as usize];
                each(Inferred { seen, writer: read.writer, key, reader });
                // Of the initial version one is enough: nothing was to be seen at all.
                initial
            });
        }
        writers.add(view, order, clocks, rank);
    }
}
