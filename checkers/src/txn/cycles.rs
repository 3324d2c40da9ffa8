//! Cycles of dependencies, by class.
//!
//! One pass proves that there is none at all. Only where there is one, components are taken apart: each class of cycles lies in
//! the components of its own classes of edges, which are found in linear time; those without two adjacent anti-dependencies in
//! those of [`without_adjacent`]. What is left is searched for a shortest cycle.

use super::answer::{Case, Findings, refutes};
use super::columns::NONE;
use crate::budget::Budget;
use crate::graph::{
    Anti, Classes, Cycle, Graph, Induced, Pattern, Step, components, shortest_simple,
    without_adjacent,
};
use crate::models::Model;
use crate::verdict::Evidence;

/// A class of cycles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As in [`anomalies`](crate::models::anomalies()).
    pub name: &'static str,
    pattern: Pattern,
}

impl Kind {
    /// Whether its cycles have an anti-dependency by a predicate.
    fn of_predicates(&self) -> bool {
        match self.pattern.anti {
            Anti::None => false,
            Anti::Once(anti) | Anti::Apart(anti) | Anti::Several(anti) => anti.meets(RWP),
        }
    }

    /// Whether its cycles have an edge of a process or of real time.
    pub fn of_time(&self) -> bool {
        self.pattern.required.iter().any(|set| set.meets(TIME))
    }
}

/// All classes of edges.
const fn all() -> Classes {
    DEP.or(ANY).or(TIME)
}

const fn kind(name: &'static str, free: Classes, required: &'static [Classes], anti: Anti) -> Kind {
    Kind { name, pattern: Pattern { free, required, anti } }
}

const WW: Classes = Classes::WW;
/// What was read of each other, be it by predicates.
const SEEN: Classes = WR.or(Classes::WRP);
const WR: Classes = Classes::WR;
const RW: Classes = Classes::RW;
const RWP: Classes = Classes::RWP;
/// Anti-dependencies on items and by predicates.
const ANY: Classes = RW.or(RWP);
const DEP: Classes = WW.or(SEEN);
const PROCESS: Classes = Classes::PROCESS;
const TIME: Classes = PROCESS.or(Classes::REALTIME);

/// All classes, those that say most first: an order in which each is found by its shortest cycle.
pub(crate) const KINDS: [Kind; 25] = [
    kind("G0", WW, &[WW], Anti::None),
    kind("G1c", DEP, &[SEEN], Anti::None),
    kind("G-single-item", DEP, &[], Anti::Once(RW)),
    kind("G-nonadjacent-item", DEP, &[], Anti::Apart(RW)),
    kind("G2-item", DEP, &[], Anti::Several(RW)),
    kind("G-single", DEP, &[], Anti::Once(RWP)),
    kind("G-nonadjacent", DEP, &[RWP], Anti::Apart(ANY)),
    kind("G2", DEP, &[RWP], Anti::Several(ANY)),
    kind("G0-process", WW.or(PROCESS), &[PROCESS], Anti::None),
    kind("G1c-process", DEP.or(PROCESS), &[SEEN, PROCESS], Anti::None),
    kind("G-single-item-process", DEP.or(PROCESS), &[PROCESS], Anti::Once(RW)),
    kind("G-nonadjacent-item-process", DEP.or(PROCESS), &[PROCESS], Anti::Apart(RW)),
    kind("G2-item-process", DEP.or(PROCESS), &[PROCESS], Anti::Several(RW)),
    kind("G-single-process", DEP.or(PROCESS), &[PROCESS], Anti::Once(RWP)),
    kind("G-nonadjacent-process", DEP.or(PROCESS), &[RWP, PROCESS], Anti::Apart(ANY)),
    kind("G2-process", DEP.or(PROCESS), &[RWP, PROCESS], Anti::Several(ANY)),
    kind("causality-violation", WR.or(PROCESS), &[], Anti::Once(RW)),
    kind("G0-realtime", WW.or(TIME), &[Classes::REALTIME], Anti::None),
    kind("G1c-realtime", DEP.or(TIME), &[SEEN, Classes::REALTIME], Anti::None),
    kind("G-single-item-realtime", DEP.or(TIME), &[Classes::REALTIME], Anti::Once(RW)),
    kind("G-nonadjacent-item-realtime", DEP.or(TIME), &[Classes::REALTIME], Anti::Apart(RW)),
    kind("G2-item-realtime", DEP.or(TIME), &[Classes::REALTIME], Anti::Several(RW)),
    kind("G-single-realtime", DEP.or(TIME), &[Classes::REALTIME], Anti::Once(RWP)),
    kind("G-nonadjacent-realtime", DEP.or(TIME), &[RWP, Classes::REALTIME], Anti::Apart(ANY)),
    kind("G2-realtime", DEP.or(TIME), &[RWP, Classes::REALTIME], Anti::Several(ANY)),
];

