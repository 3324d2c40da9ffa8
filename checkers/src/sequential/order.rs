//! Is there an order? A scheduler that places one operation after the other, and learns from dead ends.
//!
//! It keeps what every key holds now, and drives the oldest operation that has no place yet: if that must wait for another one, that
//! one is driven first, and so on.
//! * A read waits for the write that it found; it is placed as soon as that is what the key holds, for it changes nothing.
//! * A write waits until everybody has read what the key holds now, and for the cas that found it.
//! * Everything waits for what its process did before.
//!
//! When operations wait for each other in a circle, some of this waiting may rest on a *decision*: that the chain of versions
//! which the key holds now came before the one that is to be written. Then not all decisions of the circle can be right. The
//! latest one is undone and its opposite *learned*, to hold while the others do: conflict-directed backjumping
//! (Prosser, *Hybrid algorithms for the constraint satisfaction problem*, 1993). A circle that rests on no decision, not even by way of
//! what was learned, proves that there is no order.
//!
//! The problem is NP-complete even if it is known what each read found (Gibbons & Korach, *Testing shared memories*, 1997), so
//! there may be many dead ends. In histories of real stores there are few: the clock tells most writes apart, and a
//! process that met two versions of a key tells their order ([`Problem::met_before`]).

use std::collections::BTreeMap;

use super::problem::{Met, NONE, Problem};
use crate::columns::WordMap;
use crate::linearizable::search::{STEPS_PER_LOOK, Stop, Watch};

/// Why an item waits for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The other one wrote what it found.
    Found,
    /// It overwrites, or takes, what the other one found, and nothing else could come in between.
    Overwrites,
    /// As before, given that the first chain comes before the second.
    Decided(Decision),
    /// A process met the two chains in this order.
    Met(Met),
    /// The other chain comes first: learned, or assumed for now.
    Edge(u32),
}

/// The first chain comes before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// The chain that comes first.
    pub before: u32,
    /// The chain that comes later.
    pub after: u32,
}

/// An item that waits: for `other`, and since that has a place in its process' order, for what its process has to do first, which is
/// the next link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub item: u32,
    /// For whom.
    pub other: u32,
    /// Why.
    pub why: Why,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Items in an order that works.
    Order(Vec<u32>),
    /// There is none. The circles of waiting that prove it, the one that was found last first.
    None(Vec<Vec<Wait>>),
    /// Not decided.
    Stopped(Stop),
}

/// Something that was added to the state, to be undone in reverse.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The item was placed; the key held that version before.
    Placed { item: u32, held: u32 },
    /// The edge was assumed.
    Assumed { edge: u32 },
}

/// A chain must come before another one.
#[derive(Debug)]
struct Edge {
    decision: Decision,
    /// What it rests on.
    given: Vec<Decision>,
    /// The circle that was found when it was learned; empty if it is assumed.
    circle: Vec<Wait>,
}

/// See the module.
pub struct Scheduler<'a> {
    problem: &'a Problem,
    placed: Vec<bool>,
    /// For each process how many items are placed.
    front: Vec<u32>,
    /// For each key the version that it holds.
    held: Vec<u32>,
    /// For each version how many reads of it have no place yet.
    unread: Vec<u32>,
    /// For each version how many of its first reads are known to be placed.
    read: Vec<u32>,
    /// For each write its place among the moves.
    since: Vec<u32>,
    moves: Vec<Move>,
    /// All older items are placed.
    oldest: u32,
    path: Vec<Wait>,
    on_path: Vec<bool>,
    edges: Vec<Edge>,
    /// For each chain the edges in force that end there.
    in_force: WordMap<u32, Vec<u32>>,
    /// Edges that rest on the move at this place and later ones.
    resting: BTreeMap<u32, Vec<u32>>,
    /// Where each assumed decision stands among the moves.
    assumed: BTreeMap<Decision, u32>,
    /// Bytes of learned edges, about.
    bytes: usize,
    steps: u64,
    /// The longest order so far, if it is wanted.
    pub longest: Option<Vec<u32>>,
}

