//! Transactions that must precede each other.
//!
//! T1 precedes T2 if T2 polled what T1 sent (wr), if T1 completed before T2 was invoked (realtime), and, where it is asked for,
//! if a message of T2 stands behind one of T1 (ww). Only transactions that may have been committed take part: who polled what
//! a failed one sent has read what was aborted, and that is told as such. There are no anti-dependencies: a poll that
//! lacks a message may just be late.

use super::cases::{Case, Facts, Found, Kind, Writer};
use super::log::{Outcome, What};
use crate::budget::Budget;
use crate::columns::NEVER;
use crate::graph::{
    Anti, Classes, Cycle, Graph, GraphBuilder, Induced, Pattern, Step, Times, components, realtime,
    shortest,
};

/// Edges that all searches for shortest cycles together may look at. That there is a cycle is known before.
const WORK_MAX: u64 = 50_000_000;

const WR: Classes = Classes::WW.or(Classes::WR);
const REALTIME: Classes = Classes::REALTIME;

/// Finds cycles; true if any transaction depends on another at all.
pub(super) fn check(facts: &Facts<'_>, ww: bool, budget: &dyn Budget, found: &mut Found) -> bool {
    let rows = rows(facts);
    let graph = graph(facts, &rows, ww);
    let all = WR.or(REALTIME);
    let mut work = WORK_MAX;
    for members in components(&graph, all) {
        if budget.spent(0).is_some() {
            work = 0;
        }
        let part = graph.induced(members);
        let mut search = Search { part: &part, rows: &rows, work: &mut work, found };
        search.run();
    }
    graph.edges() > 0
}

/// Transactions that may have been committed, as rows of the log in order of their invocations.
fn rows(facts: &Facts<'_>) -> Vec<u32> {
    let ops = facts.log.ops.iter().enumerate();
    let may = ops.filter(|(_, op)| op.what == What::Txn && op.outcome != Outcome::Fail);
    let mut rows: Vec<u32> = may.map(|(row, _)| row as u32).collect();
    rows.sort_unstable_by_key(|row| facts.log.ops[*row as usize].span.call);
    rows
}

fn graph(facts: &Facts<'_>, rows: &[u32], ww: bool) -> Graph {
    let log = facts.log;
    let mut node_of = vec![u32::MAX; log.ops.len()];
    for (node, row) in rows.iter().enumerate() {
        node_of[*row as usize] = node as u32;
    }
    let node = |row: u32| Some(node_of[row as usize]).filter(|node| *node != u32::MAX);
    let writer = |message| match facts.writer(message) {
        Writer::One(row) => node(row),
        Writer::Nobody | Writer::Several => None,
    };
    let mut builder = GraphBuilder::new(rows.len() as u32);
    for (reader, row) in rows.iter().enumerate() {
        for item in log.polls_of(&log.ops[*row as usize]) {
            if let Some(writer) = writer(item.message) {
                builder.edge(writer, reader as u32, Classes::WR);
            }
        }
    }
    if ww {
        for (before, after) in neighbours(facts) {
            if let (Some(before), Some(after)) = (writer(before), writer(after)) {
                builder.edge(before, after, Classes::WW);
            }
        }
    }
    let times = rows.iter().map(|row| {
        let op = &log.ops[*row as usize];
        Times { call: op.span.call, ret: (op.span.ret != NEVER).then_some(op.span.ret) }
    });
    realtime(&mut builder, &times.collect::<Vec<_>>());
    builder.build()
}

/// Each message and the next of its key, of those that stand in one place alone, and may have been committed.
fn neighbours(facts: &Facts<'_>) -> Vec<(u32, u32)> {
    let orders = &facts.orders;
    let certain = |message: u32| {
        let here = orders.span(message).is_some_and(|(first, last)| first == last);
        let aborted = match facts.writer(message) {
            Writer::One(row) => facts.log.ops[row as usize].outcome == Outcome::Fail,
            Writer::Nobody | Writer::Several => true,
        };
        here && !aborted
    };
    let mut pairs = Vec::new();
    for key in 0..facts.log.keys.len() as u32 {
        let mut before = None;
        for position in orders.positions(key) {
            let [entry] = orders.at(position) else { continue };
            if certain(entry.message) {
                pairs.extend(before.replace(entry.message).map(|before| (before, entry.message)));
            }
        }
    }
    pairs
}

/// One component.
struct Search<'a> {
    part: &'a Induced,
    rows: &'a [u32],
    work: &'a mut u64,
    found: &'a mut Found,
}

impl Search<'_> {
    /// Looks for what is worst first; what a cycle implies is not looked for.
    fn run(&mut self) {
        const NONE: &[Classes] = &[];
        let pattern = |free, required| Pattern { free, required, anti: Anti::None };
        let all = WR.or(REALTIME);
        let ww = self.exists(Classes::WW, Kind::Pl1Cycle);
        if !ww.is_empty() {
            self.cycle(&ww, &pattern(Classes::WW, NONE), Kind::G0);
            return;
        }
        let wr = self.exists(WR, Kind::Pl2Cycle);
        let timely = self.exists(Classes::WW.or(REALTIME), Kind::StrongPl1Cycle);
        self.cycle(&wr, &pattern(WR, &[Classes::WR]), Kind::G1c);
        self.cycle(&timely, &pattern(Classes::WW, &[REALTIME]), Kind::G0Realtime);
        if wr.is_empty() && timely.is_empty() {
            let both = self.exists(all, Kind::StrongPl2Cycle);
            self.cycle(&both, &pattern(WR, &[Classes::WR, REALTIME]), Kind::G1cRealtime);
        }
    }

    /// The components by some classes, the smallest first, which is told.
    fn exists(&mut self, classes: Classes, kind: Kind) -> Vec<Vec<u32>> {
        let mut components = components(&self.part.graph, classes);
        let size = |members: &Vec<u32>| {
            members.iter().filter(|node| self.part.graph.is_real(**node)).count()
        };
        components.sort_by_key(size);
        if let Some(smallest) = components.first() {
            let real = smallest.iter().filter(|node| self.part.graph.is_real(**node));
            let mut ops: Vec<u32> = real.map(|node| self.row(*node)).collect();
            ops.sort_unstable();
            self.found.add(kind, || Case::CycleExists { ops });
        }
        components
    }

    /// The shortest cycle of the components, of which each has one.
    fn cycle(&mut self, components: &[Vec<u32>], pattern: &Pattern, kind: Kind) {
        let mut best: Option<(Cycle, Induced)> = None;
        let mut all = true;
        for members in components {
            let part = self.part.graph.induced(members.clone());
            let cycle = shortest(&part.graph, pattern, self.work);
            all &= *self.work > 0;
            let Some(cycle) = cycle else { continue };
            let length = cycle.steps.len();
            if best.as_ref().is_none_or(|(best, _)| length < best.steps.len()) {
                best = Some((cycle, part));
            }
            if length == 2 {
                all = true;
                break;
            }
        }
        if let Some((cycle, part)) = best {
            let row = |node: u32| self.row(part.members[node as usize]);
            let steps = cycle.steps.iter().map(|step| Step {
                from: row(step.from),
                to: row(step.to),
                class: step.class,
            });
            let case = Case::Cycle { steps: steps.collect(), shortest: all && cycle.shortest };
            self.found.add(kind, || case);
        }
    }

    fn row(&self, node: u32) -> u32 {
        self.rows[self.part.members[node as usize] as usize]
    }
}
