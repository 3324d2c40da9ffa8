//! A level as a question about orders: which of two writers of a key came first.
//!
//! *Serializable*: a node a transaction; a read follows the write that it saw and precedes all later ones of the key. The
//! history is serializable if, for each two writers of a key, one of them can be put first so that no circle arises (Papadimitriou
//! 1979; a *polygraph*).
//!
//! *Snapshot isolation*: two nodes, where a transaction's snapshot is taken and where it commits. What it saw committed before
//! its snapshot, what it missed after; of two writers of a key one commits before the other's snapshot. A circle of these is
//! one of dependencies without two adjacent anti-dependencies (Cerone & Gotsman 2018, theorem 10).
//!
//! *Prefix*: the same, but writers of a key need only commit one before the other (Biswas & Enea 2019).
//!
//! *Parallel snapshot*: a node a transaction. Writers of a key follow each other, reads follow their writes, and of none of these does
//! a path lead from what a transaction missed to that transaction (Cerone & Gotsman 2018): an *anti*, which no path may close to a circle, and
//! which is part of none. Without sessions it is consistent view (Adya 1999, PL-2+).
//!
//! *Update*: as serializable, but what a transaction missed that only reads is an anti: two of these need not agree (Adya 1999, PL-3U).
//!
//! *Cursor*: a node a transaction, and reads follow their writes. Who reads a key and writes it comes next after whom it read from,
//! among the writers of the key: so these stand in lines, and of two lines one is over before the other begins. Nothing else that
//! reads has a place: only who updates must not miss an update (Adya 1999, section 4.3, PL-CS).

use super::acyclic::{ALWAYS, Acyclic};
use super::closure::{Closure, sorted};
use super::greedy;
use super::solver::{Choice, Edge, Solver, Way};
use crate::budget::{Budget, Exhausted, Sparing};
use crate::columns::WordMap;
use crate::graph::{GraphBuilder, Times, realtime};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axiom {
    Serializable,
    Snapshot,
    Prefix,
    ParallelSnapshot,
    Update,
    Cursor,
}

impl Axiom {
    /// Whether snapshots are taken apart from commits.
    const fn has_snapshots(self) -> bool {
        matches!(self, Self::Snapshot | Self::Prefix)
    }
}

/// What orders transactions besides what they read and wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    None,
    Sessions,
    Real,
}

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub axiom: Axiom,
    pub time: Time,
}

/// A transaction, without what it is called.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    pub session: u32,
    pub times: Times,
    /// Keys with the transaction they were read from, by number in the list; none of the initial version.
    pub reads: Vec<(u32, Option<u32>)>,
    /// Keys that it wrote.
    pub writes: Vec<u32>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Holds,
    Broken,
    /// The budget ended.
    Open(Exhausted),
}

/// A writer of a key, and those who read it from there; or a line of writers that nobody may come between.
#[derive(Clone, Debug)]
struct Writer {
    first: u32,
    last: u32,
    readers: Vec<u32>,
}

impl Writer {
    const fn new(txn: u32) -> Self {
        Self { first: txn, last: txn, readers: Vec::new() }
    }
}

/// By key: its writers.
type Keys = WordMap<u32, Vec<Writer>>;

struct Problem<'a> {
    txns: &'a [Txn],
    ask: Ask,
    nodes: u32,
    /// Edges that hold in any case, by node.
    out: Vec<Vec<u32>>,
    /// As of [`Way`], in any case.
    antis: Vec<Edge>,
}

/// Decides it; transactions are in order of invocation.
pub(super) fn decide(txns: &[Txn], ask: Ask, budget: &dyn Budget) -> Answer {
    // A serial run has every level.
    let time = if ask.time == Time::Real { Time::Real } else { Time::Sessions };
    if greedy::serial(txns, time) {
        return Answer::Holds;
    }
    let mut problem = Problem::new(txns, ask);
    let keys = if ask.axiom == Axiom::Cursor { problem.lines() } else { Some(problem.keys()) };
    let Some(keys) = keys else { return Answer::Broken };
    match problem.run(&keys, budget) {
        Ok(true) => Answer::Holds,
        Ok(false) => Answer::Broken,
        Err(why) => Answer::Open(why),
    }
}

