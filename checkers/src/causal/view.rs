//! Do the reads of one session fit an order of all writes?
//!
//! The order must keep what comes before what (for causal memory: happened before; for PRAM: sessions, and what this one
//! session found), and each read must find the last write of its key. So a write that comes before a read that found another
//! one comes before that other one; adding this until nothing is new must leave no cycle, and no write of a key before a read that
//! found its initial value (Bouajjani et al., section 6: CyclicHB and WriteHBInitRead).
//!
//! A read makes only operations of its own past come before others of its own past. So what lies before a read depends on later
//! reads alone, and one walk over the session from its end to its start adds all there is to add: the past of each read is what
//! is left once everything that is before none of the session's operations up to it has been taken away. Each
//! operation is taken once, so a session costs about as many steps as its past has operations. What cannot be taken lies on
//! a cycle or before one.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::clocks::Clocks;
use super::peel::{Peel, Scope};
use super::writes::Writes;
use crate::sessions::order::{INIT, NONE, Sessions, is_op};
use crate::sessions::violation::{Known, Link, Order, Step, Violation, path};

/// The names of what can be wrong.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Writes that must come before each other.
    pub cycle: &'static str,
    /// The initial value found after a write.
    pub initial: &'static str,
}

/// A write that must come before another because of what the session read.
#[derive(Clone, Copy, Debug)]
struct Extra {
    first: u32,
    second: u32,
    /// Which operation of the session found the second one.
    at: u32,
}

/// What is needed to look at one session after the other.
pub struct View<'a> {
    known: Known<'a>,
    /// Happened before; absent for PRAM.
    clocks: Option<&'a Clocks>,
    writes: &'a Writes,
    names: Names,
    peel: Peel,
    /// How much of each chain is left.
    left: Vec<u32>,
    /// How many writes of each group are left.
    group_left: Vec<u32>,
    /// For each operation the last session that has dealt with it as a source.
    dealt: Vec<u32>,
    extras: Vec<Extra>,
    steps: usize,
}

/// What ended the walk early.
enum Wrong {
    Cycle,
    /// The write that comes before a read of the initial value, and the read's place in its session.
    Initial(u32, u32),
}

impl<'a> View<'a> {
    /// For the sessions of this history.
    #[must_use]
    pub fn new(
        known: Known<'a>,
        clocks: Option<&'a Clocks>,
        writes: &'a Writes,
        names: Names,
    ) -> Self {
        let sessions = known.sessions;
        Self {
            known,
            clocks,
            writes,
            names,
            peel: Peel::new(sessions),
            left: vec![0; sessions.chains().len()],
            group_left: vec![0; writes.len()],
            dealt: vec![NONE; sessions.len() as usize],
            extras: Vec::new(),
            steps: 0,
        }
    }

    /// What the last session has cost.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Why the session that ends with `chain` fits no order, if so.
    pub fn examine(&mut self, chain: u32) -> Option<Violation> {
        let reads =
            |op: &u32| self.known.sources[*op as usize] == INIT || self.known.found(*op) != NONE;
        let mut own: Vec<u32> = self.known.sessions.session(chain).collect();
        own.truncate(own.iter().rposition(reads)? + 1);
        // A session that only goes on another one that is looked at anyway.
        let last = *own.last().expect("it is not empty");
        if self.known.sessions.chain(last) != chain {
            return None;
        }
        let scope = if self.clocks.is_some() { Scope::All } else { Scope::Session(last) };
        self.begin(&own, scope);
        let wrong = self.walk(&own, chain, scope);
        let violation = wrong.map(|wrong| self.tell(&own, scope, &wrong));
        self.end(&own);
        violation
    }

    /// What lies before the end of the session.
    fn begin(&mut self, own: &[u32], scope: Scope) {
        self.left = past(self.known, self.clocks, own);
        self.steps = self.left.iter().sum::<u32>() as usize;
        self.peel.clear_edges();
        self.extras.clear();
        for op in ops_of(self.known.sessions, &self.left) {
            self.peel.add(self.known, scope, op);
        }
        for number in 0..self.writes.len() {
            self.group_left[number] = self.writes.ops(self.writes.group(number)).len() as u32;
        }
    }

    fn end(&mut self, own: &[u32]) {
        let past = past(self.known, self.clocks, own);
        for op in ops_of(self.known.sessions, &past) {
            self.peel.clear(op);
        }
    }

