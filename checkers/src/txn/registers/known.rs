//! Versions of which it is known that one follows the other, and the dependencies that this makes.
//!
//! As Elle infers them (Kingsbury & Alvaro 2020, section 5.3):
//!
//! * the initial version comes before all others;
//! * what a transaction reads of a key that it writes comes before what it writes (*writes follow reads*), given read
//!   committed: else the two would have seen each other in a circle;
//! * if keys are said to be linearizable, what one transaction read or wrote of a key that completed before another began
//!   comes before what the other read or wrote there; if sequential, the same of transactions of one process;
//! * where the store numbers versions, or says when transactions committed, these numbers order them.
//!
//! Where that makes a line of all versions of every key, their order is known, and no search is needed ([`Known::is_whole`]).

use std::collections::BTreeMap;

use super::view::View;
use crate::columns::WordMap;
use crate::graph::{Classes, Graph, GraphBuilder, Times, components, realtime};
use crate::txn::columns::{NONE, Outcome};
use crate::txn::deps::Chains;

/// What keys promise, as the user says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promises {
    pub writes_follow_reads: bool,
    pub linearizable: bool,
    pub sequential: bool,
}

/// Why a version follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    WritesFollowReads,
    /// The store's numbers of versions, or its timestamps of transactions.
    Numbered,
    Linearizable,
    Sequential,
}

/// A version of a key follows another; [`NONE`] is the initial one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Follows {
    pub key: u32,
    pub earlier: u32,
    pub later: u32,
    pub source: Source,
    /// The transactions that show it.
    pub shown: (u32, u32),
}

/// What is known of the order of versions.
pub(super) struct Known {
    pub follows: Vec<Follows>,
    /// Versions that would come before themselves, by key; what is known of these is not in `follows`.
    pub cyclic: Vec<(u32, Vec<Follows>)>,
}

/// What a transaction saw of a key first, and left there.
#[derive(Clone, Copy)]
struct Touch {
    row: u32,
    first: u32,
    last: u32,
}

impl Known {
    pub fn new(view: &View<'_>, promises: Promises, timed: bool) -> Self {
        let mut follows = Vec::new();
        numbered(view, &mut follows);
        if promises.writes_follow_reads {
            writes_follow_reads(view, &mut follows);
        }
        if promises.linearizable || promises.sequential {
            for (key, touches) in touches(view) {
                if promises.sequential {
                    sequential(view, key, &touches, &mut follows);
                }
                if promises.linearizable && timed {
                    linearizable(view, key, &touches, &mut follows);
                }
            }
        }
        let inferred = [Source::WritesFollowReads, Source::Numbered];
        let cyclic = if follows.iter().all(|f| inferred.contains(&f.source)) {
            // Such a circle is one of transactions that saw or overwrote each other, and is told as that.
            Vec::new()
        } else {
            take_cyclic(view, &mut follows)
        };
        Self { follows, cyclic }
    }

    /// Dependencies, real time and, if they are wanted apart from that, processes. The second is how many edges are not of
    /// time.
    pub fn graph(&self, view: &View<'_>, timed: bool, processes: bool) -> (Graph, usize) {
        let mut graph = GraphBuilder::new(view.rows());
        for row in 0..view.rows() {
            for read in view.reads(row).iter().filter(|read| read.writer != NONE) {
                graph.edge(read.writer, row, Classes::WR);
            }
        }
        from_initial(view, &mut graph);
        self.of_versions(view, |from, to, class| graph.edge(from, to, class));
        let edges = graph.len();
        if timed {
            let times = view.txns.txns.iter().map(|txn| Times {
                call: txn.span.call,
                ret: (txn.span.completed() && txn.outcome == Outcome::Ok).then_some(txn.span.ret),
            });
            realtime(&mut graph, &times.collect::<Vec<_>>());
        }
        if processes || !timed {
            for row in 0..view.rows() {
                if let Some(before) = view.before(row) {
                    graph.edge(before, row, Classes::PROCESS);
                }
            }
        }
        (graph.build(), edges)
    }