/// Transactions, by number, that suffice to break a level that all of them break; nothing if that was not found out.
pub(super) fn core(txns: &[Txn], ask: Ask, budget: &dyn Budget) -> Option<Vec<u32>> {
    // A line of writers breaks where one of them is left out.
    if ask.axiom == Axiom::Cursor {
        return None;
    }
    let mut problem = Problem::new(txns, ask);
    let keys = problem.keys();
    let sparing = Sparing::new(budget);
    // What is pruned without a search has no lessons.
    let pairs = problem.pairs(&keys, None, &sparing).ok()??;
    let nodes = match problem.graph() {
        Err(circle) => circle,
        Ok(graph) => Solver::new(graph, &pairs, &problem.antis).core(&sparing).ok()??,
    };
    let mut core: Vec<u32> = nodes.into_iter().filter_map(|node| problem.txn(node)).collect();
    core.sort_unstable();
    core.dedup();
    Some(core)
}

impl<'a> Problem<'a> {
    fn new(txns: &'a [Txn], ask: Ask) -> Self {
        let count = txns.len() as u32;
        let nodes = if ask.axiom.has_snapshots() { 2 * count } else { count };
        let mut problem =
            Self { txns, ask, nodes, out: vec![Vec::new(); nodes as usize], antis: Vec::new() };
        problem.in_any_case();
        problem
    }

    /// Where a transaction's snapshot is taken.
    fn snapshot(&self, txn: u32) -> u32 {
        if self.ask.axiom.has_snapshots() { 2 * txn } else { txn }
    }

    /// Where it takes effect.
    fn commit(&self, txn: u32) -> u32 {
        if self.ask.axiom.has_snapshots() { 2 * txn + 1 } else { txn }
    }

    /// Whose node it is, if it is not one of time's.
    fn txn(&self, node: u32) -> Option<u32> {
        let txn = if self.ask.axiom.has_snapshots() { node / 2 } else { node };
        ((txn as usize) < self.txns.len()).then_some(txn)
    }

    fn edge(&mut self, (from, to): Edge) {
        self.out[from as usize].push(to);
    }

    /// Whether what a transaction missed makes an anti.
    fn has_antis(&self, reader: u32) -> bool {
        match self.ask.axiom {
            Axiom::ParallelSnapshot => true,
            Axiom::Update => self.txns[reader as usize].writes.is_empty(),
            Axiom::Serializable | Axiom::Snapshot | Axiom::Prefix | Axiom::Cursor => false,
        }
    }

    /// A transaction certainly missed a write.
    fn missed(&mut self, reader: u32, writer: u32) {
        let edge = (self.snapshot(reader), self.commit(writer));
        if self.has_antis(reader) {
            self.antis.push(edge);
        } else {
            self.edge(edge);
        }
    }

    /// Sessions, real time, and reads after their writes.
    fn in_any_case(&mut self) {
        let txns = self.txns;
        let mut last: WordMap<u32, u32> = WordMap::default();
        for (txn, of) in (0..).zip(txns) {
            if self.ask.axiom.has_snapshots() {
                self.edge((self.snapshot(txn), self.commit(txn)));
            }
            for writer in of.reads.iter().filter_map(|(_, writer)| *writer) {
                self.edge((self.commit(writer), self.snapshot(txn)));
            }
            if self.ask.time != Time::None
                && let Some(before) = last.insert(of.session, txn)
            {
                self.edge((self.commit(before), self.snapshot(txn)));
            }
        }
        if self.ask.time == Time::Real {
            self.real_time();
        }
    }

    fn real_time(&mut self) {
        let count = self.txns.len() as u32;
        let mut graph = GraphBuilder::new(count);
        let times: Vec<Times> = self.txns.iter().map(|txn| txn.times).collect();
        realtime(&mut graph, &times);
        let graph = graph.build();
        // Relays become nodes behind the others.
        let first = self.nodes;
        self.nodes += graph.nodes() - count;
        self.out.resize(self.nodes as usize, Vec::new());
        for node in 0..graph.nodes() {
            for (target, _) in graph.edges_of(node) {
                let from = if node < count { self.commit(node) } else { first + node - count };
                let to =
                    if target < count { self.snapshot(target) } else { first + target - count };
                self.edge((from, to));
            }
        }
    }

