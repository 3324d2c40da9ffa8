//! The shortest cycle of certain classes.
//!
//! A cycle of a pattern is a closed walk that an automaton accepts, whose state is what the walk still lacks. So the shortest
//! is found by breadth-first search over pairs of node and state, once from each node where such a cycle can begin.
//! A cycle has no first edge, so it may be taken to begin with one that leads to a lower number: every cycle has one, and
//! where numbers follow time there are few. Those that lead furthest back come first: they close the shortest cycles, and
//! what is found bounds what follows. Real time through relays leads to higher numbers; other edges into relays may begin a
//! cycle too.
//! Only [`Anti::Apart`] depends on where a cycle begins; such a one begins with an edge that is restricted.

use std::collections::VecDeque;

use super::csr::{Classes, Graph};
use crate::budget::{Budget, Unlimited};

/// Which cycles are meant.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Classes of edges that it may have any number of.
    pub free: Classes,
    /// Of each of these sets it must have an edge; two at most.
    pub required: &'static [Classes],
    /// What it has of edges that are restricted, which are commonly anti-dependencies.
    pub anti: Anti,
}

/// How many edges of a class a cycle has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anti {
    /// None but those that are free.
    None,
    /// Exactly one, as in G-single.
    Once(Classes),
    /// Two or more, and never one after the other, as in G-nonadjacent.
    Apart(Classes),
    /// Two or more, as in G2.
    Several(Classes),
}

impl Anti {
    const fn classes(self) -> Classes {
        match self {
            Self::None => Classes::NONE,
            Self::Once(classes) | Self::Apart(classes) | Self::Several(classes) => classes,
        }
    }
}

/// An edge of a cycle, relays left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The transaction that comes first.
    pub from: u32,
    /// The one that must come after it.
    pub to: u32,
    /// Why; a single class.
    pub class: Classes,
}

/// A cycle: each step begins where the one before ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether no cycle of the pattern is shorter.
    pub shortest: bool,
}

/// The shortest cycle of the pattern. `work` is how many edges may be looked at, and is counted down: when it ends, what
/// was found so far is the answer, and says so. Nothing found with work left means that there is none.
///
/// # Panics
/// If the pattern requires more than two sets.
#[must_use]
pub fn shortest(graph: &Graph, pattern: &Pattern, work: &mut u64) -> Option<Cycle> {
    search(graph, pattern, (work, &Unlimited), |_| true)
}

/// As [`shortest`], of those that come through no node twice, and while the budget lasts: where it ends no work is left. Where
/// there are cycles of a stronger pattern, one of this may be missed: a shorter walk of it is only one of the former twice.
///
/// # Panics
/// As there.
#[must_use]
pub fn shortest_simple(
    graph: &Graph,
    pattern: &Pattern,
    work: &mut u64,
    budget: &dyn Budget,
) -> Option<Cycle> {
    search(graph, pattern, (work, budget), is_simple)
}

/// Edges that are looked at between two looks at the budget: some milliseconds.
const EDGES_PER_LOOK: u64 = 1 << 18;

fn search(
    graph: &Graph,
    pattern: &Pattern,
    (work, budget): (&mut u64, &dyn Budget),
    wanted: impl Fn(&[Step]) -> bool,
) -> Option<Cycle> {
    let automaton = Automaton::new(pattern);
    let mut search = Search {
        graph,
        automaton: &automaton,
        marks: vec![Mark::default(); graph.nodes() as usize * automaton.states],
        round: 0,
        queue: VecDeque::new(),
        length_max: u32::MAX,
        budget,
    };
    let mut best = None;
    for start in automaton.starts(graph) {
        if *work == 0 {
            return best.map(|steps| Cycle { steps, shortest: false });
        }
        if let Some(steps) = search.from(start, work).filter(|steps| wanted(steps)) {
            search.length_max = steps.len() as u32 - 1;
            best = Some(steps);
        }
    }
    let shortest = *work > 0 || search.length_max < 2;
    best.map(|steps| Cycle { steps, shortest })
}