    fn walk(&mut self, own: &[u32], chain: u32, scope: Scope) -> Option<Wrong> {
        let sessions = self.known.sessions;
        let mut left: u32 = self.left.iter().sum();
        for (at, op) in own.iter().copied().enumerate().rev() {
            if self.peel.blocked(op) {
                return Some(Wrong::Cycle);
            }
            self.left[sessions.chain(op) as usize] = sessions.index(op);
            let source = self.known.sources[op as usize];
            if source == INIT {
                if let Some(new) = self.lasts(sessions.key(op)).next() {
                    return Some(Wrong::Initial(new, at as u32));
                }
            } else if is_op(source) && self.dealt[source as usize] != chain {
                // The last read of a source has the most writes before it.
                self.dealt[source as usize] = chain;
                self.replace(source, sessions.key(op), at as u32);
            }
            let keep = if at == 0 { NONE } else { own[at - 1] };
            let remains = &mut self.left;
            self.peel.take(self.known, scope, op, keep, |gone| {
                remains[sessions.chain(gone) as usize] = sessions.index(gone);
                left -= 1;
            });
        }
        (left > 0).then_some(Wrong::Cycle)
    }

    /// The last write to `key` that is left in each chain.
    fn lasts(&mut self, key: u32) -> impl Iterator<Item = u32> {
        let (sessions, writes) = (self.known.sessions, self.writes);
        let (left, group_left) = (&self.left, &mut self.group_left);
        writes.of_key(key).filter_map(move |number| {
            let group = writes.group(number);
            let (ops, count) = (writes.ops(group), &mut group_left[number]);
            let end = sessions.chains()[group.chain as usize].start + left[group.chain as usize];
            while *count > 0 && ops[*count as usize - 1] >= end {
                *count -= 1;
            }
            (*count > 0).then(|| ops[*count as usize - 1])
        })
    }

    /// Every write of the key that is left comes before `source`.
    fn replace(&mut self, source: u32, key: u32, at: u32) {
        let (known, clocks) = (self.known, self.clocks);
        let sessions = known.sessions;
        let mut extras = std::mem::take(&mut self.extras);
        let from = extras.len();
        extras.extend(self.lasts(key).filter_map(|first| {
            let before = first == source
                || sessions.in_order(first, source)
                || clocks.is_some_and(|clocks| clocks.before(sessions, first, source));
            (!before).then_some(Extra { first, second: source, at })
        }));
        for extra in &extras[from..] {
            self.peel.edge(extra.first, extra.second);
        }
        self.extras = extras;
    }

    /// The whole argument.
    fn tell(&self, own: &[u32], scope: Scope, wrong: &Wrong) -> Violation {
        let past = past(self.known, self.clocks, own);
        let story = Story::new(self.known, scope, own, self.extras.clone(), past);
        let from = if let Wrong::Initial(_, at) = wrong { *at + 1 } else { 0 };
        if let Some(cycle) = story.cycle(from) {
            return Violation::Cycle { anomaly: self.names.cycle, steps: cycle };
        }
        let Wrong::Initial(new, at) = *wrong else { unreachable!("what is left holds a cycle") };
        let read = own[at as usize];
        let steps = story.steps(|op| op == new, read, at + 1);
        let known = steps.map(|(_, steps)| steps).unwrap_or_default();
        let anomaly = self.names.initial;
        Violation::Stale { anomaly, old: INIT, replaced: Vec::new(), new, known, read }
    }
}

/// How much of each chain lies before the end of a session, the end included.
fn past(known: Known<'_>, clocks: Option<&Clocks>, own: &[u32]) -> Vec<u32> {
    let sessions = known.sessions;
    let last = *own.last().expect("a session has operations");
    let mut past = clocks
        .map_or_else(|| vec![0; sessions.chains().len()], |clocks| clocks.counts(sessions, last));
    let mut include = |op: u32| {
        let count = &mut past[sessions.chain(op) as usize];
        *count = (*count).max(sessions.index(op) + 1);
    };
    let pasts = if clocks.is_some() { &own[own.len() - 1..] } else { own };
    for op in pasts {
        include(*op);
        let source = known.found(*op);
        if source != NONE && clocks.is_none() {
            include(source);
            let parent = sessions.chains()[sessions.chain(source) as usize].parent;
            if parent != NONE {
                include(parent);
            }
        }
    }
    past
}

/// The first so many operations of each chain.
fn ops_of<'a>(
    sessions: &'a Sessions<'_>,
    counts: &'a [u32],
) -> impl Iterator<Item = u32> + use<'a> {
    let chains = sessions.chains().iter().zip(counts);
    chains.flat_map(|(chain, count)| chain.start..chain.start + count)
}

/// Finds a short argument.
struct Story<'a> {
    known: Known<'a>,
    scope: Scope,
    own: &'a [u32],
    /// In order of their second.
    extras: Vec<Extra>,
    past: Vec<u32>,
    /// Those whose reason has been given.
    told: RefCell<BTreeSet<(u32, u32)>>,
}