    /// Whether the final versions of committed transactions stand in a line, for every key: each but one follows another at
    /// once, and no two the same. If there is a circle beside the line, it is one of transactions that saw each other.
    pub fn is_whole(&self, view: &View<'_>) -> bool {
        let line = [Source::Numbered, Source::WritesFollowReads].map(|source| {
            let mut before = vec![NONE; view.txns.versions() as usize];
            for follows in self.follows.iter().filter(|follows| follows.source == source) {
                before[follows.later as usize] = follows.earlier;
            }
            is_line(view, &before)
        });
        line.contains(&true)
    }

    fn of_versions(&self, view: &View<'_>, mut each: impl FnMut(u32, u32, Classes)) {
        let writer = |version: u32| {
            let writer = view.writers.of(version);
            writer.filter(|writer| view.committed[*writer as usize])
        };
        let mut later: Vec<(u32, u32)> = Vec::with_capacity(self.follows.len());
        for follows in &self.follows {
            let Some(to) = writer(follows.later) else { continue };
            if let Some(from) = writer(follows.earlier)
                && follows.source != Source::WritesFollowReads
            {
                each(from, to, Classes::WW);
            }
            // Of the initial version it is known that all others follow.
            if follows.earlier != NONE {
                later.push((follows.earlier, to));
            }
        }
        later.sort_unstable();
        later.dedup();
        // Where those of each version begin.
        let mut starts = vec![0u32; view.txns.versions() as usize + 1];
        later.iter().for_each(|(version, _)| starts[*version as usize + 1] += 1);
        (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
        for row in 0..view.rows() {
            for read in view.reads(row).iter().filter(|read| read.version != NONE) {
                let at = read.version as usize;
                for (_, to) in &later[starts[at] as usize..starts[at + 1] as usize] {
                    each(row, *to, Classes::RW);
                }
            }
        }
    }
}

/// See [`Known::is_whole`]; `before` has the version before each, or [`NONE`].
fn is_line(view: &View<'_>, before: &[u32]) -> bool {
    const UNSEEN: u8 = 0;
    const FINAL: u8 = 1;
    const FOLLOWED: u8 = 2;

    let all = || (0..view.rows()).flat_map(|row| view.writes(row));
    let mut states = vec![UNSEEN; before.len()];
    all().for_each(|write| states[write.version as usize] = FINAL);
    let mut begun = vec![false; view.txns.keys.len()];
    all().all(|write| {
        let earlier = states.get_mut(before[write.version as usize] as usize);
        match earlier.filter(|state| **state == FINAL) {
            Some(state) => {
                *state = FOLLOWED;
                true
            }
            // One may follow the initial version, and no other.
            None => !std::mem::replace(&mut begun[write.key as usize], true),
        }
    })
}

/// Who read the initial version of a key precedes all who wrote it.
fn from_initial(view: &View<'_>, graph: &mut GraphBuilder) {
    let mut readers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in 0..view.rows() {
        for read in view.reads(row).iter().filter(|read| read.version == NONE) {
            readers.entry(read.key).or_default().push(row);
        }
    }
    if readers.is_empty() {
        return;
    }
    let mut writers: BTreeMap<u32, Vec<u32>> =
        readers.keys().map(|key| (*key, Vec::new())).collect();
    for row in 0..view.rows() {
        for write in view.writes(row) {
            if let Some(writers) = writers.get_mut(&write.key) {
                writers.push(row);
            }
        }
    }
    for (key, readers) in readers {
        let writers = &writers[&key];
        if !writers.is_empty() {
            let chains = Chains::new(writers, graph);
            readers.iter().for_each(|reader| chains.edges(*reader, writers, graph));
        }
    }
}

/// What the store says of the order of versions: each follows the one of the next lower number.
fn numbered(view: &View<'_>, follows: &mut Vec<Follows>) {
    let mut all: Vec<(u32, i64, u32, u32)> = Vec::new();
    for row in 0..view.rows() {
        for write in view.writes(row) {
            if let Some(number) = view.txns.number(row, write.version) {
                all.push((write.key, number, write.version, row));
            }
        }
    }
    all.sort_unstable();
    for pair in all.windows(2) {
        let [(key, number, earlier, first), (other, next, later, second)] = pair else { continue };
        if key == other && number < next {
            follows.push(Follows {
                key: *key,
                earlier: *earlier,
                later: *later,
                source: Source::Numbered,
                shown: (*first, *second),
            });
        }
    }
}

fn writes_follow_reads(view: &View<'_>, follows: &mut Vec<Follows>) {
    for row in (0..view.rows()).filter(|row| !view.writes(*row).is_empty()) {
        for read in view.reads(row).iter().filter(|read| read.version != NONE) {
            if let Some(later) = view.write_of(row, read.key) {
                let (key, earlier) = (read.key, read.version);
                let source = Source::WritesFollowReads;
                follows.push(Follows { key, earlier, later, source, shown: (row, row) });
            }
        }
    }
}

fn touches(view: &View<'_>) -> BTreeMap<u32, Vec<Touch>> {
    let mut touches: BTreeMap<u32, Vec<Touch>> = BTreeMap::new();
    for row in 0..view.rows() {
        let reads = view.reads(row).iter().map(|read| (read.key, read.version));
        for (key, version) in reads.chain(view.writes(row).iter().map(|w| (w.key, w.version))) {
            let of_key = touches.entry(key).or_default();
            match of_key.last_mut().filter(|touch| touch.row == row) {
                Some(touch) => touch.last = version,
                None => of_key.push(Touch { row, first: version, last: version }),
            }
        }
    }
    touches
}

fn follow(key: u32, a: Touch, b: Touch, source: Source, follows: &mut Vec<Follows>) {
    if a.last != b.first {
        let (earlier, later) = (a.last, b.first);
        follows.push(Follows { key, earlier, later, source, shown: (a.row, b.row) });
    }
}

fn sequential(view: &View<'_>, key: u32, touches: &[Touch], follows: &mut Vec<Follows>) {
    let mut last: WordMap<u32, Touch> = WordMap::default();
    for touch in touches {
        if let Some(before) = last.insert(view.session(touch.row), *touch) {
            follow(key, before, *touch, Source::Sequential, follows);
        }
    }
}

/// Pairs in real time but for those that others imply.
fn linearizable(view: &View<'_>, key: u32, touches: &[Touch], follows: &mut Vec<Follows>) {
    let span = |touch: &Touch| view.txns.txns[touch.row as usize].span;
    let completed = |touch: &&Touch| {
        view.txns.txns[touch.row as usize].outcome == Outcome::Ok && span(touch).completed()
    };
    let mut by_end: Vec<&Touch> = touches.iter().filter(completed).collect();
    by_end.sort_by_key(|touch| span(touch).ret);
    let (mut over, mut latest_call) = (0, 0);
    for touch in touches {
        let call = span(touch).call;
        while let Some(next) = by_end.get(over).filter(|next| span(next).ret < call) {
            latest_call = latest_call.max(span(next).call);
            over += 1;
        }
        let near = by_end[..over].iter().rev().take_while(|before| span(before).ret > latest_call);
        near.for_each(|before| follow(key, **before, *touch, Source::Linearizable, follows));
    }
}

/// Takes away what is known of versions that would come before themselves.
fn take_cyclic(view: &View<'_>, follows: &mut Vec<Follows>) -> Vec<(u32, Vec<Follows>)> {
    let versions = view.txns.versions();
    let node = |key: u32, version: u32| if version == NONE { versions + key } else { version };
    let mut graph = GraphBuilder::new(versions + view.txns.keys.len() as u32);
    for f in follows.iter() {
        graph.edge(node(f.key, f.earlier), node(f.key, f.later), Classes::WW);
    }
    // The initial version comes first.
    let mut later: Vec<(u32, u32)> = follows.iter().map(|f| (f.key, f.later)).collect();
    later.sort_unstable();
    later.dedup();
    for (key, version) in later {
        graph.edge(node(key, NONE), node(key, version), Classes::WW);
    }
    let mut part: WordMap<u32, usize> = WordMap::default();
    let parts = components(&graph.build(), Classes::WW);
    for (at, members) in parts.iter().enumerate() {
        part.extend(members.iter().map(|member| (*member, at)));
    }
    let mut cyclic: BTreeMap<usize, Vec<Follows>> = BTreeMap::new();
    follows.retain(|f| {
        let (a, b) = (part.get(&node(f.key, f.earlier)), part.get(&node(f.key, f.later)));
        match a {
            Some(at) if a == b => {
                cyclic.entry(*at).or_default().push(*f);
                false
            }
            _ => true,
        }
    });
    cyclic.into_values().map(|follows| (follows[0].key, follows)).collect()
}