    /// Who wrote and read each key, and that who read the initial version precedes all writers.
    fn keys(&mut self) -> Keys {
        let mut keys = Keys::default();
        for (txn, of) in (0..).zip(self.txns) {
            of.writes.iter().for_each(|key| keys.entry(*key).or_default().push(Writer::new(txn)));
        }
        for (txn, of) in (0..).zip(self.txns) {
            for (key, writer) in &of.reads {
                let Some(writers) = keys.get_mut(key) else { continue };
                match writer {
                    None => {
                        let missed: Vec<u32> =
                            writers.iter().map(|w| w.first).filter(|w| *w != txn).collect();
                        for writer in missed {
                            self.missed(txn, writer);
                        }
                    }
                    Some(writer) => {
                        if let Ok(at) = writers.binary_search_by_key(writer, |w| w.first)
                            && writers[at].readers.last() != Some(&txn)
                        {
                            writers[at].readers.push(txn);
                        }
                    }
                }
            }
        }
        keys
    }

    /// By key: lines of writers each of whom read it from the one before; nothing if two follow one. Who read the initial version
    /// begins the first line.
    fn lines(&mut self) -> Option<Keys> {
        let mut lines = Keys::default();
        // By key and writer: who follows.
        let mut next: WordMap<(u32, Option<u32>), u32> = WordMap::default();
        let (mut heads, mut firsts) = (Vec::new(), Vec::new());
        for (txn, of) in (0..).zip(self.txns) {
            for key in &of.writes {
                let Some((_, writer)) = of.reads.iter().find(|(read, _)| read == key) else {
                    heads.push((*key, txn));
                    continue;
                };
                if next.insert((*key, *writer), txn).is_some() {
                    return None;
                }
                if writer.is_none() {
                    heads.push((*key, txn));
                    firsts.push((*key, txn));
                }
            }
        }
        for (key, first) in heads {
            let mut line = Writer::new(first);
            while let Some(follower) = next.get(&(key, Some(line.last))) {
                line.last = *follower;
            }
            lines.entry(key).or_default().push(line);
        }
        for (key, first) in firsts {
            let of_key = lines.get(&key).map_or(&[][..], Vec::as_slice);
            let Some(own) = of_key.iter().find(|line| line.first == first) else { continue };
            for other in of_key.iter().filter(|line| line.first != first) {
                self.edge((own.last, other.first));
            }
        }
        Some(lines)
    }

    /// Adds what follows if the first writer of a key comes before the second.
    fn way(&self, first: &Writer, second: &Writer, into: &mut Way) {
        let (readers, first, second) = (&first.readers, first.last, second.first);
        into.edges.push(match self.ask.axiom {
            Axiom::Snapshot => (self.commit(first), self.snapshot(second)),
            Axiom::Prefix => (self.commit(first), self.commit(second)),
            Axiom::Serializable | Axiom::ParallelSnapshot | Axiom::Update | Axiom::Cursor => {
                (first, second)
            }
        });
        for reader in readers.iter().copied().filter(|reader| *reader != second) {
            let edge = (self.snapshot(reader), self.commit(second));
            let edges = if self.has_antis(reader) { &mut into.antis } else { &mut into.edges };
            edges.push(edge);
        }
    }

    /// What a way makes is so in any case, as far as it does not follow.
    fn take(&mut self, way: &Way, closure: Option<&Closure>) {
        let new = |(from, to): &Edge| closure.is_none_or(|closure| !closure.leads(*from, *to));
        way.edges.iter().filter(|edge| new(edge)).for_each(|edge| self.edge(*edge));
        // Of an anti along a path another path would make a circle of its own.
        self.antis.extend(way.antis.iter().filter(|edge| new(edge)));
    }

    fn run(&mut self, keys: &Keys, budget: &dyn Budget) -> Result<bool, Exhausted> {
        let sparing = Sparing::new(budget);
        let mut pairs: Option<Vec<Choice>> = None;
        while let Some(room) = self.room(budget) {
            let Some(closure) = Closure::new(&self.out) else { return Ok(false) };
            if self.antis.iter().any(|anti| closes(&closure, anti)) {
                return Ok(false);
            }
            sparing.step(self.nodes as usize * self.nodes as usize / 64, room)?;
            let before = pairs.as_ref().map(Vec::len);
            let kept = match pairs.take() {
                None => self.pairs(keys, Some(&closure), &sparing)?,
                Some(pairs) => self.prune(&closure, pairs),
            };
            let Some(kept) = kept else { return Ok(false) };
            let done = kept.is_empty() || before == Some(kept.len());
            pairs = Some(kept);
            if done {
                break;
            }
        }
        let pairs = match pairs {
            Some(pairs) => pairs,
            None => self.pairs(keys, None, &sparing)?.unwrap_or_default(),
        };
        self.search(&pairs, &sparing)
    }