/// Reasons that are given in one story, at most.
const REASONS_MAX: usize = 64;

impl<'a> Story<'a> {
    fn new(
        known: Known<'a>,
        scope: Scope,
        own: &'a [u32],
        extras: Vec<Extra>,
        past: Vec<u32>,
    ) -> Self {
        let mut extras = extras;
        extras.sort_by_key(|extra| extra.second);
        Self { known, scope, own, extras, past, told: RefCell::default() }
    }

    /// A cycle that needs only what the session's reads from `from` on say, and the last of them that will do.
    fn cycle(&self, from: u32) -> Option<Vec<Step>> {
        let end = self.own.len() as u32;
        if self.acyclic(from) {
            return None;
        }
        if !self.acyclic(end) {
            let round = |op: &u32| self.steps(|other| other == *op, *op, end);
            return self.own.iter().find_map(round).map(|(_, steps)| steps);
        }
        let (mut cyclic, mut acyclic) = (from, end);
        while cyclic + 1 < acyclic {
            let middle = cyclic.midpoint(acyclic);
            if self.acyclic(middle) { acyclic = middle } else { cyclic = middle }
        }
        // Whatever the read at `cyclic` puts in order ends in the write that it found.
        let closing = self.extras.iter().filter(|extra| extra.at == cyclic);
        let round = closing.filter_map(|extra| {
            let (_, mut steps) = self.steps(|op| op == extra.second, extra.first, cyclic + 1)?;
            steps.push(Step { to: extra.second, link: self.replaced(extra.first, cyclic) });
            Some(steps)
        });
        round.min_by_key(Vec::len)
    }

    fn acyclic(&self, from: u32) -> bool {
        let mut peel = Peel::new(self.known.sessions);
        let ops = || ops_of(self.known.sessions, &self.past);
        for op in ops() {
            peel.add(self.known, self.scope, op);
        }
        for extra in self.extras.iter().filter(|extra| extra.at >= from) {
            peel.edge(extra.first, extra.second);
        }
        let free: Vec<u32> = ops().filter(|op| !peel.blocked(*op)).collect();
        let mut gone = 0;
        for op in free {
            peel.take(self.known, self.scope, op, NONE, |_| gone += 1);
        }
        gone == self.past.iter().sum::<u32>()
    }

    /// As [`path`], with what the reads from `from` on say, and the reasons for that.
    fn steps(&self, start: impl Fn(u32) -> bool, to: u32, from: u32) -> Option<(u32, Vec<Step>)> {
        let order = Extended { story: self, from };
        let (first, mut steps) = path(&order, &start, to, self.known.sessions.len())?;
        let mut before = first;
        for step in &mut steps {
            if let Link::Replaced { reader, .. } = &step.link {
                let at = self.own.iter().position(|op| op == reader).expect("it is of the session");
                step.link = self.replaced(before, at as u32);
            }
            before = step.to;
        }
        Some((first, steps))
    }

    /// Why `first` comes before what the session's operation `at` found.
    fn replaced(&self, first: u32, at: u32) -> Link {
        let reader = self.own[at as usize];
        let mut told = self.told.borrow_mut();
        let new = told.len() < REASONS_MAX && told.insert((first, at));
        drop(told);
        let seen = new.then(|| self.steps_dyn(&|op| op == first, reader, at + 1)).flatten();
        Link::Replaced { reader, seen: seen.map(|(_, steps)| steps).unwrap_or_default() }
    }

    /// As [`Self::steps`], which calls itself by way of this.
    fn steps_dyn(
        &self,
        start: &dyn Fn(u32) -> bool,
        to: u32,
        from: u32,
    ) -> Option<(u32, Vec<Step>)> {
        self.steps(start, to, from)
    }
}

/// With what the reads from `from` on say.
struct Extended<'a> {
    story: &'a Story<'a>,
    from: u32,
}

impl Order for Extended<'_> {
    fn before(&self, op: u32, visit: &mut dyn FnMut(u32, Link)) {
        let Story { known, scope, own, extras, .. } = self.story;
        let pred = known.sessions.pred(op);
        if pred != NONE {
            visit(pred, Link::Session);
        }
        let source = scope.found(*known, op);
        if source != NONE {
            visit(source, Link::Found);
        }
        let from = extras.partition_point(|extra| extra.second < op);
        for extra in extras[from..].iter().take_while(|extra| extra.second == op) {
            if extra.at >= self.from {
                let reader = own[extra.at as usize];
                visit(extra.first, Link::Replaced { reader, seen: Vec::new() });
            }
        }
    }
}