fn is_simple(steps: &[Step]) -> bool {
    let mut nodes: Vec<u32> = steps.iter().map(|step| step.from).collect();
    nodes.sort_unstable();
    nodes.windows(2).all(|pair| pair[0] != pair[1])
}

struct Automaton<'a> {
    pattern: &'a Pattern,
    /// Every class that an edge may have.
    all: Classes,
    /// Where edges that are restricted must begin the cycle: those.
    anchor: Option<Classes>,
    /// How many states there are.
    states: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    /// Which of the required sets were met, a bit each.
    met: u8,
    /// How many restricted edges there were: 0, 1, or 2 for more.
    antis: u8,
    /// Whether the last edge was one, if that matters.
    last_anti: bool,
}

impl<'a> Automaton<'a> {
    fn new(pattern: &'a Pattern) -> Self {
        assert!(pattern.required.len() <= 2, "two required sets at most");
        let anti = pattern.anti.classes();
        let all = pattern.required.iter().fold(pattern.free | anti, |all, set| all | *set);
        let anchor = matches!(pattern.anti, Anti::Apart(_)).then_some(anti);
        let antis = match pattern.anti {
            Anti::None => 1,
            Anti::Once(_) | Anti::Several(_) => 3,
            Anti::Apart(_) => 6,
        };
        Self { pattern, all, anchor, states: antis << pattern.required.len() }
    }

    /// Whether a cycle that begins here may begin with this edge.
    fn begins(&self, graph: &Graph, start: u32, (target, classes): (u32, Classes)) -> bool {
        match self.anchor {
            Some(anchor) => classes.meets(anchor),
            None if graph.is_real(target) => target < start && classes.meets(self.all),
            None => classes.meets(self.all) && classes != Classes::REALTIME,
        }
    }

    /// Where cycles may begin, in the order in which to look.
    fn starts(&self, graph: &Graph) -> Vec<u32> {
        let nodes = (0..graph.nodes()).take_while(|node| graph.is_real(*node));
        let mut starts: Vec<(u32, u32)> = nodes
            .filter_map(|start| {
                let begins = |edge: &(u32, Classes)| self.begins(graph, start, *edge);
                // Edges are in order of their targets, so the first leads furthest back.
                let (target, _) = graph.edges_of(start).find(begins)?;
                Some((start.saturating_sub(target), start))
            })
            .collect();
        starts.sort_unstable_by_key(|(back, start)| (std::cmp::Reverse(*back), *start));
        starts.into_iter().map(|(_, start)| start).collect()
    }

    /// A number for the pair of node and state.
    const fn pair(&self, node: u32, state: State) -> usize {
        let anti =
            (state.last_anti as usize * 3 + state.antis as usize) << self.pattern.required.len();
        node as usize * self.states + anti + state.met as usize
    }

    const START: State = State { met: 0, antis: 0, last_anti: false };

    /// After an edge of one class.
    fn step(&self, state: State, class: Classes) -> Option<State> {
        let anti = self.pattern.anti.classes().meets(class) && !self.pattern.free.meets(class);
        let forbidden = match self.pattern.anti {
            Anti::Once(_) => state.antis == 1,
            Anti::Apart(_) => state.last_anti,
            Anti::None | Anti::Several(_) => false,
        };
        if anti && forbidden {
            return None;
        }
        let sets = self.pattern.required.iter().enumerate();
        let met = sets.filter(|(_, set)| set.meets(class)).map(|(at, _)| 1 << at);
        Some(State {
            met: met.fold(state.met, |met, bit: u8| met | bit),
            antis: (state.antis + u8::from(anti)).min(2),
            last_anti: anti && matches!(self.pattern.anti, Anti::Apart(_)),
        })
    }