impl<'a> Scheduler<'a> {
    /// Nothing is placed.
    pub fn new(problem: &'a Problem) -> Self {
        let versions = problem.producer.len() as u32;
        Self {
            problem,
            placed: vec![false; problem.items.len()],
            front: vec![0; problem.processes.len()],
            held: (0..problem.keys as u32).collect(),
            unread: (0..versions).map(|version| problem.readers(version).len() as u32).collect(),
            read: vec![0; versions as usize],
            since: vec![0; problem.items.len()],
            moves: Vec::with_capacity(problem.items.len()),
            oldest: 0,
            path: Vec::new(),
            on_path: vec![false; problem.items.len()],
            edges: Vec::new(),
            in_force: WordMap::default(),
            resting: BTreeMap::new(),
            assumed: BTreeMap::new(),
            bytes: 0,
            steps: 0,
            longest: None,
        }
    }

    /// Decides. The watch is told what was learned takes, and the steps made.
    pub fn run(&mut self, watch: &mut dyn Watch) -> Answer {
        if let Some([one, other]) = self.problem.rivals {
            let wait = |item, other| Wait { item, other, why: Why::Overwrites };
            return Answer::None(vec![vec![wait(one, other), wait(other, one)]]);
        }
        for process in 0..self.front.len() {
            self.place_reads(process as u32);
        }
        loop {
            self.steps += 1;
            if self.steps.is_multiple_of(STEPS_PER_LOOK)
                && let Some(stop) = watch.look(self.bytes, self.steps)
            {
                return Answer::Stopped(stop);
            }
            let Some(item) = self.driven() else { return Answer::Order(self.order()) };
            let Some((other, why)) = self.blocker(item) else {
                self.leave_path(item);
                self.place(item);
                continue;
            };
            self.path.push(Wait { item, other, why });
            self.on_path[item as usize] = true;
            if self.on_path[self.next_of(other) as usize]
                && let Some(circles) = self.dead_end(self.next_of(other))
            {
                return Answer::None(circles);
            }
        }
    }

    /// How many edges were learned or assumed.
    #[cfg(test)]
    pub fn learned(&self) -> usize {
        self.edges.len()
    }

    /// The item to place now: what the path waits for, or the oldest one; none if all are placed.
    fn driven(&mut self) -> Option<u32> {
        while let Some(wait) = self.path.last() {
            if self.placed[wait.item as usize] {
                self.leave_path(wait.item);
            } else if self.placed[wait.other as usize] {
                let item = wait.item;
                self.leave_path(item);
                return Some(item);
            } else {
                return Some(self.next_of(wait.other));
            }
        }
        let rest = &self.placed[self.oldest as usize..];
        self.oldest += rest.iter().position(|placed| !placed)? as u32;
        Some(self.oldest)
    }

    /// Takes the item off the end of the path, if it is there.
    fn leave_path(&mut self, item: u32) {
        if self.path.last().is_some_and(|wait| wait.item == item) {
            self.path.pop();
            self.on_path[item as usize] = false;
        }
    }

    /// What must be placed first among the item and what its process did before.
    fn next_of(&self, item: u32) -> u32 {
        let Problem { items, processes, .. } = self.problem;
        let process = items[item as usize].process as usize;
        let front = self.front[process];
        if front < items[item as usize].place { processes[process][front as usize] } else { item }
    }

