//! Small puzzles against trying everything.

use proptest::prelude::*;

use super::acyclic::{ALWAYS, Acyclic};
use super::closure::{Closure, sorted};
use super::solver::{Choice, Edge, Solver, Way};
use crate::budget::{Sparing, Unlimited};

const NODES: u32 = 9;

/// A small puzzle: edges that hold, antis that hold, and choices.
#[derive(Clone, Debug)]
struct Puzzle {
    edges: Vec<Edge>,
    antis: Vec<Edge>,
    choices: Vec<Choice>,
}

fn puzzle() -> impl Strategy<Value = Puzzle> {
    let edges = |most: usize| proptest::collection::vec((0..NODES, 0..NODES), 0..=most);
    let way = (edges(2), edges(1)).prop_map(|(edges, antis)| Way { edges, antis });
    let choice = ((0..NODES, 0..NODES), way.clone(), way);
    let choice = choice.prop_map(|(guess, one, other)| Choice { guess, ways: [one, other] });
    (edges(4), edges(1), proptest::collection::vec(choice, 1..10))
        .prop_map(|(edges, antis, choices)| Puzzle { edges, antis, choices })
}

impl Puzzle {
    /// What is left among some nodes.
    fn among(&self, nodes: &[u32]) -> Self {
        let inside = |edges: &[Edge]| -> Vec<Edge> {
            let within = |edge: &&Edge| nodes.contains(&edge.0) && nodes.contains(&edge.1);
            edges.iter().filter(within).copied().collect()
        };
        let way = |way: &Way| Way { edges: inside(&way.edges), antis: inside(&way.antis) };
        let choice =
            |choice: &Choice| Choice { guess: choice.guess, ways: choice.ways.each_ref().map(way) };
        Self {
            edges: inside(&self.edges),
            antis: inside(&self.antis),
            choices: self.choices.iter().map(choice).collect(),
        }
    }

    fn graph(edges: impl Iterator<Item = Edge>) -> Vec<Vec<u32>> {
        let mut out = vec![Vec::new(); NODES as usize];
        edges.for_each(|(from, to)| out[from as usize].push(to));
        out
    }

    /// Whether all can be chosen, by trying everything.
    fn can_be(&self) -> bool {
        (0..1u32 << self.choices.len()).any(|made| {
            let ways = || {
                self.choices.iter().enumerate().map(|(at, c)| &c.ways[(made >> at & 1) as usize])
            };
            let edges = self.edges.iter().chain(ways().flat_map(|way| &way.edges)).copied();
            let mut antis = self.antis.iter().chain(ways().flat_map(|way| &way.antis));
            Closure::new(&Self::graph(edges)).is_some_and(|closure| {
                antis.all(|(from, to)| from != to && !closure.leads(*to, *from))
            })
        })
    }

    /// A solver, unless what holds in any case is a circle.
    fn solver(&self) -> Option<Solver<'_>> {
        let mut graph = Acyclic::in_order(&sorted(&Self::graph(self.edges.iter().copied()))?);
        self.edges.iter().for_each(|(from, to)| {
            graph.add(*from, *to, ALWAYS).expect("they are in order");
        });
        Some(Solver::new(graph, &self.choices, &self.antis))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_trying_everything_finds_and_what_it_blames_suffices(puzzle in puzzle()) {
        let Some(solver) = puzzle.solver() else { return Ok(()) };
        let budget = Sparing::new(&Unlimited);
        prop_assert_eq!(solver.solve(&budget), Ok(puzzle.can_be()));
        let blamed = puzzle.solver().expect("it is the same").core(&budget);
        match blamed.expect("the budget has no end") {
            None => prop_assert!(puzzle.can_be()),
            Some(nodes) => prop_assert!(!puzzle.among(&nodes).can_be(), "{nodes:?}"),
        }
    }
}