    /// Whether a walk that came back is a cycle of the pattern.
    const fn accepts(&self, state: State) -> bool {
        let met = state.met.count_ones() as usize == self.pattern.required.len();
        met && match self.pattern.anti {
            Anti::None => true,
            Anti::Once(_) => state.antis == 1,
            Anti::Apart(_) => state.antis == 2 && !state.last_anti,
            Anti::Several(_) => state.antis == 2,
        }
    }
}

/// How a pair of node and state was reached.
#[derive(Clone, Copy, Default)]
struct Mark {
    round: u32,
    length: u32,
    /// Number of the pair before it.
    before: u32,
    class: Classes,
    done: bool,
}

struct Search<'a> {
    graph: &'a Graph,
    automaton: &'a Automaton<'a>,
    /// By number of the pair of node and state.
    marks: Vec<Mark>,
    round: u32,
    queue: VecDeque<(u32, State)>,
    /// Longer cycles are of no use.
    length_max: u32,
    budget: &'a dyn Budget,
}

impl Search<'_> {
    /// The shortest cycle that begins here.
    fn from(&mut self, start: u32, work: &mut u64) -> Option<Vec<Step>> {
        self.round += 1;
        self.queue.clear();
        let first = Automaton::START;
        self.expand((start, first), 0, true, work);
        while let Some((node, state)) = self.queue.pop_front() {
            let at = self.automaton.pair(node, state);
            let mark = self.marks[at];
            if std::mem::replace(&mut self.marks[at].done, true) {
                continue;
            }
            if node == start && self.automaton.accepts(state) {
                return Some(self.steps(start, at));
            }
            if *work == 0 {
                return None;
            }
            self.expand((node, state), mark.length, false, work);
        }
        None
    }

    /// Goes over the edges of a pair; into a relay it costs nothing.
    fn expand(&mut self, (node, state): (u32, State), length: u32, begins: bool, work: &mut u64) {
        let graph = self.graph;
        for (target, classes) in graph.edges_of(node) {
            *work = work.saturating_sub(1);
            if work.is_multiple_of(EDGES_PER_LOOK) && self.budget.spent(0).is_some() {
                *work = 0;
                return;
            }
            let cost = u32::from(graph.is_real(target));
            let wrong = begins && !self.automaton.begins(graph, node, (target, classes));
            if wrong || length + cost > self.length_max {
                continue;
            }
            let by = self.automaton.anchor.filter(|_| begins).unwrap_or(self.automaton.all);
            for class in classes.and(by).each() {
                // An edge out of a relay is the rest of the one into it.
                let rest = !graph.is_real(node);
                let next = if rest { Some(state) } else { self.automaton.step(state, class) };
                let Some(next) = next else { continue };
                let mark = &mut self.marks[self.automaton.pair(target, next)];
                if mark.round == self.round && (mark.done || mark.length <= length + cost) {
                    continue;
                }
                let before = self.automaton.pair(node, state) as u32;
                *mark =
                    Mark { round: self.round, length: length + cost, before, class, done: false };
                if cost == 0 {
                    self.queue.push_front((target, next));
                } else {
                    self.queue.push_back((target, next));
                }
            }
        }
    }

    /// The way back from where the walk was accepted.
    fn steps(&self, start: u32, end: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let first = self.automaton.pair(start, Automaton::START);
        let (mut at, mut to) = (end, start);
        loop {
            let mark = self.marks[at];
            let from = mark.before as usize / self.automaton.states;
            if self.graph.is_real(from as u32) {
                steps.push(Step { from: from as u32, to, class: mark.class });
                to = from as u32;
            }
            at = mark.before as usize;
            if at == first {
                break;
            }
        }
        steps.reverse();
        // Told from the lowest number on.
        let lowest = (0..steps.len()).min_by_key(|at| steps[*at].from).unwrap_or_default();
        steps.rotate_left(lowest);
        steps
    }
}