    /// Bytes of a closure, if there is room for one.
    fn room(&self, budget: &dyn Budget) -> Option<usize> {
        let bytes = Closure::bytes(self.nodes as usize);
        (bytes <= CLOSURE_BYTES_MAX && budget.room(bytes).is_none()).then_some(bytes)
    }

    /// A choice for each two transactions that wrote a key in common, but for what can go one way only, which is made at once;
    /// nothing if one can go neither way.
    fn pairs(
        &mut self,
        keys: &Keys,
        closure: Option<&Closure>,
        sparing: &Sparing<'_>,
    ) -> Result<Option<Vec<Choice>>, Exhausted> {
        let mut by_key: Vec<(&u32, &Vec<Writer>)> = keys.iter().collect();
        by_key.sort_unstable_by_key(|(key, _)| **key);
        let mut at: WordMap<(u32, u32), usize> = WordMap::default();
        let mut pairs: Vec<Choice> = Vec::new();
        let mut ways = [Way::default(), Way::default()];
        for writers in by_key.into_iter().map(|(_, writers)| writers) {
            for (place, first) in writers.iter().enumerate() {
                sparing.step(writers.len() - place, pairs.len() * PAIR_BYTES)?;
                for second in &writers[place + 1..] {
                    ways.iter_mut().for_each(Way::clear);
                    self.way(first, second, &mut ways[0]);
                    self.way(second, first, &mut ways[1]);
                    match decided(closure, &ways) {
                        Decided::Neither => return Ok(None),
                        Decided::One(way) => self.take(&ways[way], closure),
                        Decided::Open => {
                            let next = pairs.len();
                            let pair = *at.entry((first.first, second.first)).or_insert(next);
                            if pair == next {
                                let guess = (self.commit(first.last), self.commit(second.first));
                                pairs.push(Choice { guess, ..Choice::default() });
                            }
                            for (all, new) in pairs[pair].ways.iter_mut().zip(&ways) {
                                all.edges.extend_from_slice(&new.edges);
                                all.antis.extend_from_slice(&new.antis);
                            }
                        }
                    }
                }
            }
        }
        Ok(Some(pairs))
    }

    /// Makes choices that can go one way only; nothing if there is one that can go neither.
    fn prune(&mut self, closure: &Closure, mut pairs: Vec<Choice>) -> Option<Vec<Choice>> {
        let mut right = true;
        pairs.retain(|pair| match decided(Some(closure), &pair.ways) {
            Decided::Open => true,
            Decided::One(way) => {
                self.take(&pair.ways[way], Some(closure));
                false
            }
            Decided::Neither => {
                right = false;
                true
            }
        });
        right.then_some(pairs)
    }

    /// Makes the choices that are left.
    fn search(&self, pairs: &[Choice], sparing: &Sparing<'_>) -> Result<bool, Exhausted> {
        match self.graph() {
            Ok(graph) => Solver::new(graph, pairs, &self.antis).solve(sparing),
            Err(_) => Ok(false),
        }
    }

    /// What holds in any case; the nodes of a circle if there is one.
    fn graph(&self) -> Result<Acyclic, Vec<u32>> {
        let order = sorted(&self.out).unwrap_or_else(|| (0..self.nodes).collect());
        let mut graph = Acyclic::in_order(&order);
        for (from, targets) in (0..).zip(&self.out) {
            for to in targets {
                if let Err(hops) = graph.add(from, *to, ALWAYS) {
                    return Err(hops.iter().map(|hop| hop.node).chain([from]).collect());
                }
            }
        }
        Ok(graph)
    }
}

/// Which ways a choice can go.
enum Decided {
    Open,
    /// Only this one.
    One(usize),
    Neither,
}

fn decided(closure: Option<&Closure>, ways: &[Way; 2]) -> Decided {
    let Some(closure) = closure else { return Decided::Open };
    let closes = |way: &Way| way.edges.iter().chain(&way.antis).any(|edge| closes(closure, edge));
    match ways.each_ref().map(closes) {
        [false, false] => Decided::Open,
        [false, true] => Decided::One(0),
        [true, false] => Decided::One(1),
        [true, true] => Decided::Neither,
    }
}

/// Whether an edge closes a circle.
fn closes(closure: &Closure, (from, to): &Edge) -> bool {
    from == to || closure.leads(*to, *from)
}

/// Bytes of a closure, at most; of larger graphs nothing is known before the search.
const CLOSURE_BYTES_MAX: usize = 1 << 28;

/// About what a choice takes.
const PAIR_BYTES: usize = 160;