/// Anomalies that show most are told first: these in their order, then others that no cycle shows, then cycles.
pub(crate) fn rank(first: &[&str], name: &str) -> usize {
    let cycle = || KINDS.iter().position(|kind| kind.name == name);
    let at = first.iter().position(|first| *first == name);
    at.or_else(|| cycle().map(|at| first.len() + 1 + at)).unwrap_or(first.len())
}

/// Edges that one search may look at: some seconds.
const WORK_MAX: u64 = 1 << 31;

/// What a cycle is besides, by its shape: the anomalies that have names of their own.
fn shape(kind: &str, steps: &[Step]) -> Option<&'static str> {
    let classes: Vec<Classes> = steps.iter().map(|step| step.class).collect();
    match (kind, &classes[..]) {
        ("G2-item", [RW, RW]) => Some("write-skew"),
        ("G-nonadjacent-item", [RW, WR, RW, WR] | [WR, RW, WR, RW]) => Some("long-fork"),
        _ => None,
    }
}

/// A cycle of some class.
#[derive(Clone, Debug)]
struct Found {
    kind: &'static str,
    cycle: Cycle,
}

/// What came of a search for cycles.
#[derive(Debug, Default)]
struct Search {
    found: Vec<Found>,
    /// Classes of which it is not known whether there are any.
    open: Vec<&'static str>,
}

/// A shortest cycle of each class of `KINDS` that is `wanted`, given those that were found before.
fn search(graph: &Graph, budget: &dyn Budget, wanted: impl Fn(&Kind, &[Found]) -> bool) -> Search {
    let parts: Vec<Induced> =
        components(graph, all()).into_iter().map(|members| graph.induced(members)).collect();
    let mut search = Search::default();
    let predicates = graph.all_classes().meets(RWP);
    for kind in KINDS {
        if kind.of_predicates() && !predicates || !wanted(&kind, &search.found) {
            continue;
        }
        if budget.spent(0).is_some() {
            search.open.push(kind.name);
            continue;
        }
        let mut work = WORK_MAX;
        let mut best: Option<Cycle> = None;
        for part in &parts {
            in_part(part, &kind.pattern, (&mut work, budget), &mut best);
        }
        match best {
            Some(cycle) => search.found.push(Found { kind: kind.name, cycle }),
            None if work == 0 => search.open.push(kind.name),
            None => {}
        }
    }
    search
}

/// Adds a shortest cycle of each class that says something new, given the cases that were found before.
pub(crate) fn add_cycles(
    graph: &Graph,
    budget: &dyn Budget,
    findings: &mut Findings,
    told: impl Fn(&[Step]) -> Evidence,
) {
    let others: Vec<&'static str> = findings.cases.iter().map(|case| case.name).collect();
    let search = search(graph, budget, |kind, found| {
        // A class that has time in it says something only of models that nothing else refutes.
        let known = || others.iter().copied().chain(found.iter().map(|found| found.kind));
        let new =
            |model: &Model| refutes(kind.name, *model) && !known().any(|n| refutes(n, *model));
        !kind.of_time() || Model::ALL.iter().any(new)
    });
    let largest = components(graph, all()).iter().map(Vec::len).max();
    findings.details.insert("largest-component".into(), largest.unwrap_or_default().into());
    for Found { kind, cycle } in search.found {
        let evidence = told(&cycle.steps);
        let shape = shape(kind, &cycle.steps);
        let names = [Some(kind), shape].into_iter().flatten();
        let case = |name| Case { name, count: 1, evidence: evidence.clone() };
        findings.cases.extend(names.map(case));
    }
    findings.leave_open(&search.open, "the budget ended");
}

/// Looks in the components of a part for a cycle that is shorter than the best so far.
fn in_part(
    part: &Induced,
    pattern: &Pattern,
    (work, budget): (&mut u64, &dyn Budget),
    best: &mut Option<Cycle>,
) {
    let candidates = match pattern.anti {
        Anti::None => components(&part.graph, pattern.free),
        // A single anti-dependency is not adjacent to another.
        Anti::Once(anti) | Anti::Apart(anti) => without_adjacent(&part.graph, pattern.free, anti),
        Anti::Several(anti) => components(&part.graph, pattern.free | anti),
    };
    for members in candidates {
        if best.as_ref().is_some_and(|best| best.steps.len() == 2) {
            return;
        }
        let inner = part.graph.induced(members);
        let found = shortest_simple(&inner.graph, pattern, work, budget);
        let Some(mut cycle) = found else { continue };
        if best.as_ref().is_some_and(|best| best.steps.len() <= cycle.steps.len()) {
            continue;
        }
        let whole = |node: u32| {
            let middle = inner.members.get(node as usize).copied().unwrap_or(NONE);
            part.members.get(middle as usize).copied().unwrap_or(NONE)
        };
        for Step { from, to, .. } in &mut cycle.steps {
            (*from, *to) = (whole(*from), whole(*to));
        }
        *best = Some(cycle);
    }
}