    /// What the item, whose turn it is in its process, waits for.
    fn blocker(&mut self, item: u32) -> Option<(u32, Why)> {
        let problem = self.problem;
        let own = &problem.items[item as usize];
        if own.found != NONE {
            let producer = problem.producer[own.found as usize];
            if producer != NONE && !self.placed[producer as usize] {
                return Some((producer, Why::Found));
            }
            // A read whose version the key holds has been placed.
            return self.unread_by(own.found).map(|reader| (reader, Why::Overwrites));
        }
        let after = own.left;
        let open = |chain: u32| {
            let first = problem.producer[chain as usize];
            (!self.placed[first as usize]).then_some(first)
        };
        for met in problem.met_before(after) {
            if let Some(first) = open(met.before) {
                return Some((first, Why::Met(*met)));
            }
        }
        for edge in self.in_force.get(&after).into_iter().flatten() {
            if let Some(first) = open(self.edges[*edge as usize].decision.before) {
                return Some((first, Why::Edge(*edge)));
            }
        }
        let held = self.held[own.key as usize];
        let other = match problem.taker[held as usize] {
            NONE => self.unread_by(held)?,
            taker => taker,
        };
        let before = problem.chain[held as usize];
        Some((other, self.why_before(Decision { before, after })))
    }

    /// Why a chain that was begun before another one was comes before it.
    fn why_before(&self, decision: Decision) -> Why {
        if self.problem.is_first(decision.before) {
            return Why::Overwrites;
        }
        let met = self.problem.met_before(decision.after);
        if let Some(met) = met.iter().find(|met| met.before == decision.before) {
            return Why::Met(*met);
        }
        let mut edges = self.in_force.get(&decision.after).into_iter().flatten();
        edges
            .find(|edge| self.edges[**edge as usize].decision == decision)
            .map_or(Why::Decided(decision), |edge| Why::Edge(*edge))
    }

    /// A read of the version that has no place yet.
    fn unread_by(&mut self, version: u32) -> Option<u32> {
        if self.unread[version as usize] == 0 {
            return None;
        }
        let readers = self.problem.readers(version);
        let read = &mut self.read[version as usize];
        while self.placed[readers[*read as usize] as usize] {
            *read += 1;
        }
        Some(readers[*read as usize])
    }

    fn place(&mut self, item: u32) {
        let problem = self.problem;
        let own = &problem.items[item as usize];
        self.put(item);
        for reader in problem.readers(own.left) {
            let own = &problem.items[*reader as usize];
            if self.front[own.process as usize] == own.place {
                self.put(*reader);
                self.place_reads(own.process);
            }
        }
        self.place_reads(own.process);
    }

    /// Places the reads that come next in the process as long as they find what they found.
    fn place_reads(&mut self, process: u32) {
        let problem = self.problem;
        let own = &problem.processes[process as usize];
        while let Some(next) = own.get(self.front[process as usize] as usize) {
            let item = &problem.items[*next as usize];
            if !item.is_read() || self.held[item.key as usize] != item.found {
                break;
            }
            self.put(*next);
        }
    }

    fn put(&mut self, item: u32) {
        let own = &self.problem.items[item as usize];
        let held = &mut self.held[own.key as usize];
        self.since[item as usize] = self.moves.len() as u32;
        self.moves.push(Move::Placed { item, held: *held });
        self.placed[item as usize] = true;
        if !own.last {
            self.front[own.process as usize] += 1;
        }
        if own.is_read() {
            self.unread[own.found as usize] -= 1;
        } else {
            *held = own.left;
        }
    }

    fn note_longest(&mut self) {
        if self.longest.as_ref().is_some_and(|longest| longest.len() < self.moves.len()) {
            self.longest = Some(self.order());
        }
    }

    fn undo_to(&mut self, moves: usize) {
        self.note_longest();
        while self.moves.len() > moves {
            match self.moves.pop().expect("there are more") {
                Move::Assumed { edge } => {
                    self.assumed.remove(&self.edges[edge as usize].decision);
                    self.lift(edge);
                }
                Move::Placed { item, held } => {
                    let own = &self.problem.items[item as usize];
                    self.placed[item as usize] = false;
                    self.oldest = self.oldest.min(item);
                    if !own.last {
                        self.front[own.process as usize] -= 1;
                    }
                    if own.is_read() {
                        self.unread[own.found as usize] += 1;
                        self.read[own.found as usize] = 0;
                    } else {
                        self.held[own.key as usize] = held;
                    }
                }
            }
        }
        for (_, edges) in self.resting.split_off(&(moves as u32)) {
            edges.into_iter().for_each(|edge| self.lift(edge));
        }
    }

    /// Puts an edge out of force.
    fn lift(&mut self, edge: u32) {
        let after = self.edges[edge as usize].decision.after;
        if let Some(edges) = self.in_force.get_mut(&after) {
            edges.retain(|other| *other != edge);
        }
    }

    /// Puts an edge in force.
    fn lay(&mut self, edge: Edge) -> u32 {
        let id = self.edges.len() as u32;
        self.bytes += 96 + edge.given.len() * 8 + edge.circle.len() * size_of::<Wait>();
        self.in_force.entry(edge.decision.after).or_default().push(id);
        self.edges.push(edge);
        id
    }

    /// The item `again` waits for itself. Learns from it; or proves that there is no order.
    fn dead_end(&mut self, again: u32) -> Option<Vec<Vec<Wait>>> {
        let from = self.path.iter().position(|wait| wait.item == again).unwrap_or(0);
        let circle = self.path[from..].to_vec();
        for wait in self.path.drain(..) {
            self.on_path[wait.item as usize] = false;
        }
        let mut decisions = self.rests_on(&circle);
        let Some(last) = decisions.iter().map(|decision| self.place_of(*decision)).max() else {
            self.note_longest();
            return Some(self.proof(circle));
        };
        let (mut latest, mut given): (Vec<Decision>, Vec<Decision>) =
            decisions.drain(..).partition(|decision| self.place_of(*decision) == last);
        self.undo_to(last as usize);
        let wrong = latest.pop().expect("there is a latest one");
        // Made by the same move: the others are assumed one by one, to be doubted later.
        for decision in latest {
            let place = self.moves.len() as u32;
            let edge = self.lay(Edge { decision, given: Vec::new(), circle: Vec::new() });
            self.assumed.insert(decision, place);
            self.moves.push(Move::Assumed { edge });
            given.push(decision);
        }
        let rests = given.iter().map(|decision| self.place_of(*decision)).max();
        let decision = Decision { before: wrong.after, after: wrong.before };
        let edge = self.lay(Edge { decision, given, circle });
        if let Some(place) = rests {
            self.resting.entry(place).or_default().push(edge);
        }
        None
    }

    /// Where a decision was made, among the moves.
    fn place_of(&self, decision: Decision) -> u32 {
        let made = self.problem.producer[decision.before as usize];
        self.assumed.get(&decision).copied().unwrap_or_else(|| self.since[made as usize])
    }

    /// The decisions that a circle rests on, each once.
    fn rests_on(&self, circle: &[Wait]) -> Vec<Decision> {
        let mut decisions: Vec<Decision> = Vec::new();
        for wait in circle {
            match wait.why {
                Why::Decided(decision) => decisions.push(decision),
                Why::Edge(edge) => {
                    let edge = &self.edges[edge as usize];
                    if edge.circle.is_empty() {
                        decisions.push(edge.decision);
                    }
                    decisions.extend_from_slice(&edge.given);
                }
                Why::Found | Why::Overwrites | Why::Met(_) => {}
            }
        }
        decisions.sort_unstable();
        decisions.dedup();
        decisions
    }

    /// The circle, and those from which it was learned what it rests on.
    fn proof(&self, circle: Vec<Wait>) -> Vec<Vec<Wait>> {
        let mut circles = vec![circle];
        let mut known = vec![false; self.edges.len()];
        let mut at = 0;
        while at < circles.len() {
            for wait in circles[at].clone() {
                let Why::Edge(edge) = wait.why else { continue };
                if !std::mem::replace(&mut known[edge as usize], true) {
                    circles.push(self.edges[edge as usize].circle.clone());
                }
            }
            at += 1;
        }
        circles
    }

    fn order(&self) -> Vec<u32> {
        let placed = self.moves.iter().filter_map(|made| match made {
            Move::Placed { item, .. } => Some(*item),
            Move::Assumed { .. } => None,
        });
        placed.collect()
    }
}
